package benchcluster_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/chatcluster/chatcluster/test/chatdtest"
)

const (
	resumeRooms = 20
	// resumeRate is messages per second; each goes to a room's share of the
	// sockets.
	resumeRate = 50
)

// BenchmarkResume kills a gateway with many sockets under a steady load, and
// measures from then on until all have resumed at another gateway. They go
// there at once, as clients without any backoff would: the worst that they can
// do.
func BenchmarkResume(b *testing.B) {
	for b.Loop() {
		c := chatdtest.StartCluster(b, "--send-rate=0", "--max-sockets="+strconv.Itoa(*sockets+100))
		c.AddGateway()
		r := newReunion(b, c)
		start := time.Now()
		r.open(b)
		b.ReportMetric(float64(*sockets)/time.Since(start).Seconds(), "opened/s")

		ctx, cancel := context.WithCancel(b.Context())
		sent := make(chan error, 1)
		go func() { sent <- r.send(ctx) }()
		time.Sleep(time.Second) // every room has messages
		r.killed = time.Now()
		c.Gateways[0].Kill()
		took := make(times, 0, *sockets)
		timeout := time.After(time.Minute)
		for range *sockets {
			select {
			case d := <-r.resumed:
				took = append(took, d)
			case <-timeout:
				b.Fatalf("resumed: got %d sockets within a minute, want %d", len(took), *sockets)
			}
		}
		cancel()
		if err := <-sent; err != nil {
			b.Error(err)
		}
		lost, repeated := r.close(b)
		took.report(b, "")
		b.ReportMetric(milliseconds(took[len(took)-1]), "all-ms")
		b.ReportMetric(float64(lost), "lost")
		b.ReportMetric(float64(repeated), "repeated")
	}
}

// reunion is the clients of a gateway that is killed.
type reunion struct {
	cluster *chatdtest.Cluster
	sender  *chatdtest.Client
	rooms   []string
	sent    []int // by room; valid once send has returned
	killed  time.Time
	// resumed gets how long after the kill each socket had resumed.
	resumed   chan time.Duration
	listeners []*listener
	stop      context.CancelFunc
	ended     errgroup.Group
}

// listener is a client that counts what it gets. The messages of a room are
// numbered from 0 on, and sent one after the other.
type listener struct {
	room           int
	last           string // the id of the last message, or where it began
	next           atomic.Int64
	lost, repeated int
}

func newReunion(b *testing.B, c *chatdtest.Cluster) *reunion {
	b.Helper()
	r := &reunion{
		cluster: c, sender: chatdtest.Register(b, c.Server(0), "amir"), sent: make([]int, resumeRooms),
		resumed: make(chan time.Duration, *sockets), listeners: make([]*listener, *sockets),
	}
	for range resumeRooms {
		r.rooms = append(r.rooms, r.sender.CreateSession(b))
	}
	return r
}

// open connects all listeners to the first gateway.
func (r *reunion) open(b *testing.B) {
	b.Helper()
	var ctx context.Context
	ctx, r.stop = context.WithCancel(b.Context())
	var began sync.WaitGroup
	free := make(chan struct{}, 64) // bounds the handshakes under way
	began.Add(*sockets)
	for i := range r.listeners {
		l := &listener{room: i % resumeRooms}
		r.listeners[i] = l
		free <- struct{}{}
		r.ended.Go(func() error {
			start := sync.OnceFunc(func() { <-free; began.Done() })
			defer start()
			return r.listen(ctx, l, start)
		})
	}
	began.Wait()
	for _, l := range r.listeners {
		if l.last == "" {
			r.stop()
			b.Fatalf("open sockets: %v", r.ended.Wait())
		}
	}
}

// listen receives at the first gateway until that is gone, then at the second
// until ctx ends.
func (r *reunion) listen(ctx context.Context, l *listener, began func()) error {
	started, err := r.receive(ctx, l, r.cluster.Gateways[0].Gateway, "?ids=1", func(f frame) error {
		l.last = f.Position
		began()
		return nil
	})
	if !started {
		return err
	}
	for started = false; !started && ctx.Err() == nil; {
		started, err = r.receive(ctx, l, r.cluster.Gateways[1].Gateway, "?ids=1&after="+l.last, func(f frame) error {
			if f.Recovered == nil || !*f.Recovered {
				return errors.New("a socket was not recovered")
			}
			r.resumed <- time.Since(r.killed)
			return nil
		})
		if !started { // the gateway is too busy to let it in
			time.Sleep(10*time.Millisecond + rand.N(20*time.Millisecond))
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

type frame struct {
	ID        string `json:"id"`
	Message   string `json:"message"`
	Recovered *bool  `json:"recovered"`
	Position  string `json:"position"`
}

// receive counts messages until the socket ends. start gets the first frame,
// which says where the socket begins; started tells whether there was one.
func (r *reunion) receive(ctx context.Context, l *listener, gateway, query string, start func(frame) error) (started bool, err error) {
	conn, err := dial(ctx, gateway, r.rooms[l.room], query, r.sender.Token)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var f frame
	if err := conn.ReadJSON(&f); err != nil {
		return false, err
	}
	if err := start(f); err != nil {
		return true, err
	}
	for {
		var f frame
		if err := conn.ReadJSON(&f); err != nil {
			return true, err
		}
		if err := l.count(f); err != nil {
			return true, err
		}
	}
}

// count compares a message's number with the one that has to come next.
func (l *listener) count(f frame) error {
	number, err := strconv.ParseInt(f.Message, 10, 64)
	if err != nil {
		return err
	}
	l.last = f.ID
	next := l.next.Load()
	if number < next {
		l.repeated++
		return nil
	}
	l.lost += int(number - next)
	l.next.Store(number + 1)
	return nil
}

// send sends to all rooms in turn, at an even pace, until ctx ends.
func (r *reunion) send(ctx context.Context) error {
	tick := time.NewTicker(time.Second / resumeRate)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		room := i % resumeRooms
		// Once begun it has to end: what is sent must be known.
		if err := post(context.WithoutCancel(ctx), r.sender, r.rooms[room], strconv.Itoa(r.sent[room])); err != nil {
			return err
		}
		r.sent[room]++
	}
}

// close waits until everything has arrived, or cannot be expected any more, and
// counts what did not, and what did twice.
func (r *reunion) close(b *testing.B) (lost, repeated int) {
	b.Helper()
	deadline := time.Now().Add(5 * time.Second)
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for _, l := range r.listeners {
		for l.next.Load() < int64(r.sent[l.room]) && time.Now().Before(deadline) {
			<-poll.C
		}
	}
	r.stop()
	if err := r.ended.Wait(); err != nil {
		b.Error(err)
	}
	for _, l := range r.listeners {
		lost += l.lost + r.sent[l.room] - int(l.next.Load())
		repeated += l.repeated
	}
	return lost, repeated
}
