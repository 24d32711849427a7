package client_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatcluster/chatcluster/internal/client"
	"github.com/chatcluster/chatcluster/internal/client/clienttest"
)

func TestAccountsAndSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := clienttest.New()
		nobody := newClient(t, clienttest.Over(t, s.API(), s.Gateway()), "")
		ctx := t.Context()
		for _, name := range []string{"user_a", "user_b"} {
			got, err := nobody.Register(ctx, name, "secret-password", name+"@mail.com")
			if err != nil || got.Username != name || got.ID == 0 {
				t.Fatalf("Register: got %v, %v", got, err)
			}
		}
		token, err := nobody.Login(ctx, "user_a", "secret-password")
		if err != nil {
			t.Fatal(err)
		}
		c := nobody.WithToken(token)
		uri, err := c.CreateSession(ctx)
		if err != nil {
			t.Fatal(err)
		}
		members, err := c.Join(ctx, uri, "user_b")
		if err != nil || len(members) != 2 || members[1].Username != "user_b" {
			t.Errorf("Join: got %v, %v", members, err)
		}
		sessions, err := c.Sessions(ctx)
		if err != nil || len(sessions) != 1 || sessions[0].URI != uri || !slices.Equal(sessions[0].Members, members) {
			t.Errorf("Sessions: got %v, %v", sessions, err)
		}
		sent, err := c.Send(ctx, uri, "Grüße & +?", client.NewKey())
		if err != nil || sent.Text != "Grüße & +?" || sent.ID == "" {
			t.Errorf("Send: got %v, %v", sent, err)
		}
		page, err := c.History(ctx, uri, client.Page{})
		if err != nil || !slices.Equal(page.Messages, []client.Message{sent}) {
			t.Errorf("History: got %v, %v, want %v", page.Messages, err, sent)
		}
		if err := c.Logout(ctx); err != nil {
			t.Errorf("Logout: %v", err)
		}
		if _, err := c.Sessions(ctx); !errors.Is(err, client.ErrUnauthenticated) {
			t.Errorf("after Logout: got %v, want ErrUnauthenticated", err)
		}
	})
}

func TestHistoryIterators(t *testing.T) {
	tests := []struct {
		name string
		read func(ctx context.Context, w world, first, last string) iter.Seq2[client.Message, error]
		want []string
	}{
		{"backward", func(ctx context.Context, w world, _, _ string) iter.Seq2[client.Message, error] {
			return w.client.Backward(ctx, w.uri, "")
		}, reversed(numbered(1, 250))},
		{"backward from an id", func(ctx context.Context, w world, _, last string) iter.Seq2[client.Message, error] {
			return w.client.Backward(ctx, w.uri, last)
		}, reversed(numbered(1, 249))},
		{"forward", func(ctx context.Context, w world, first, _ string) iter.Seq2[client.Message, error] {
			return w.client.Forward(ctx, w.uri, first)
		}, numbered(2, 250)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				first := w.Post(w.uri, "1")
				last := w.Post(w.uri, numbered(2, 250)...)
				var got []string
				for m, err := range tt.read(t.Context(), w, first, last) {
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, m.Text)
				}
				wantEqual(t, "texts", got, tt.want)
			})
		})
	}
}

func reversed(texts []string) []string {
	slices.Reverse(texts)
	return texts
}

// fault answers a call instead of the server.
type fault func(api http.Handler, w http.ResponseWriter, r *http.Request)

