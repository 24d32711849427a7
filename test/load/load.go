// Package load keeps senders, receivers and readers at work on a server while a
// test breaks or changes something, logs what they saw for the checker, and
// proves the promises with it. It fails the test for an answer that no fault
// explains: whoever cannot be served is told to come back, and nothing else.
//
// A Load is used by one goroutine; During owns those of the clients.
package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/test/chatdtest"
	"github.com/chatcluster/chatcluster/test/checker"
)

// The load is small: what is looked for is not speed, and the machine has a
// whole cluster to carry.
const (
	rooms     = 3
	senders   = 6
	receivers = 4
	readers   = 2

	// sendPause and readPause are the longest times between two requests of a
	// client.
	sendPause   = 60 * time.Millisecond
	readPause   = 200 * time.Millisecond
	callTimeout = 4 * time.Second

	// resumeLimit is how many messages a gateway lets a socket resume with.
	resumeLimit = 1000
)

// Options say what the clients talk to.
type Options struct {
	// APIs and Gateways are addresses, as host:port; a client goes from one to
	// the next.
	APIs, Gateways []string
	// Stay is how long a receiver stays at a gateway, at most.
	Stay time.Duration
	// SettleTimeout is how long everything may take to come back once nothing
	// is broken any more.
	SettleTimeout time.Duration
	// SendPause overrides the longest pause of a sender, CallTimeout how long a
	// client waits for an answer before it turns to the next replica.
	SendPause, CallTimeout time.Duration
}

// Load is the clients, and what they saw.
type Load struct {
	t         testing.TB
	options   Options
	log       *checker.Log
	uris      []string
	senders   []*sender
	receivers []*receiver
	readers   []user
	guest     *guest
	texts     atomic.Int64
	trouble   counters
}

// counters are of what clients ran into.
type counters struct{ unanswered, unavailable, reconnects atomic.Int64 }

// Counts is what has been done so far, and what the clients ran into.
type Counts struct {
	// Acked sends, Received messages, Reads of histories, and Removed members.
	Acked, Received, Reads, Removed int
	// Unanswered are requests whose connection failed, or that took too long;
	// Unavailable those that were answered 503.
	Unanswered, Unavailable int
	// Reconnects is how often a socket ended by itself or could not be opened.
	Reconnects int
}

// Sub is what was done since before.
func (c Counts) Sub(before Counts) Counts {
	return Counts{
		c.Acked - before.Acked, c.Received - before.Received, c.Reads - before.Reads, c.Removed - before.Removed,
		c.Unanswered - before.Unanswered, c.Unavailable - before.Unavailable, c.Reconnects - before.Reconnects,
	}
}

func (c Counts) String() string {
	return fmt.Sprintf("%d sends acknowledged, %d messages received, %d histories read, %d members removed; %d requests unanswered, %d answered 503, %d sockets lost",
		c.Acked, c.Received, c.Reads, c.Removed, c.Unanswered, c.Unavailable, c.Reconnects)
}

// user is one user as a client of each API replica.
type user []*chatdtest.Client

// sender sends to one room, and keeps what it does not know the outcome of.
type sender struct {
	user
	room      string
	text, key string
	attempts  int
	// mayBeDenied is for one who may have been removed.
	mayBeDenied bool
}

// receiver receives from one gateway after the other.
type receiver struct {
	*chatdtest.Receiver
	client *chatdtest.Client
	room   string
	turn   int
	// judged is how many of the losses have been looked at.
	judged int
}

// New registers the clients and makes their rooms.
func New(t testing.TB, o Options) *Load {
	t.Helper()
	if o.SendPause == 0 {
		o.SendPause = sendPause
	}
	if o.CallTimeout == 0 {
		o.CallTimeout = callTimeout
	}
	l := &Load{t: t, options: o, log: &checker.Log{}}
	register := func(name string) user {
		first := chatdtest.Register(t, &chatdtest.Server{API: o.APIs[0], Gateway: o.Gateways[0]}, name)
		u := user{first}
		for _, api := range o.APIs[1:] {
			c := *first
			c.API = api
			u = append(u, &c)
		}
		return u
	}
	owner := register("owner")
	for range rooms {
		l.uris = append(l.uris, owner[0].CreateSession(t))
	}
	member := func(role string, n int) (user, string) {
		u, uri := register(fmt.Sprintf("%s-%d", role, n)), l.uris[n%rooms]
		u[0].Join(t, uri)
		return u, uri
	}
	for n := range senders {
		u, uri := member("sender", n)
		l.senders = append(l.senders, &sender{user: u, room: uri})
	}
	for n := range receivers {
		u, uri := member("receiver", n)
		l.receivers = append(l.receivers, &receiver{Receiver: u[0].NewReceiver(l.log, uri), client: u[0], room: uri, turn: n})
	}
	for range readers {
		l.readers = append(l.readers, owner)
	}
	l.guest = &guest{host: owner, user: register("guest")}
	return l
}

