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
	// ended is closed with the ctx of the beginning.
	ended <-chan struct{}

	mu       sync.Mutex // guards the rest
	released bool
	opened   []net.Conn
	// stop ends the wait for ctx.
	stop func() bool
}

func newDialer(ctx context.Context, timeout time.Duration) *dialer {
	d := &dialer{Dialer: net.Dialer{Timeout: timeout}, ended: ctx.Done()}
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
	dialed := make(chan struct{})
	defer func() { close(dialed); cancel() }()
	go func() {
		select {
		case <-d.ended:
			cancel()
		case <-dialed:
		}
	}()
	conn, err := d.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.released:
	case ctx.Err() != nil: // closeAll has run, or would have missed it
		conn.Close()
		return nil, ctx.Err()
	default:
		d.opened = append(d.opened, conn)
	}
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
