//go:build faults

package faults_test

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
	"github.com/chatcluster/chatcluster/test/faults"
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
	sendPause = 60 * time.Millisecond
	readPause = 200 * time.Millisecond
	// callTimeout is how long a client waits for an answer before it turns to
	// the other replica.
	callTimeout = 4 * time.Second
	// stay is how long a receiver stays at a gateway, at most.
	stay = 6 * time.Second
	// settleTimeout is how long everything may take to come back once nothing
	// is broken any more.
	settleTimeout = 90 * time.Second
)

// load is the clients, and what they saw. They fail the test when an answer is
// not one that a fault explains.
type load struct {
	t         *testing.T
	log       *checker.Log
	uris      []string
	senders   []*sender
	receivers []*receiver
	readers   []user
	texts     atomic.Int64
}

// user is one user as a client of each API replica.
type user []*chatdtest.Client

// sender sends to one room, and keeps what it does not know the outcome of.
type sender struct {
	user
	room      string
	text, key string
	attempts  int
}

// receiver receives from one gateway after the other.
type receiver struct {
	*chatdtest.Receiver
	client   *chatdtest.Client
	room     string
	gateways []string
	turn     int
	lost     int
}

func newLoad(t *testing.T, s *system) *load {
	l := &load{t: t, log: &checker.Log{}}
	register := func(name string) user {
		first := chatdtest.Register(t, s.cluster.Server(0), name)
		u := user{first}
		for _, api := range s.cluster.APIs[1:] {
			c := chatdtest.NewClient(api)
			c.Username, c.Token, c.Gateway = first.Username, first.Token, first.Gateway
			u = append(u, c)
		}
		for i, c := range u {
			c.API = s.members[faults.API][i].line.Addr()
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
	var gateways []string
	for _, g := range s.members[faults.Gateway] {
		gateways = append(gateways, g.line.Addr())
	}
	for n := range receivers {
		u, uri := member("receiver", n)
		l.receivers = append(l.receivers, &receiver{Receiver: u[0].NewReceiver(l.log, uri), client: u[0], room: uri, gateways: gateways, turn: n})
	}
	for range readers {
		l.readers = append(l.readers, owner)
	}
	return l
}

// during runs all clients until act has returned.
func (l *load) during(act func()) {
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
				l.receive(ctx, r, stay/2+rand.N(stay/2))
			}
		})
	}
	for n, u := range l.readers {
		clients.Go(func() { l.read(ctx, u, n) })
	}
	act()
}

// wait is a pause of up to most.
func wait(ctx context.Context, most time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(rand.N(most)):
	}
}

// send sends messages one after the other; every third without a key. One
// whose outcome is unknown is sent again with its key, to the other replica.
func (l *load) send(ctx context.Context, s *sender) {
	for ; ctx.Err() == nil; wait(ctx, sendPause) {
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

func (l *load) attempt(ctx context.Context, s *sender, c *chatdtest.Client) checker.Send {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	start := time.Now()
	var header []string
	if s.key != "" {
		header = []string{"Idempotency-Key", s.key}
	}
	answer, err := c.Call(ctx, http.MethodPost, "/api/chats/"+s.room+"/messages/", url.Values{"message": {s.text}}, header...)
	if err != nil {
		answer = chatdtest.Answer{}
	}
	l.explain("a send", answer)
	sent := c.Logged(answer, s.room, s.text)
	sent.Key, sent.Start = s.key, start
	return sent
}

// explain fails the test for an answer that no fault explains: whoever cannot
// be served is told to come back, and nothing else.
func (l *load) explain(what string, a chatdtest.Answer) {
	switch {
	case a.Status == 0 || a.Status == http.StatusOK:
	case a.Status != http.StatusServiceUnavailable:
		l.t.Errorf("%s was answered %d %s, want 200 or 503", what, a.Status, a.Body)
	case a.Header.Get("Retry-After") == "":
		l.t.Errorf("%s was answered 503 %s without Retry-After", what, a.Body)
	}
}

// receive stays at the next gateway for a while, and resumes from where it was.
func (l *load) receive(ctx context.Context, r *receiver, stay time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, stay)
	defer cancel()
	r.turn++
	r.client.Gateway = r.gateways[r.turn%len(r.gateways)]
	// How it ended is of no interest: what it received is.
	_ = r.Receive(ctx)
	if lost := r.Lost(); lost > r.lost {
		r.lost = lost
		l.t.Errorf("%s could not resume, though nothing has expired", r.client.Username)
	}
	// A gateway that is down refuses at once.
	wait(ctx, readPause)
}

func (l *load) read(ctx context.Context, u user, turn int) {
	for ; ctx.Err() == nil; wait(ctx, readPause) {
		turn++
		call, cancel := context.WithTimeout(ctx, callTimeout)
		read, err := u[turn%len(u)].Newest(call, l.uris[turn%rooms], 200)
		cancel()
		if err == nil {
			l.log.AddRead(read)
		}
		var status *chatdtest.StatusError
		if errors.As(err, &status) {
			l.explain("a history", status.Answer)
		}
	}
}

// mustGoOn checks that sending and live delivery go on for a while.
func (l *load) mustGoOn(t *testing.T, duration time.Duration) {
	// What was under way when it began does not count.
	time.Sleep(time.Second)
	ackedBefore, receivedBefore, readsBefore := l.log.Counts()
	time.Sleep(duration - time.Second)
	acked, received, reads := l.log.Counts()
	acked, received, reads = acked-ackedBefore, received-receivedBefore, reads-readsBefore
	t.Logf("meanwhile %d sends were acknowledged, %d messages received and %d histories read", acked, received, reads)
	// A small part of what the clients do, also on a machine that has much else
	// to do: this is about whether it goes on.
	if want := int(duration.Seconds()); acked < want || received < want {
		t.Errorf("%d sends acknowledged and %d messages received in %s, want at least %d of each", acked, received, duration, want)
	}
}

// check waits until everything has come back, and proves the promises.
func (l *load) check(t *testing.T, after string) {
	t.Helper()
	began := time.Now()
	final := l.settle(t, after)
	var catchUps sync.WaitGroup
	for _, r := range l.receivers {
		catchUps.Go(func() { l.catchUp(r, final[r.room], after) })
	}
	catchUps.Wait()
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
func (l *load) settle(t *testing.T, after string) map[string][]checker.Message {
	t.Helper()
	final := map[string][]checker.Message{}
	deadline := time.Now().Add(settleTimeout)
	for {
		err := l.histories(t, final)
		if err == nil {
			return final
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: no history within %s: %v", after, settleTimeout, err)
		}
		wait(t.Context(), readPause)
	}
}

func (l *load) histories(t *testing.T, final map[string][]checker.Message) error {
	for _, uri := range l.uris {
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
func (l *load) catchUp(r *receiver, history []checker.Message, after string) {
	if len(history) == 0 {
		return
	}
	deadline := time.Now().Add(settleTimeout)
	for last := history[len(history)-1].ID; r.Last() < last; {
		if time.Now().After(deadline) {
			l.t.Errorf("after %s: %s has not received %s within %s", after, r.client.Username, last, settleTimeout)
			return
		}
		l.receive(l.t.Context(), r, time.Second)
	}
}
