package client_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/chatcluster/chatcluster/internal/client"
	"github.com/chatcluster/chatcluster/internal/client/clienttest"
)

// long is more than any retry takes; time in a bubble costs nothing.
const long = 2 * time.Minute

// listener is a Receive that runs.
type listener struct {
	texts  []string
	ids    []string
	losses []client.Loss
	waits  []time.Duration
	// positions are what each connection started with.
	positions []string
	stop      context.CancelFunc
	done      chan error
}

// listen starts to receive. The fields may be read once it has ended.
func listen(t *testing.T, c *client.Client, uri, after string) *listener {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &listener{stop: stop, done: make(chan error, 1)}
	options := client.ReceiveOptions{
		After:       after,
		OnConnected: func(position string) { l.positions = append(l.positions, position) },
		OnRetry:     func(_ error, wait time.Duration) { l.waits = append(l.waits, wait) },
		OnLoss:      func(loss client.Loss) { l.losses = append(l.losses, loss) },
	}
	go func() {
		l.done <- c.Receive(ctx, uri, options, func(m client.Message) error {
			l.texts, l.ids = append(l.texts, m.Text), append(l.ids, m.ID)
			return nil
		})
	}()
	synctest.Wait()
	return l
}

// end stops the listener, which must still be running, and waits for it.
func (l *listener) end(t *testing.T) {
	t.Helper()
	select {
	case err := <-l.done:
		t.Fatalf("Receive ended by itself: %v", err)
	default:
	}
	l.stop()
	if err := <-l.done; !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want that the context was cancelled", err)
	}
}

func newClient(t *testing.T, o client.Options, token string) *client.Client {
	t.Helper()
	o.Token = token
	c, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// world is a server with one user and one session, and the user's client.
type world struct {
	*clienttest.Server
	client *client.Client
	uri    string
}

func newWorld(t *testing.T) world {
	s := clienttest.New()
	token := s.AddUser("user_a")
	return world{s, newClient(t, clienttest.Over(t, s.API(), s.Gateway()), token), s.AddSession("user_a")}
}

func numbered(from, to int) []string {
	var texts []string
	for n := from; n <= to; n++ {
		texts = append(texts, fmt.Sprint(n))
	}
	return texts
}

func wantEqual[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestReceiveGivesEachMessageOnce(t *testing.T) {
	tests := []struct {
		name  string
		fault clienttest.Fault
	}{
		{"nothing breaks", clienttest.None},
		{"cut before a message", clienttest.Cut},
		{"cut after a message", clienttest.CutAfter},
		{"a message is left out", clienttest.Skip},
		{"a message comes twice", clienttest.Double},
	}
	for _, tt := range tests {
		for at := 1; at <= 3; at++ {
			t.Run(fmt.Sprintf("%s/%d", tt.name, at), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					w.Misbehave(once(fmt.Sprint(at), tt.fault))
					w.Post(w.uri, "sent before")
					l := listen(t, w.client, w.uri, "")
					w.Post(w.uri, numbered(1, 4)...)
					time.Sleep(long)
					w.Post(w.uri, "5")
					synctest.Wait()
					l.end(t)
					wantEqual(t, "texts", l.texts, numbered(1, 5))
					wantEqual(t, "losses", l.losses, nil)
				})
			})
		}
	}
}

// once is a fault that the message with that text meets once.
func once(text string, fault clienttest.Fault) func(string) clienttest.Fault {
	met := false
	return func(got string) clienttest.Fault {
		if got != text || met {
			return clienttest.None
		}
		met = true
		return fault
	}
}

// TestReceiveUnderChaos lets everything break at random, for many seeds.
func TestReceiveUnderChaos(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				random, faults := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
				w := newWorld(t)
				w.Misbehave(func(string) clienttest.Fault {
					return max(clienttest.None, clienttest.Fault(faults.IntN(12)-7))
				})
				l := listen(t, w.client, w.uri, "")
				const rounds = 60
				for n := range rounds {
					w.Post(w.uri, fmt.Sprint(n+1))
					synctest.Wait()
					if random.IntN(8) == 0 {
						w.CloseSockets([]int{1001, 1012, 1013, 4008}[random.IntN(4)], "")
					}
					time.Sleep(time.Duration(random.IntN(3)) * time.Second)
				}
				w.Misbehave(nil)
				w.Post(w.uri, fmt.Sprint(rounds+1))
				time.Sleep(long)
				l.end(t)
				wantEqual(t, "texts", l.texts, numbered(1, rounds+1))
				wantEqual(t, "losses", l.losses, nil)
			})
		})
	}
}

