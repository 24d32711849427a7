package behaviour_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/client"
	"github.com/chatcluster/chatcluster/test/chatdtest"
	"github.com/chatcluster/chatcluster/test/checker"
)

// balancer takes connections to whichever backend is set, as a Service does
// whose endpoints change.
type balancer struct {
	listener net.Listener
	backend  atomic.Pointer[string]
}

func newBalancer(t *testing.T, backend string) *balancer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{listener: listener}
	b.backend.Store(&backend)
	var pipes sync.WaitGroup
	pipes.Go(func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			pipes.Go(func() { pipe(in, *b.backend.Load()) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		pipes.Wait() // the clients have left by now
	})
	return b
}

func pipe(in net.Conn, address string) {
	defer in.Close()
	out, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer out.Close()
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(in, out) // how it ends shows at both ends
		in.Close()
	})
	_, _ = io.Copy(out, in)
	out.Close()
	back.Wait()
}

// TestRollingRestartLosesNothing: a gateway is drained under load, as on a
// rolling update; its clients go to the other one, each once and when told to.
func TestRollingRestartLosesNothing(t *testing.T) {
	const receivers, window = 40, 2 * time.Second
	c := chatdtest.StartCluster(t, "--drain-delay=1s", "--drain-window="+window.String())
	old, next := c.Gateways[0], c.AddGateway()
	user := chatdtest.Register(t, c.Server(0), "amir")
	uri := user.CreateSession(t)
	lb := newBalancer(t, old.Gateway)

	type received struct {
		texts   []string
		losses  int
		retries []time.Duration
	}
	const end = "the end"
	all, ended := make([]received, receivers), make(chan struct{}, receivers)
	var running, connected sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	api, err := client.New(client.Options{Server: "http://" + user.API, Gateway: "ws://" + lb.listener.Addr().String(), Token: user.Token})
	if err != nil {
		t.Fatal(err)
	}
	connected.Add(receivers)
	for i := range all {
		r, first := &all[i], sync.OnceFunc(connected.Done)
		running.Go(func() {
			_ = api.Receive(ctx, uri, client.ReceiveOptions{ // it ends with ctx, or the end does not come
				OnConnected: func(string) { first() },
				OnRetry:     func(_ error, wait time.Duration) { r.retries = append(r.retries, wait) },
				OnLoss:      func(client.Loss) { r.losses++ },
			}, func(m client.Message) error {
				if r.texts = append(r.texts, m.Text); m.Text == end {
					ended <- struct{}{}
				}
				return nil
			})
		})
	}
	connected.Wait()

	var sent []string
	send := func(text string) {
		if s := user.Send(ctx, uri, text, ""); s.Outcome != checker.Acked {
			t.Errorf("send %q: got %v, want that it is accepted", text, s.Outcome)
		}
		sent = append(sent, text)
	}
	sending, enough := context.WithCancel(ctx)
	sender := make(chan struct{})
	go func() {
		defer close(sender)
		for n := 0; sending.Err() == nil; n++ {
			send(fmt.Sprint("message ", n))
			time.Sleep(10 * time.Millisecond)
		}
		send(end)
	}()
	old.Signal(t, syscall.SIGTERM)
	awaitDraining(t, old.Metrics)
	lb.backend.Store(&next.Gateway)
	for limit := time.Now().Add(30 * time.Second); old.Running(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("the gateway does not stop")
		}
	}
	enough()
	<-sender
	for range receivers {
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			t.Fatal("not every receiver got the last message")
		}
	}
	stop()
	running.Wait()

	for i, r := range all {
		if !slices.Equal(r.texts, sent) {
			t.Errorf("receiver %d: got %d messages, want all %d in order, each once", i, len(r.texts), len(sent))
		}
		if r.losses != 0 || len(r.retries) != 1 || r.retries[0] > window {
			t.Errorf("receiver %d: got losses %d and waits %v, want one wait within the window", i, r.losses, r.retries)
		}
	}
}

// awaitDraining waits until /readyz at the address says that the server drains.
func awaitDraining(t *testing.T, address string) {
	t.Helper()
	for limit := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		_, body := probe(t, address, "/readyz")
		if strings.HasPrefix(body, `{"status":"draining"`) {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("/readyz: got %s, want that it drains", body)
		}
	}
}
