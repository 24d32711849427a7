package kafka_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/log/kafka"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"
)

// guard stands before a broker, if there is one, and asks for credentials. To
// the broker it sends on what comes after them.
type guard struct {
	net.Listener
	broker string
	// newest is the newest version of each request that it offers.
	newest int16
	// open: it lets everybody in. Otherwise nobody.
	open atomic.Bool
	// tries counts the passwords that it has seen.
	tries atomic.Int64
	conns sync.WaitGroup
	// cut is closed and replaced to end all connections.
	mu  sync.Mutex // guards cut
	cut chan struct{}
}

func newGuard(t *testing.T, newest int16) *guard {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &guard{Listener: listener, newest: newest, cut: make(chan struct{})}
	g.conns.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			g.conns.Go(func() { g.serve(c) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		g.cutAll()
		g.conns.Wait()
	})
	return g
}

func (g *guard) cutAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.cut)
	g.cut = make(chan struct{})
}

func (g *guard) serve(c net.Conn) {
	g.mu.Lock()
	cut := g.cut
	g.mu.Unlock()
	done := make(chan struct{})
	defer close(done)
	g.conns.Go(func() {
		select {
		case <-cut:
		case <-done:
		}
		c.Close()
	})
	for in := false; !in; {
		version, id, _, request, err := protocol.ReadRequest(c)
		if err != nil {
			return
		}
		var answer protocol.Message
		switch request.(type) {
		case *apiversions.Request:
			offered := &apiversions.Response{}
			for key := range int16(60) {
				offered.ApiKeys = append(offered.ApiKeys, apiversions.ApiKeyResponse{ApiKey: key, MaxVersion: g.newest})
			}
			answer = offered
		case *saslhandshake.Request:
			answer = &saslhandshake.Response{Mechanisms: []string{"PLAIN"}}
		case *saslauthenticate.Request:
			g.tries.Add(1)
			in = g.open.Load()
			if in {
				answer = &saslauthenticate.Response{}
			} else {
				const authenticationFailed = 58
				answer = &saslauthenticate.Response{ErrorCode: authenticationFailed, ErrorMessage: "invalid credentials"}
			}
		default:
			return
		}
		if err := protocol.WriteResponse(c, version, id, answer); err != nil {
			return
		}
	}
	broker, err := net.Dial("tcp", g.broker)
	if err != nil {
		return
	}
	defer broker.Close()
	g.conns.Go(func() {
		io.Copy(c, broker)
		c.Close()
	})
	io.Copy(broker, c)
}

func (g *guard) options() kafka.Options {
	return kafka.Options{Brokers: []string{g.Addr().String()}, Epochs: &epochs{}}
}

func TestWrongCredentials(t *testing.T) {
	g := newGuard(t, 20)
	o := g.options()
	o.SASL = &kafka.SASL{Mechanism: "PLAIN", Username: "chat", Password: "wrong-secret"}
	_, err := kafka.Open(testContext(t), o)
	var denied *kafka.DeniedError
	if !errors.As(err, &denied) || !errors.Is(err, chat.ErrUnavailable) {
		t.Errorf("Open: %v, want a DeniedError", err)
	}
	if text := err.Error(); !strings.Contains(text, "invalid credentials") || strings.Contains(text, "secret") {
		t.Errorf("Open: %v, want the broker's reason and no password", err)
	}
	if got := g.tries.Load(); got != 1 {
		t.Errorf("tried %d times, want 1", got)
	}
}

// TestCredentialsRevoked takes the credentials away from an open log: it must
// not hammer the broker with them.
func TestCredentialsRevoked(t *testing.T) {
	o := options(t)
	g := newGuard(t, 20)
	g.broker = o.Brokers[0]
	g.open.Store(true)
	o.SASL = &kafka.SASL{Mechanism: "PLAIN", Username: "chat", Password: "secret"}
	dialer := &net.Dialer{}
	o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, g.Addr().String())
	}
	l := newLog(t, o, 4)
	ctx := testContext(t)
	tail := l.Tail()
	defer tail.Close()
	for n := range int32(4) {
		tail.Add(partition(n), 0)
	}
	if _, _, err := l.Append(ctx, partition(0), "room", nil); err != nil {
		t.Fatal(err)
	}
	nextRecord(ctx, t, tail)

	g.open.Store(false)
	before := g.tries.Load()
	g.cutAll()
	var group sync.WaitGroup
	for n := range int32(4) {
		for range 5 {
			group.Go(func() {
				_, _, err := l.Append(ctx, partition(n), "room", nil)
				var denied *kafka.DeniedError
				if !errors.As(err, &denied) && !errors.Is(err, chat.ErrOutcomeUnknown) {
					t.Errorf("Append without access: %v, want a DeniedError", err)
				}
			})
		}
	}
	group.Wait()
	// Several may dial at once before one has failed.
	if got := g.tries.Load() - before; got < 1 || got > 6 {
		t.Errorf("the credentials were tried %d times, want a few", got)
	}
}

func TestNoAccess(t *testing.T) {
	tests := []struct {
		name   string
		newest int16
		change func(*kafka.Options)
		want   string
	}{
		{"old broker", 7, func(*kafka.Options) {}, "Kafka 3.1 or later"},
		{"TLS where there is none", 20, func(o *kafka.Options) { o.TLS = &tls.Config{} }, "connect to broker"},
		{"credentials wanted", 20, func(*kafka.Options) {}, "want SASL?"},
		{"unknown mechanism", 20, func(o *kafka.Options) { o.SASL = &kafka.SASL{Mechanism: "GSSAPI"} }, "GSSAPI"},
		{"no brokers", 20, func(o *kafka.Options) { o.Brokers = nil }, "no brokers"},
		{"no port", 20, func(o *kafka.Options) { o.Brokers = []string{"localhost"} }, "localhost"},
		{"no epochs", 20, func(o *kafka.Options) { o.Epochs = nil }, "Epochs"},
		{"small queue", 20, func(o *kafka.Options) { o.QueueBytes = 10 }, "queues of 10"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := newGuard(t, test.newest)
			o := g.options()
			o.DialTimeout = time.Second
			test.change(&o)
			if _, err := kafka.Open(testContext(t), o); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Open: %v, want it to say %q", err, test.want)
			}
		})
	}
}
