// Package proxy is a TCP line between a client and a server that a test can
// break: cut, slow, half-open, or one that loses the answers.
//
// A Proxy is safe for concurrent use. It owns its goroutines, which end with
// Close. What it holds is bounded: beyond maxLinks connections it refuses, and
// of each direction of one it buffers queued chunks, then reads no more, so
// that the sender feels it as it would feel a full socket.
package proxy

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	// maxLinks bounds the connections at a time.
	maxLinks = 2048
	// chunkBytes is the most that is read at once, and queued how many such
	// chunks a direction holds back: together with what the kernel buffers, a
	// slow line holds about half a megabyte.
	chunkBytes = 16 << 10
	queued     = 32
	// dialTimeout is how long the server may take to accept.
	dialTimeout = 10 * time.Second
)

// direction is one of the two ways of a connection.
type direction int

const (
	requests direction = iota // from the client to the server
	answers                   // and back
)

// condition is what is wrong with a line.
type condition struct {
	// cut: every connection is reset.
	cut bool
	// loses: what goes this way vanishes, though it seems to be sent.
	loses [2]bool
	// delay is added to each way.
	delay time.Duration
	// rate is how many bytes pass in a second each way of a connection; 0 is
	// no limit.
	rate int
}

// Proxy forwards the connections to one address to another one.
type Proxy struct {
	listener net.Listener
	target   string
	running  sync.WaitGroup

	mu        sync.Mutex // guards the rest
	closed    bool
	condition condition
	links     map[*link]struct{}
}

// Listen forwards connections to addr on to target, which need not answer yet.
// Both are host:port; port 0 of addr is any free one.
func Listen(addr, target string) (*Proxy, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for %s: %w", target, err)
	}
	p := &Proxy{listener: listener, target: target, links: map[*link]struct{}{}}
	p.running.Go(p.accept)
	return p, nil
}

// Addr is where it listens, as host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close ends all connections, and returns when nothing of it runs.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.endLinks(func(*link) bool { return true })
	p.mu.Unlock()
	err := p.listener.Close()
	p.running.Wait()
	return err
}

// Cut resets all connections, and each new one as soon as it is made.
func (p *Proxy) Cut() {
	p.set(condition{cut: true})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endLinks(func(*link) bool { return true })
}

// Slow adds the delay to each way, and lets through as many bytes a second each
// way of a connection; a rate of 0 is no limit.
func (p *Proxy) Slow(delay time.Duration, rate int) { p.set(condition{delay: delay, rate: rate}) }

// Blackhole makes all connections half-open: they stay, new ones are accepted,
// and whatever is sent vanishes, also that one end closes.
func (p *Proxy) Blackhole() { p.set(condition{loses: [2]bool{true, true}}) }

// LoseAnswers forwards what clients send and loses what the server answers.
func (p *Proxy) LoseAnswers() { p.set(condition{loses: [2]bool{answers: true}}) }

// Heal ends whatever is wrong. A connection that has lost bytes is reset: TCP
// never goes on after a loss.
func (p *Proxy) Heal() { p.set(condition{}) }

func (p *Proxy) set(c condition) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.condition = c
	p.endLinks(func(l *link) bool {
		return l.lost[requests] && !c.loses[requests] || l.lost[answers] && !c.loses[answers]
	})
}

// endLinks resets those that match; it is called with the lock.
func (p *Proxy) endLinks(match func(*link) bool) {
	for l := range p.links {
		if match(l) {
			l.end()
		}
	}
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// The process has no more files, for a moment.
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if l := p.add(conn); l != nil {
			p.running.Go(func() {
				l.run(p.target)
				p.mu.Lock()
				defer p.mu.Unlock()
				delete(p.links, l)
			})
		}
	}
}

// add is a new link for the client's connection, or nil if it was reset.
func (p *Proxy) add(client net.Conn) *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.condition.cut || len(p.links) >= maxLinks {
		reset(client)
		return nil
	}
	l := newLink(p, client)
	p.links[l] = struct{}{}
	return l
}

// pass says what is to become of something that goes one way of a link: lost,
// or forwarded after the delay, at the rate. Loss is noted in the same step,
// so that no link with a hole outlives the end of the condition.
func (p *Proxy) pass(l *link, way direction) (lost bool, delay time.Duration, rate int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.lost[way] || p.condition.loses[way] {
		l.lost[way] = true
		return true, 0, 0
	}
	return false, p.condition.delay, p.condition.rate
}

// reset closes a connection so that its peer notices at once (RST).
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // it is closed either way
	}
	_ = conn.Close() // nobody could do anything about an error
}
