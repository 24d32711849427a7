//go:build e2e

package e2e_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/client"
	"github.com/chatcluster/chatcluster/test/chatdtest"
	"k8s.io/apimachinery/pkg/util/rand"
)

// settleTime is how long the sockets of a crowd may take to have all messages.
const settleTime = 2 * time.Minute

// crowd is many sockets in some sessions, to each of which a message a second
// is sent.
type crowd struct {
	sessions   []*crowdSession
	reconnects atomic.Int64
	// endSending ends the senders, stop the sockets too.
	endSending, stop context.CancelFunc
	senders, sockets sync.WaitGroup
}

type crowdSession struct {
	uri string
	// mu guards the rest.
	mu sync.Mutex
	// sent are the ids of the acknowledged messages, got those that each socket
	// has, both in order.
	sent []string
	got  [][]string
}

// newCrowd connects sockets, as many in each session, and begins to send.
func newCrowd(t *testing.T, server *chatdtest.Server, sockets, sessions int) *crowd {
	t.Helper()
	api, err := client.New(client.Options{Server: "http://" + server.API, Gateway: "ws://" + server.Gateway})
	if err != nil {
		t.Fatal(err)
	}
	name := "crowd-" + rand.String(8)
	if _, err := api.Register(t.Context(), name, chatdtest.Password, name+"@mail.com"); err != nil {
		t.Fatal(err)
	}
	token, err := api.Login(t.Context(), name, chatdtest.Password)
	if err != nil {
		t.Fatal(err)
	}
	api = api.WithToken(token)
	ctx, stop := context.WithCancel(context.Background())
	quiet, quieten := context.WithCancel(ctx)
	c := &crowd{endSending: quieten, stop: stop}
	for range sessions {
		uri, err := api.CreateSession(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.sessions = append(c.sessions, &crowdSession{uri: uri, got: make([][]string, sockets/sessions)})
	}
	// Sixteen at a time, for the machine also carries the servers.
	connected, turn := make(chan struct{}, sockets), make(chan struct{}, 16)
	for _, session := range c.sessions {
		for i := range session.got {
			c.sockets.Go(func() { c.receive(ctx, t, api, session, i, turn, connected) })
		}
	}
	for range sockets {
		select {
		case <-connected:
		case <-time.After(patience):
			t.Fatal("the sockets do not connect")
		}
	}
	for _, session := range c.sessions {
		c.senders.Go(func() { session.send(ctx, quiet, t, api) })
	}
	return c
}

func (c *crowd) receive(ctx context.Context, t *testing.T, api *client.Client, s *crowdSession, i int, turn, connected chan struct{}) {
	turn <- struct{}{}
	first := sync.OnceFunc(func() { <-turn; connected <- struct{}{} })
	err := api.Receive(ctx, s.uri, client.ReceiveOptions{
		OnConnected: func(string) { first() },
		OnRetry:     func(error, time.Duration) { c.reconnects.Add(1) },
		OnLoss: func(l client.Loss) {
			t.Errorf("a socket of %s lost what is between %s and %s", s.uri, l.After, l.Before)
		},
	}, func(m client.Message) error {
		s.mu.Lock()
		s.got[i] = append(s.got[i], m.ID)
		s.mu.Unlock()
		return nil
	})
	if ctx.Err() == nil {
		t.Errorf("a socket of %s ended: %v", s.uri, err)
	}
}

// send sends a message every second, each until it is acknowledged, and ends
// between two of them when quiet ends.
func (s *crowdSession) send(ctx, quiet context.Context, t *testing.T, api *client.Client) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for quiet.Err() == nil {
		key := client.NewKey()
		m, err := api.Send(ctx, s.uri, "x", key)
		for err != nil && ctx.Err() == nil {
			t.Logf("a send is repeated: %v", err)
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
			m, err = api.Send(ctx, s.uri, "x", key)
		}
		if ctx.Err() != nil {
			return
		}
		s.mu.Lock()
		s.sent = append(s.sent, m.ID)
		s.mu.Unlock()
		select {
		case <-tick.C:
		case <-quiet.Done():
		}
	}
}

// check waits until every socket has what had been sent by now, and checks that
// it has nothing twice and all in order.
func (c *crowd) check(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(settleTime)
	messages := 0
	for _, s := range c.sessions {
		s.mu.Lock()
		want := slices.Clone(s.sent)
		s.mu.Unlock()
		messages += len(want)
		for i := range s.got {
			for {
				s.mu.Lock()
				got := slices.Clone(s.got[i])
				s.mu.Unlock()
				if len(got) >= len(want) && slices.Equal(got[:len(want)], want) {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("socket %d of %s has %d messages, want %d: one is missing, doubled or out of order", i, s.uri, len(got), len(want))
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
	}
	t.Logf("%d messages to %d sockets each: all delivered, once and in order", messages, len(c.sessions[0].got))
}

// quieten ends the senders, waits until all that they sent has arrived, and tells
// how many messages were acknowledged, and how many received.
func (c *crowd) quieten(t *testing.T) (acked, received int) {
	t.Helper()
	c.endSending()
	c.senders.Wait()
	c.check(t)
	for _, s := range c.sessions {
		acked += len(s.sent)
		for _, got := range s.got {
			received += len(got)
		}
	}
	return acked, received
}

func (c *crowd) leave() {
	c.stop()
	c.senders.Wait()
	c.sockets.Wait()
}
