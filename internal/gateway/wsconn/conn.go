package wsconn

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/chatcluster/chatcluster/internal/gateway/wire"
	"github.com/chatcluster/chatcluster/internal/metrics"
)

// CodeSlow is the close code for a client that does not keep up. Codes from
// 4000 to 4499 invite it to come back.
const CodeSlow = 4008

const slowReason = "slow consumer, reconnect with after"

// closeWait is how long a peer gets to answer a close frame.
const closeWait = time.Second

// Handler is whoever a connection belongs to.
type Handler interface {
	// Receive gets the messages of the client, one after the other, on a
	// goroutine that may block: later messages of this connection wait. data
	// is only valid during the call.
	Receive(text bool, data []byte)
	// Reconnect is the frame by which the client is told to connect again
	// after the delay; nil for a client that has not asked for such frames. It
	// may be called from when the connection is opened until after it has
	// ended, and must not block.
	Reconnect(delay time.Duration) *wire.Frame
	// Ended is called once, when nothing can be written or read any more.
	Ended()
}

// Conn is one connection.
type Conn struct {
	set      *Set
	ws       *websocket.Conn
	net      net.Conn
	handler  Handler
	endpoint string
	slot     int // of the set's wheel

	// lastRead and pinged are in Unix nanoseconds; a zero pinged is no ping yet.
	lastRead, pinged atomic.Int64
	// busy is set while the handler keeps the reader from reading pongs.
	busy atomic.Bool

	mu sync.Mutex // guards the queue; see queue.go
	queue

	// writing is held by whoever writes frames, and guards closeSent: after
	// the close frame nothing may follow.
	writing   sync.Mutex
	closeSent bool
}

// Open makes ws a connection of the set. Nothing is read before Start. It is
// false if the set is closed already.
func (s *Set) Open(ws *websocket.Conn, endpoint string, h Handler) (*Conn, bool) {
	c := &Conn{set: s, ws: ws, net: ws.NetConn(), handler: h, endpoint: endpoint}
	if !s.add(c) {
		return c, false
	}
	ws.SetReadLimit(s.options.ReadLimit)
	ws.SetPingHandler(func(payload string) error {
		c.touch()
		c.pushControl(wire.Pong(payload))
		return nil
	})
	ws.SetPongHandler(func(string) error {
		c.touch()
		return nil
	})
	// The answer to a close is written by the reader, once it has seen it.
	ws.SetCloseHandler(func(int, string) error { return nil })
	s.metrics.Connections.WithLabelValues(endpoint).Inc()
	s.metrics.Opened.WithLabelValues(endpoint).Inc()
	return c, true
}

// Start begins to read. The goroutine ends when the connection does, which the
// set waits for.
func (c *Conn) Start() { go c.read() }

func (c *Conn) touch() { c.lastRead.Store(time.Now().UnixNano()) }

func (c *Conn) ping(f *wire.Frame) {
	c.pinged.Store(time.Now().UnixNano())
	c.pushControl(f)
}

func (c *Conn) checkPong() {
	pinged := c.pinged.Load()
	if pinged != 0 && c.lastRead.Load() < pinged && !c.busy.Load() {
		c.cut(metrics.CloseLost)
	}
}

// cut ends the connection without a word: the peer would not hear it, or has
// not kept to the protocol of saying goodbye.
func (c *Conn) cut(why metrics.Close) {
	c.mu.Lock()
	c.endQueue(why)
	c.mu.Unlock()
	c.net.Close()
}

// read is the connection's goroutine. Its stack stays small: what a message
// needs runs on another.
func (c *Conn) read() {
	defer c.end()
	for {
		kind, r, err := c.ws.NextReader()
		if err != nil {
			c.readFailed(err)
			return
		}
		if !c.receive(kind == websocket.TextMessage, r) {
			return
		}
	}
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// receive hands one message to the handler and waits until it is done with it.
func (c *Conn) receive(text bool, r io.Reader) bool {
	b := buffers.Get().(*bytes.Buffer)
	b.Reset()
	defer buffers.Put(b)
	if _, err := b.ReadFrom(r); err != nil {
		c.readFailed(err)
		return false
	}
	c.touch()
	if text && !utf8.Valid(b.Bytes()) {
		c.Close(websocket.CloseInvalidFramePayloadData, "text is not valid UTF-8", metrics.CloseProtocol)
		return true // goes on until the peer has answered the close
	}
	if c.Closing() {
		return true
	}
	c.busy.Store(true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.handler.Receive(text, b.Bytes())
	}()
	<-done
	// Pongs that arrived meanwhile have not been read yet.
	c.touch()
	c.busy.Store(false)
	return true
}

// readFailed says goodbye as the end of reading asks for.
func (c *Conn) readFailed(err error) {
	var closed *websocket.CloseError
	var network net.Error
	why := metrics.CloseProtocol
	switch {
	case errors.As(err, &closed):
		why = metrics.CloseClient
	case errors.Is(err, websocket.ErrReadLimit):
		why = metrics.CloseTooLarge
	case errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		why = metrics.CloseLost
	}
	c.mu.Lock()
	c.endQueue(why)
	c.mu.Unlock()
	switch why {
	case metrics.CloseClient:
		code := closed.Code
		if code == websocket.CloseNoStatusReceived {
			code = 0
		}
		c.writeClose(wire.Close(code, ""))
	case metrics.CloseProtocol, metrics.CloseTooLarge:
		c.linger()
	}
}

// linger lets the peer read the close frame that the library has written: to
// close while there is unread input makes the kernel throw it away.
func (c *Conn) linger() {
	if tcp, ok := c.net.(*net.TCPConn); ok {
		tcp.CloseWrite()
	}
	c.net.SetReadDeadline(time.Now().Add(closeWait))
	io.Copy(io.Discard, c.net)
}

// end is the last thing that a connection does.
func (c *Conn) end() {
	c.net.Close()
	c.handler.Ended()
	c.mu.Lock()
	why := c.why
	c.mu.Unlock()
	c.set.metrics.Connections.WithLabelValues(c.endpoint).Dec()
	c.set.metrics.Closed.WithLabelValues(c.endpoint, string(why)).Inc()
	c.set.remove(c)
}
