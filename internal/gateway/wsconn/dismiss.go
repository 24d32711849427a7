package wsconn

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/chatcluster/chatcluster/internal/metrics"
)

// Dismissal is how connections are sent away.
type Dismissal struct {
	// Window is the time over which they are closed, in random order at a
	// random pace, so that they do not come back to others all at once.
	Window time.Duration
	// Code and Reason are those of the close frames, Why is for the metrics.
	Code   int
	Reason string
	Why    metrics.Close
}

// Close dismisses all connections, admits no further ones, and waits until they
// have ended or ctx ends; it then cuts off those that are left.
func (s *Set) Close(ctx context.Context, d Dismissal) {
	s.mu.Lock()
	s.closed = true
	if s.count == 0 {
		close(s.empty)
	}
	s.mu.Unlock()
	s.dismiss(ctx, s.all(), d)
	select {
	case <-s.empty:
	case <-ctx.Done():
		for _, c := range s.all() {
			c.cut(d.Why)
		}
		<-s.empty
	}
}

// Choose is up to n open connections by chance.
func (s *Set) Choose(n int) []*Conn {
	conns := s.all()
	rand.Shuffle(len(conns), func(i, j int) { conns[i], conns[j] = conns[j], conns[i] })
	return conns[:min(n, len(conns))]
}

// Shed dismisses the connections, which are of this set, and returns when the
// last has been told to close. When ctx ends, those whose turn has not come stay.
func (s *Set) Shed(ctx context.Context, conns []*Conn, d Dismissal) { s.dismiss(ctx, conns, d) }

func (s *Set) all() []*Conn {
	var conns []*Conn
	for i := range wheelSlots {
		conns = append(conns, s.slot(i)...)
	}
	return conns
}

// dismiss tells those connections that want to know when they will be closed,
// and closes them. It returns early when ctx ends, or when all connections have
// left by themselves and no others can come.
func (s *Set) dismiss(ctx context.Context, conns []*Conn, d Dismissal) {
	rand.Shuffle(len(conns), func(i, j int) { conns[i], conns[j] = conns[j], conns[i] })
	begin, times := time.Now(), schedule(len(conns), d.Window, rand.Float64)
	// All are told before the first is closed: what they are told still holds
	// if the process is killed before the window ends.
	for i, c := range conns {
		if f := c.handler.Reconnect(max(times[i]-time.Since(begin), 0)); f != nil {
			c.Push(f)
		}
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i, c := range conns {
		if pause := times[i] - time.Since(begin); pause > 0 {
			timer.Reset(pause)
			select {
			case <-timer.C:
			case <-s.empty:
				return
			case <-ctx.Done():
				return
			}
		}
		c.Close(d.Code, d.Reason, d.Why)
	}
}

// schedule cuts the window into n equal parts and takes a moment of each by
// chance; random is in [0, 1). So the rate is even, and nobody can tell when
// it is whose turn.
func schedule(n int, window time.Duration, random func() float64) []time.Duration {
	times := make([]time.Duration, n)
	for i := range times {
		times[i] = time.Duration((float64(i) + random()) * float64(window) / float64(n))
	}
	return times
}