// Counts is what has been done so far.
func (l *Load) Counts() Counts {
	var c Counts
	c.Acked, c.Received, c.Reads = l.log.Counts()
	c.Removed = l.log.Removals()
	c.Unanswered, c.Unavailable, c.Reconnects = int(l.trouble.unanswered.Load()), int(l.trouble.unavailable.Load()), int(l.trouble.reconnects.Load())
	return c
}

// Rooms are the URIs of the rooms that the clients talk in all the time; Reader
// may read them all.
func (l *Load) Rooms() []string { return l.uris }

// Reader is a client that may read all rooms.
func (l *Load) Reader() *chatdtest.Client { return l.readers[0][0] }

// During runs all clients until act has returned.
func (l *Load) During(act func()) {
	ctx, cancel := context.WithCancel(l.t.Context())
	var clients sync.WaitGroup
	// A fault that cannot be done ends the test in act.
	defer clients.Wait()
	defer cancel()
	for _, s := range l.senders {
		clients.Go(func() { l.send(ctx, s) })
	}
	for _, r := range l.receivers {
		clients.Go(func() {
			for ctx.Err() == nil {
				l.receive(ctx, r, l.options.Stay/2+rand.N(l.options.Stay/2))
			}
		})
	}
	for n, u := range l.readers {
		clients.Go(func() { l.read(ctx, u, n) })
	}
	clients.Go(func() { l.visits(ctx, l.guest) })
	act()
}

// wait is a pause of up to most.
func wait(ctx context.Context, most time.Duration) { pause(ctx, rand.N(most)) }

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// send sends messages one after the other; every third without a key. One
// whose outcome is unknown is sent again with its key, to the other replica.
func (l *Load) send(ctx context.Context, s *sender) {
	for ; ctx.Err() == nil; wait(ctx, l.options.SendPause) {
		if s.text == "" {
			n := l.texts.Add(1)
			s.text, s.key = fmt.Sprintf("message %d", n), fmt.Sprintf("key %d", n)
			if n%3 == 0 {
				s.key = ""
			}
		}
		s.attempts++
		sent := l.attempt(ctx, s, s.user[s.attempts%len(s.user)])
		l.log.AddSend(sent)
		if sent.Outcome != checker.Unknown || s.key == "" {
			s.text = ""
		}
	}
}

func (l *Load) attempt(ctx context.Context, s *sender, c *chatdtest.Client) checker.Send {
	start := time.Now()
	var header []string
	if s.key != "" {
		header = []string{"Idempotency-Key", s.key}
	}
	answer := l.call(ctx, c, http.MethodPost, "/api/chats/"+s.room+"/messages/", url.Values{"message": {s.text}}, header...)
	if !s.mayBeDenied || answer.Status != http.StatusForbidden {
		l.explain(ctx, "a send", answer)
	}
	sent := c.Logged(answer, s.room, s.text)
	sent.Key, sent.Start = s.key, start
	return sent
}

// call waits for an answer as long as clients do; without one it is zero.
func (l *Load) call(ctx context.Context, c *chatdtest.Client, method, path string, form url.Values, header ...string) chatdtest.Answer {
	ctx, cancel := context.WithTimeout(ctx, l.options.CallTimeout)
	defer cancel()
	answer, err := c.Call(ctx, method, path, form, header...)
	if err != nil {
		return chatdtest.Answer{}
	}
	return answer
}

// explain fails the test for an answer that no fault explains: whoever cannot
// be served is told to come back, and nothing else.
//
// One that was given up since the clients were stopped is of no interest.
func (l *Load) explain(ctx context.Context, what string, a chatdtest.Answer) {
	switch a.Status {
	case 0:
		if ctx.Err() == nil {
			l.trouble.unanswered.Add(1)
		}
	case http.StatusOK, http.StatusNoContent:
	case http.StatusServiceUnavailable:
		l.trouble.unavailable.Add(1)
		if a.Header.Get("Retry-After") == "" {
			l.t.Errorf("%s was answered 503 %s without Retry-After", what, a.Body)
		}
	default:
		l.t.Errorf("%s was answered %d %s, want 200 or 503", what, a.Status, a.Body)
	}
}

// receive stays at the next gateway for a while. How it ended is only counted:
// what it received is of interest.
func (l *Load) receive(ctx context.Context, r *receiver, stay time.Duration) {
	if r.receiveFrom(ctx, l.options.Gateways, stay) {
		l.trouble.reconnects.Add(1)
	}
}

// receiveFrom receives from the next of the gateways, from where it was. It
// reports whether the socket ended by itself.
func (r *receiver) receiveFrom(ctx context.Context, gateways []string, stay time.Duration) (lost bool) {
	ctx, cancel := context.WithTimeout(ctx, stay)
	defer cancel()
	r.turn++
	r.client.Gateway = gateways[r.turn%len(gateways)]
	_ = r.Receive(ctx)
	lost = ctx.Err() == nil
	// A gateway that is down refuses at once.
	wait(ctx, readPause)
	return lost
}

