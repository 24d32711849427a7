package kafka

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

const (
	// poolIdle is how many unused connections are kept for each broker.
	poolIdle = 8
	// poolBusy is how many requests of callers (Read, Bounds) a broker gets at
	// once; further ones wait.
	poolBusy = 32
	// poolIdleTime is well below the 10 minutes after which a broker closes an
	// idle connection by default.
	poolIdleTime = 4 * time.Minute
	// blameTime is how long a broker that failed is asked after the others.
	blameTime = 30 * time.Second
	// bufferLimit is the largest buffer that an idle connection keeps.
	bufferLimit = 256 << 10
	// Pauses before a broker that could not be reached is dialled again.
	redialMin, redialMax = 50 * time.Millisecond, time.Second
	// redialDenied is the pause if it refused the credentials: they will not
	// become right soon, and brokers log and count each attempt.
	redialDenied = 30 * time.Second
)

// pool keeps connections to brokers, by address.
type pool struct {
	options Options
	mu      sync.Mutex // guards what follows
	hosts   map[string]*host
	closed  bool
}

// host is what the pool knows of one address.
type host struct {
	idle []*conn
	busy chan struct{}
	// After a failure nobody dials before until; all get err meanwhile.
	failures int
	until    time.Time
	err      error
	// blamed is when an exchange failed last.
	blamed time.Time
}

func newPool(o Options) *pool { return &pool{options: o, hosts: map[string]*host{}} }

// host is called with mu held.
func (p *pool) host(address string) *host {
	h := p.hosts[address]
	if h == nil {
		h = &host{busy: make(chan struct{}, poolBusy)}
		p.hosts[address] = h
	}
	return h
}

// get returns a connection to the address: an idle one or a new one. The
// caller gives it back with put.
func (p *pool) get(ctx context.Context, address string) (*conn, error) {
	c, err := p.takeIdle(address)
	if c != nil || err != nil {
		return c, err
	}
	c, err = dial(ctx, p.options, address)
	p.note(address, err, ctx.Err() != nil)
	return c, err
}

func (p *pool) takeIdle(address string) (*conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.host(address)
	for len(h.idle) > 0 {
		c := h.idle[len(h.idle)-1]
		h.idle = h.idle[:len(h.idle)-1]
		if time.Since(c.idleSince) < poolIdleTime {
			return c, nil
		}
		c.Close()
	}
	if time.Now().Before(h.until) {
		return nil, h.err
	}
	return nil, nil
}

// note remembers how dialling went.
func (p *pool) note(address string, err error, cancelled bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.host(address)
	switch {
	case err == nil:
		h.failures, h.err, h.until = 0, nil, time.Time{}
	case !cancelled:
		pause := jitter(min(redialMin<<min(h.failures, 10), redialMax))
		if isDenied(err) {
			pause = redialDenied
		}
		h.failures++
		h.err, h.until = err, time.Now().Add(pause)
	}
}

// put gives a connection back; a broken one is closed.
func (p *pool) put(address string, c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.host(address)
	if c.broken || p.closed || len(h.idle) >= poolIdle {
		c.Close()
		return
	}
	if cap(c.in) > bufferLimit {
		c.in = nil
	}
	if cap(c.out) > bufferLimit {
		c.out = nil
	}
	c.idleSince = time.Now()
	h.idle = append(h.idle, c)
}

// discard closes the idle connections to the address: one has failed, so the
// others are likely dead too.
func (p *pool) discard(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.host(address)
	h.blamed = time.Now()
	for _, c := range h.idle {
		c.Close()
	}
	h.idle = nil
}

// order puts addresses into a random order with those last that have failed
// lately: a broker that is paused costs a time-out to ask.
func (p *pool) order(addresses []string) {
	rand.Shuffle(len(addresses), func(i, j int) { addresses[i], addresses[j] = addresses[j], addresses[i] })
	p.mu.Lock()
	defer p.mu.Unlock()
	blamed := func(address string) int {
		if h := p.host(address); time.Since(h.blamed) < blameTime || time.Now().Before(h.until) {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(addresses, func(a, b string) int { return blamed(a) - blamed(b) })
}

// do runs f with a connection to the address. At most poolBusy run at once.
func (p *pool) do(ctx context.Context, address string, f func(*conn) error) error {
	p.mu.Lock()
	busy := p.host(address).busy
	p.mu.Unlock()
	select {
	case busy <- struct{}{}:
		defer func() { <-busy }()
	case <-ctx.Done():
		return fmt.Errorf("wait for a connection: %w", ctx.Err())
	}
	c, err := p.get(ctx, address)
	if err != nil {
		return err
	}
	defer func() { p.put(address, c) }()
	err = f(c)
	if c.broken && ctx.Err() == nil {
		p.discard(address)
	}
	return err
}

// link is one goroutine's lasting connection to a broker, wherever that is.
type link struct {
	cluster *cluster
	broker  int32
	address string
	*conn
}

// connect sees to a connection that works, as far as is known.
func (l *link) connect(ctx context.Context) error {
	address, ok := l.cluster.address(l.broker)
	if !ok {
		return fmt.Errorf("broker %d: %w", l.broker, kafkago.BrokerNotAvailable)
	}
	if l.conn != nil && (l.broken || l.address != address) {
		l.release()
	}
	if l.conn != nil {
		return nil
	}
	c, err := l.cluster.pool.get(ctx, address)
	if err != nil {
		return err
	}
	l.conn, l.address = c, address
	return nil
}

// release gives the connection back.
func (l *link) release() {
	if l.conn != nil {
		l.cluster.pool.put(l.address, l.conn)
		l.conn = nil
	}
}

// close closes the idle connections; those in use are closed by put.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, h := range p.hosts {
		for _, c := range h.idle {
			c.Close()
		}
		h.idle = nil
	}
}

// jitter is d with up to half of it taken away at random, so that processes do
// not come back in step.
func jitter(d time.Duration) time.Duration { return d - rand.N(d/2) }