func TestReceiveResumesAfterAnID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		after := w.Post(w.uri, "1", "2")
		w.Post(w.uri, "3", "4")
		l := listen(t, w.client, w.uri, after)
		w.Post(w.uri, "5")
		synctest.Wait()
		l.end(t)
		wantEqual(t, "texts", l.texts, numbered(3, 5))
	})
}

// TestReceiveReadsTheHistory covers resumes that the server refuses.
func TestReceiveReadsTheHistory(t *testing.T) {
	tests := []struct {
		name      string
		anonymous bool
		missed    int // messages while away
		keep      int // of those, readable afterwards
		want      []string
		// the loss ends with the position if nothing could be filled
		lossBefore func(ids []string, position string) string
	}{
		{name: "more than a resume carries, all readable", missed: 250, keep: 250, want: numbered(1, 252),
			lossBefore: func(ids []string, _ string) string { return ids[1] }},
		{name: "some have expired", missed: 40, keep: 10, want: append([]string{"1"}, numbered(32, 42)...),
			lossBefore: func(ids []string, _ string) string { return ids[1] }},
		{name: "all have expired", missed: 40, keep: 0, want: []string{"1", "42"},
			lossBefore: func(_ []string, position string) string { return position }},
		{name: "an anonymous listener", anonymous: true, missed: 40, keep: 40, want: []string{"1", "42"},
			lossBefore: func(_ []string, position string) string { return position }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.OpenByLink(w.uri)
				c := w.client
				if tt.anonymous {
					c = c.WithToken("")
				}
				l := listen(t, c, w.uri, "")
				w.Post(w.uri, "1")
				synctest.Wait()
				w.CloseSockets(1012, "")
				synctest.Wait()
				w.Post(w.uri, numbered(2, tt.missed+1)...)
				w.Expire(w.uri, tt.keep)
				time.Sleep(long)
				w.Post(w.uri, fmt.Sprint(tt.missed+2))
				synctest.Wait()
				l.end(t)
				wantEqual(t, "texts", l.texts, tt.want)
				wantEqual(t, "losses", l.losses, []client.Loss{{After: l.ids[0], Before: tt.lossBefore(l.ids, l.positions[1])}})
			})
		})
	}
}

// TestReceiveTellsAGapThatTheHistoryDoesNotFill: the message expired between
// its loss and the question for it.
func TestReceiveTellsAGapThatTheHistoryDoesNotFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Misbehave(once("2", clienttest.Skip))
		l := listen(t, w.client, w.uri, "")
		w.Post(w.uri, "1", "2")
		synctest.Wait()
		w.Expire(w.uri, 0)
		w.Post(w.uri, "3")
		synctest.Wait()
		l.end(t)
		wantEqual(t, "texts", l.texts, []string{"1", "3"})
		wantEqual(t, "losses", l.losses, []client.Loss{{After: l.ids[0], Before: l.ids[1]}})
	})
}

func TestReceiveEndsWhereRetryingIsNoUse(t *testing.T) {
	refusal := func(status int) func(world) http.Handler {
		return func(world) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		}
	}
	closing := func(code int) func(world) http.Handler {
		return func(world) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
				if err != nil {
					return
				}
				defer conn.Close()
				_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, "so it is"), time.Now().Add(time.Second))
				_, _, _ = conn.ReadMessage() // the answer to the close
			})
		}
	}
	tests := []struct {
		name    string
		gateway func(world) http.Handler
		want    func(error) bool
	}{
		{"401", refusal(401), func(err error) bool { return errors.Is(err, client.ErrUnauthenticated) }},
		{"403", refusal(403), func(err error) bool { return errors.Is(err, client.ErrForbidden) }},
		{"404", refusal(404), func(err error) bool { return errors.Is(err, client.ErrNotFound) }},
		{"400", refusal(400), func(err error) bool { e, ok := errors.AsType[*client.Error](err); return ok && e.Status == 400 }},
		{"4401", closing(4401), func(err error) bool { return errors.Is(err, client.ErrUnauthenticated) }},
		{"4403", closing(4403), func(err error) bool { return errors.Is(err, client.ErrForbidden) }},
		{"4500", closing(4500), func(err error) bool {
			e, ok := errors.AsType[*client.ClosedError](err)
			return ok && *e == client.ClosedError{Code: 4500, Reason: "so it is"}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				c := newClient(t, clienttest.Over(t, w.API(), tt.gateway(w)), "")
				l := listen(t, c, w.uri, "")
				time.Sleep(long)
				if err := <-l.done; !tt.want(err) {
					t.Errorf("got error %v", err)
				}
				wantEqual(t, "retries", l.waits, nil)
				l.stop()
			})
		})
	}
}

func TestReceiveWaitsAsTheServerAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		refusals := 3
		busy := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if refusals == 0 {
				w.Gateway().ServeHTTP(rw, r)
				return
			}
			refusals--
			rw.Header().Set("Retry-After", "7")
			rw.WriteHeader(http.StatusServiceUnavailable)
		})
		c := newClient(t, clienttest.Over(t, w.API(), busy), w.AddUser("user_b"))
		w.OpenByLink(w.uri)
		l := listen(t, c, w.uri, "")
		time.Sleep(long)
		// After a good connection the waits start small again.
		w.CloseSockets(1012, "")
		time.Sleep(long)
		l.end(t)
		wantEqual(t, "waits", l.waits, []time.Duration{8 * time.Second, 9 * time.Second, 11 * time.Second, time.Second})
	})
}

func TestReceiveReconnectsWhenToldTo(t *testing.T) {
	tests := []struct {
		name     string
		delay    int64         // ms, that the server asks for
		closed   time.Duration // when the server closes after that
		again    bool          // asks once more as soon as the client is back
		wantWait []time.Duration
	}{
		{"the server closes first", 2500, time.Second, false, []time.Duration{1500 * time.Millisecond}},
		{"the server closes late", 1000, 2 * time.Second, false, []time.Duration{0}},
		{"a delay that makes no sense", -5, 0, false, []time.Duration{0}},
		{"a delay beyond reason", 1 << 62, 0, false, []time.Duration{time.Hour}},
		// The second connection was none that counts, so the usual wait comes on top.
		{"a server that does it again and again", 0, 0, true, []time.Duration{0, 2 * time.Second}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				l := listen(t, w.client, w.uri, "")
				w.Post(w.uri, "1")
				synctest.Wait()
				position := w.AskToReconnect(tt.delay)
				time.Sleep(tt.closed)
				w.CloseSockets(1012, "")
				synctest.Wait()
				if tt.again {
					w.AskToReconnect(tt.delay)
					w.CloseSockets(1012, "")
					synctest.Wait()
				}
				w.Post(w.uri, "2")
				time.Sleep(2 * time.Hour)
				l.end(t)
				wantEqual(t, "waits", l.waits, tt.wantWait)
				wantEqual(t, "the first queries", w.Connects()[:2], []string{"ids=1", "after=" + position})
				wantEqual(t, "texts", l.texts, numbered(1, 2))
				wantEqual(t, "losses", l.losses, nil)
			})
		})
	}
}

func TestReceiveNoticesASilentDeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		dead := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			conn, err := (&websocket.Upgrader{}).Upgrade(rw, r, nil)
			if err != nil {
				return
			}
			defer conn.Close()
			<-t.Context().Done() // never reads, so never answers a ping
		})
		l := listen(t, newClient(t, clienttest.Over(t, w.API(), dead), ""), w.uri, "")
		time.Sleep(51 * time.Second)
		l.end(t)
		wantEqual(t, "retries", l.waits, []time.Duration{time.Second})
	})
}

func TestReceiveStaysThroughALongSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := listen(t, w.client, w.uri, "")
		time.Sleep(time.Hour)
		l.end(t)
		wantEqual(t, "retries", l.waits, nil)
	})
}

func TestReceiveReturnsTheErrorOfDeliver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		after := w.Post(w.uri, "1")
		w.Post(w.uri, "2")
		want := errors.New("disk full")
		got := w.client.Receive(t.Context(), w.uri, client.ReceiveOptions{After: after}, func(client.Message) error { return want })
		if got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestReceiveRawAsksForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var frames []string
		done := make(chan error, 1)
		go func() {
			done <- w.client.ReceiveRaw(t.Context(), w.uri, func(frame []byte) error {
				frames = append(frames, string(frame))
				return nil
			})
		}()
		synctest.Wait()
		w.Post(w.uri, "Hello!")
		synctest.Wait()
		w.CloseSockets(1012, "restart")
		err := <-done
		if closed, ok := errors.AsType[*client.ClosedError](err); !ok || closed.Code != 1012 {
			t.Errorf("got error %v, want a close with 1012", err)
		}
		wantEqual(t, "frames", frames, []string{`{"message":"Hello!","user":{"id":1,"username":"user_a","email":"user_a@mail.com","first_name":"","last_name":""}}`})
		wantEqual(t, "queries", w.Connects(), []string{""})
	})
}