func (l *Load) read(ctx context.Context, u user, turn int) {
	for ; ctx.Err() == nil; wait(ctx, readPause) {
		turn++
		err := l.readNewest(ctx, u[turn%len(u)], l.uris[turn%rooms])
		if err == nil {
			continue
		}
		var status *chatdtest.StatusError
		if !errors.As(err, &status) {
			status = &chatdtest.StatusError{} // no answer
		}
		l.explain(ctx, "a history", status.Answer)
	}
}

// readNewest reads and logs the newest part of a history.
func (l *Load) readNewest(ctx context.Context, c *chatdtest.Client, uri string) error {
	ctx, cancel := context.WithTimeout(ctx, l.options.CallTimeout)
	defer cancel()
	read, err := c.Newest(ctx, uri, 200)
	if err == nil {
		l.log.AddRead(read)
	}
	return err
}

// MustGoOn checks that sending and live delivery go on for a while.
func (l *Load) MustGoOn(t testing.TB, duration time.Duration) {
	// What was under way when it began does not count.
	time.Sleep(time.Second)
	ackedBefore, receivedBefore, readsBefore := l.log.Counts()
	time.Sleep(duration - time.Second)
	acked, received, reads := l.log.Counts()
	acked, received, reads = acked-ackedBefore, received-receivedBefore, reads-readsBefore
	t.Logf("meanwhile %d sends were acknowledged, %d messages received and %d histories read", acked, received, reads)
	// A small part of what the clients do, also on a machine that has much else
	// to do: this is about whether it goes on.
	if want := 6 * int(duration.Seconds()); acked < want || received < want {
		t.Errorf("%d sends acknowledged and %d messages received in %s, want at least %d of each", acked, received, duration, want)
	}
}

// Check waits until everything has come back, and proves the promises.
func (l *Load) Check(t testing.TB, after string) {
	t.Helper()
	began := time.Now()
	final := l.settle(t, after)
	var catchUps sync.WaitGroup
	for _, r := range l.receivers {
		catchUps.Go(func() { l.catchUp(r, final[r.room], after) })
	}
	catchUps.Wait()
	for _, r := range l.receivers {
		r.judgeLosses(t, final[r.room])
	}
	violations := l.log.Check(final)
	for i, v := range violations {
		if i == 20 {
			t.Errorf("… and %d more", len(violations)-i)
			break
		}
		t.Errorf("after %s: %v", after, v)
	}
	t.Logf("all came back and was checked in %s", time.Since(began).Round(10*time.Millisecond))
}

// settle reads all histories from every replica until they agree.
func (l *Load) settle(t testing.TB, after string) map[string][]checker.Message {
	t.Helper()
	final := map[string][]checker.Message{}
	deadline := time.Now().Add(l.options.SettleTimeout)
	for {
		err := l.histories(t, final)
		if err == nil {
			return final
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: no history within %s: %v", after, l.options.SettleTimeout, err)
		}
		wait(t.Context(), readPause)
	}
}

func (l *Load) histories(t testing.TB, final map[string][]checker.Message) error {
	for _, uri := range slices.Concat(l.uris, l.guest.rooms) {
		var first []checker.Message
		for i, c := range l.readers[0] {
			messages, err := c.WholeHistory(t.Context(), uri)
			if err != nil {
				return err
			}
			if i > 0 && !slices.Equal(messages, first) {
				return fmt.Errorf("the history of %s has %d messages on one replica and %d on another, or they differ", uri, len(first), len(messages))
			}
			first = messages
		}
		final[uri] = first
	}
	return nil
}

// catchUp receives until the receiver has the room's last message.
func (l *Load) catchUp(r *receiver, history []checker.Message, after string) {
	if len(history) == 0 {
		return
	}
	deadline := time.Now().Add(l.options.SettleTimeout)
	for last := history[len(history)-1].ID; r.Last() < last; {
		if time.Now().After(deadline) {
			l.t.Errorf("after %s: %s has not received %s within %s", after, r.client.Username, last, l.options.SettleTimeout)
			return
		}
		l.receive(l.t.Context(), r, time.Second)
	}
}

// judgeLosses fails the test for a resume that was refused although there was
// little to bring: nothing has expired.
func (r *receiver) judgeLosses(t testing.TB, history []checker.Message) {
	t.Helper()
	for _, loss := range r.Losses()[r.judged:] {
		missed := 0
		for _, m := range history {
			if m.ID > loss.After && m.ID <= loss.Position {
				missed++
			}
		}
		if missed <= resumeLimit {
			t.Errorf("%s could not resume from %s to %s: there are %d messages, and a resume brings %d", r.client.Username, loss.After, loss.Position, missed, resumeLimit)
		}
	}
	r.judged = len(r.Losses())
}
