package cassandra

import (
	"context"
	"net"
	"sync"
	"time"
)

// dialer opens connections that a ctx ends for as long as a session begins: the
// driver's own beginning cannot be told to stop.
type dialer struct {
	net.Dialer
	// beginning is what ends before the session is there, if it has to.
	beginning context.Context
	// stop ends the wait for beginning.
	stop func() bool

	mu       sync.Mutex // guards the rest
	released bool
	opened   []net.Conn
}

func newDialer(ctx context.Context, timeout time.Duration) *dialer {
	d := &dialer{Dialer: net.Dialer{Timeout: timeout}, beginning: ctx}
	d.stop = context.AfterFunc(ctx, d.closeAll)
	return d
}

// DialContext connects, and gives up when the beginning has to.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	d.mu.Lock()
	released := d.released
	d.mu.Unlock()
	if released {
		return d.Dialer.DialContext(ctx, network, address)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.beginning, cancel)()
	conn, err := d.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.released {
		return conn, nil
	}
	// Asked of beginning itself: closeAll may have run already, and ctx, which
	// another goroutine cancels, may not have heard of it.
	if err := d.beginning.Err(); err != nil {
		conn.Close()
		return nil, err
	}
	d.opened = append(d.opened, conn)
	return conn, nil
}

func (d *dialer) closeAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, conn := range d.opened {
		conn.Close()
	}
}

// release lets the connections live on: the session is there.
func (d *dialer) release() {
	d.stop()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.released, d.opened = true, nil
}
