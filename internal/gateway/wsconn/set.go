package wsconn

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/chatcluster/chatcluster/internal/gateway/wire"
	"github.com/chatcluster/chatcluster/internal/metrics"
)

// Options are the settings of a Set; all are required.
type Options struct {
	// PingInterval is the time between two pings of a connection. One that
	// does not answer within PongTimeout is lost. PongTimeout must be shorter.
	PingInterval, PongTimeout time.Duration
	// WriteTimeout is how old a frame may get in the queue.
	WriteTimeout time.Duration
	// QueueBytes bounds the queue of one connection.
	QueueBytes int
	// ReadLimit is the largest message of a client, in bytes.
	ReadLimit int64
}

// wheelSlots is into how many parts a round of pings is cut.
const wheelSlots = 32

// Set is the open connections of one gateway.
type Set struct {
	options Options
	metrics *metrics.Metrics

	mu    sync.Mutex // guards slots, count and closed
	slots [wheelSlots]map[*Conn]struct{}
	count int
	// empty is closed once the set is closed and the last connection has ended.
	empty  chan struct{}
	closed bool
}

// NewSet returns a Set without connections.
func NewSet(m *metrics.Metrics, o Options) *Set {
	s := &Set{options: o, metrics: m, empty: make(chan struct{})}
	for i := range s.slots {
		s.slots[i] = map[*Conn]struct{}{}
	}
	return s
}

// Len is the number of open connections.
func (s *Set) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// add puts c into a slot by chance, so that pings do not come in waves. It
// reports false if the set is closed.
func (s *Set) add(c *Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	c.slot = rand.IntN(wheelSlots)
	s.slots[c.slot][c] = struct{}{}
	s.count++
	return true
}

func (s *Set) remove(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.slots[c.slot], c)
	s.count--
	if s.closed && s.count == 0 {
		close(s.empty)
	}
}

func (s *Set) slot(i int) []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	conns := make([]*Conn, 0, len(s.slots[i]))
	for c := range s.slots[i] {
		conns = append(conns, c)
	}
	return conns
}

// Run pings the connections until ctx ends. It is one timing wheel rather than
// a timer for each connection.
func (s *Set) Run(ctx context.Context) {
	tick := max(s.options.PingInterval/wheelSlots, time.Millisecond)
	// A slot's connections are looked at for their pongs this many ticks after
	// their ping, and before the next.
	wait := int((s.options.PongTimeout + tick - 1) / tick)
	wait = min(max(wait, 1), wheelSlots-1)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	ping := wire.Ping()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, c := range s.slot(i % wheelSlots) {
			c.ping(ping)
		}
		for _, c := range s.slot((i + wheelSlots - wait) % wheelSlots) {
			c.checkPong()
		}
	}
}
