package clienttest

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/chatcluster/chatcluster/internal/client"
)

// Over serves the API and the gateway over pipes in memory, so that a test may
// run in a synctest bubble, and answers options for a client of them. All of it
// ends with the test.
func Over(t *testing.T, api, gateway http.Handler) client.Options {
	t.Helper()
	apiPipes, gatewayPipes := servePipes(t, api), servePipes(t, gateway)
	transport := &http.Transport{DialContext: apiPipes.dial}
	t.Cleanup(transport.CloseIdleConnections)
	return client.Options{
		Server:     "http://chat.test:8000",
		HTTPClient: &http.Client{Transport: transport},
		Dialer:     &websocket.Dialer{NetDialContext: gatewayPipes.dial},
		Random:     func() float64 { return 0.5 },
	}
}

// pipes is a listener whose connections are pipes.
type pipes struct {
	accepts chan net.Conn
	closed  chan struct{}
	once    sync.Once // closes closed
}

func servePipes(t *testing.T, handler http.Handler) *pipes {
	p := &pipes{accepts: make(chan net.Conn), closed: make(chan struct{})}
	server := httptest.NewUnstartedServer(handler)
	server.Listener.Close()
	server.Listener = p
	server.Start()
	t.Cleanup(server.Close)
	return p
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.accepts <- far:
		return near, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.accepts:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