func refuse(status int, retryAfter, body string) fault {
	return func(_ http.Handler, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", retryAfter)
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// loseRequest breaks the connection before the server acts, loseAnswer after.
func loseRequest(http.Handler, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func loseAnswer(api http.Handler, _ http.ResponseWriter, r *http.Request) {
	api.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

// faulty meets each call with the next fault, then with the server.
func faulty(api http.Handler, calls *int, faults ...fault) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*calls++
		if *calls <= len(faults) {
			faults[*calls-1](api, w, r)
			return
		}
		api.ServeHTTP(w, r)
	})
}

func TestSendRetriesUnderOneKey(t *testing.T) {
	busy := refuse(503, "", `{"detail":"Busy."}`)
	tests := []struct {
		name   string
		faults []fault
		calls  int
		took   time.Duration // half of each span, after what the server asked for
		status int           // of the error, 0 for none
		sent   int
	}{
		{name: "at once", calls: 1, sent: 1},
		{name: "busy, with a time", faults: []fault{refuse(503, "3", "")}, calls: 2, took: 3*time.Second + 125*time.Millisecond, sent: 1},
		{name: "too fast, with a time", faults: []fault{refuse(429, "2", "")}, calls: 2, took: 2*time.Second + 125*time.Millisecond, sent: 1},
		{name: "bad gateway twice", faults: []fault{refuse(502, "", "<html>"), refuse(504, "", "<html>")}, calls: 3, took: 375 * time.Millisecond, sent: 1},
		{name: "the request is lost", faults: []fault{loseRequest}, calls: 2, took: 125 * time.Millisecond, sent: 1},
		{name: "the answer is lost", faults: []fault{loseAnswer, loseAnswer}, calls: 3, took: 375 * time.Millisecond, sent: 1},
		{name: "busy for ever", faults: slices.Repeat([]fault{busy}, 9), calls: 5, took: 1875 * time.Millisecond, status: 503},
		{name: "busy for longer than one waits", faults: []fault{refuse(503, "31", "")}, calls: 1, status: 503},
		{name: "refused", faults: []fault{refuse(400, "", `{"message":["Too long."]}`)}, calls: 1, status: 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				var calls int
				c := newClient(t, clienttest.Over(t, faulty(w.API(), &calls, tt.faults...), w.Gateway()), w.AddUser("user_b"))
				if _, err := w.client.Join(t.Context(), w.uri, "user_b"); err != nil {
					t.Fatal(err)
				}
				started := time.Now()
				_, err := c.Send(t.Context(), w.uri, "Hello!", client.NewKey())
				took := time.Since(started)
				var status int
				if refused, ok := errors.AsType[*client.Error](err); ok {
					status = refused.Status
				}
				if status != tt.status || (err != nil) != (tt.status != 0) {
					t.Errorf("got error %v, want status %d", err, tt.status)
				}
				if calls != tt.calls || took != tt.took || len(w.Texts(w.uri)) != tt.sent {
					t.Errorf("got %d calls, %v, %d messages; want %d, %v, %d", calls, took, len(w.Texts(w.uri)), tt.calls, tt.took, tt.sent)
				}
			})
		})
	}
}

func TestSendEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var calls int
		api := faulty(w.API(), &calls, refuse(503, "20", ""))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		started := time.Now()
		_, err := newClient(t, clienttest.Over(t, api, w.Gateway()), "").Send(ctx, w.uri, "Hello!", "k")
		if refused, ok := errors.AsType[*client.Error](err); !ok || refused.RetryAfter != 20*time.Second || time.Since(started) != time.Second {
			t.Errorf("got %v after %v, want the 503 after 1s", err, time.Since(started))
		}
	})
}

func TestWhatIsNotRepeatable(t *testing.T) {
	tests := []struct {
		name string
		call func(context.Context, *client.Client) error
	}{
		{"register", func(ctx context.Context, c *client.Client) error {
			_, err := c.Register(ctx, "user_c", "secret-password", "")
			return err
		}},
		{"create a session", func(ctx context.Context, c *client.Client) error {
			_, err := c.CreateSession(ctx)
			return err
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				var calls int
				c := newClient(t, clienttest.Over(t, faulty(w.API(), &calls, loseAnswer), w.Gateway()), w.AddUser("user_b"))
				if err := tt.call(t.Context(), c); err == nil || calls != 1 {
					t.Errorf("got error %v after %d calls, want one after 1", err, calls)
				}
			})
		})
	}
}

func TestErrorShapes(t *testing.T) {
	tests := []struct {
		name   string
		answer fault
		text   string
		is     error
		wait   time.Duration
	}{
		{"detail", refuse(403, "", `{"detail":"You are not a member."}`), "You are not a member.", client.ErrForbidden, 0},
		{"fields", refuse(400, "", `{"username":["Taken.","Too long."],"email":["Not valid."]}`), "email: Not valid.; username: Taken. Too long.", nil, 0},
		{"no single field", refuse(400, "", `{"non_field_errors":["Unable to log in."]}`), "Unable to log in.", nil, 0},
		{"a sentence for a field", refuse(400, "", `{"username":"Taken."}`), "username: Taken.", nil, 0},
		{"unknown shapes", refuse(404, "", `{"a":{"b":1},"c":[1]}`), "the server answered 404 Not Found", client.ErrNotFound, 0},
		{"a proxy's page", refuse(401, "", `<html>`), "the server answered 401 Unauthorized", client.ErrUnauthenticated, 0},
		{"a time to wait", refuse(429, "60", `{"detail":"Throttled."}`), "Throttled.", nil, time.Minute},
		{"an absurd time to wait", refuse(429, "4000000000", `{"detail":"Throttled."}`), "Throttled.", nil, 24 * time.Hour},
		{"a date to wait for", refuse(500, "Fri, 31 Dec 1999 23:59:59 GMT", `{"detail":"No."}`), "No.", nil, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := clienttest.New()
				var calls int
				_, err := newClient(t, clienttest.Over(t, faulty(s.API(), &calls, tt.answer), s.Gateway()), "").Login(t.Context(), "a", "b")
				refused, ok := errors.AsType[*client.Error](err)
				if !ok || refused.Error() != tt.text || refused.RetryAfter != tt.wait {
					t.Fatalf("got %v, want %q and %v to wait", err, tt.text, tt.wait)
				}
				for _, sentinel := range []error{client.ErrForbidden, client.ErrNotFound, client.ErrUnauthenticated} {
					if got, want := errors.Is(err, sentinel), sentinel == tt.is; got != want {
						t.Errorf("is %q: got %v, want %v", sentinel, got, want)
					}
				}
			})
		})
	}
}

func TestNew(t *testing.T) {
	tests := []struct {
		name            string
		server, gateway string
		wantServer      string
		wantErrors      []string
	}{
		{name: "default", wantServer: "http://127.0.0.1:8000"},
		{name: "one spelling", server: "https://Chat.Example.com/sub/", wantServer: "https://chat.example.com/sub"},
		{name: "no scheme", server: "127.0.0.1:8000", wantErrors: []string{"server: "}},
		{name: "all errors", server: "ftp://host", gateway: "http://host", wantErrors: []string{"server: ", "gateway: "}},
		{name: "a password in the URL", server: "http://a:b@host", wantErrors: []string{"server: "}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := client.New(client.Options{Server: tt.server, Gateway: tt.gateway})
			if (err != nil) != (tt.wantErrors != nil) {
				t.Fatalf("got error %v, want %v", err, tt.wantErrors)
			}
			for _, want := range tt.wantErrors {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got error %v, want it to contain %q", err, want)
				}
			}
			if err == nil && c.Server() != tt.wantServer {
				t.Errorf("got server %s, want %s", c.Server(), tt.wantServer)
			}
		})
	}
}

func TestGatewayOf(t *testing.T) {
	tests := []struct{ name, server, want string }{
		{"on its own port", "http://127.0.0.1:8000", "ws://127.0.0.1:8081"},
		{"IPv6", "http://[::1]:8000", "ws://[::1]:8081"},
		{"behind an ingress", "https://chat.example.com", "wss://chat.example.com"},
		{"behind an ingress with a path and a port", "https://chat.example.com:8443/sub", "wss://chat.example.com:8443/sub"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := client.GatewayOf(t, tt.server); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
