package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// pingEvery and silence bound how long a connection that died without a
	// word goes unnoticed.
	pingEvery = 20 * time.Second
	silence   = 50 * time.Second
	// controlWait bounds the writing of a ping or a close.
	controlWait = time.Second
	// maxFrame bounds a frame, in bytes.
	maxFrame = 8 << 20
)

// socket is one connection to the gateway. One goroutine, which ends with
// close, pings the server and closes the connection when the context ends.
type socket struct {
	conn   *websocket.Conn
	cancel context.CancelFunc
	keeper sync.WaitGroup
}

func (c *Client) dial(ctx context.Context, uri string, query url.Values) (*socket, error) {
	target := c.gateway.JoinPath(url.PathEscape(uri))
	target.RawQuery = query.Encode()
	header := http.Header{}
	c.authorize(header)
	conn, resp, err := c.dialer.DialContext(ctx, target.String(), header)
	if errors.Is(err, websocket.ErrBadHandshake) && resp != nil {
		body, _ := io.ReadAll(resp.Body) // gorilla keeps its first KiB
		return nil, decodeError(resp.StatusCode, resp.Header, body)
	}
	if err != nil {
		return nil, unreachable(fmt.Errorf("connect to %s: %w", c.gateway.Host, err))
	}
	conn.SetReadLimit(maxFrame)
	conn.SetPongHandler(func(string) error { return conn.SetReadDeadline(time.Now().Add(silence)) })
	ctx, cancel := context.WithCancel(ctx)
	s := &socket{conn: conn, cancel: cancel}
	s.keeper.Go(func() { s.keep(ctx) })
	return s, nil
}

func (s *socket) keep(ctx context.Context) {
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			// A ping that cannot be written shows in the reading too.
			_ = s.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(controlWait))
		case <-ctx.Done():
			goodbye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
			_ = s.conn.WriteControl(websocket.CloseMessage, goodbye, time.Now().Add(controlWait))
			s.conn.Close()
			return
		}
	}
}

func (s *socket) close() {
	s.cancel()
	s.keeper.Wait()
}

// read answers the next text frame, or a ClosedError if the server closed.
func (s *socket) read() ([]byte, error) {
	// The clock of the silence starts with the reading: what the caller did
	// with the last frame may have taken longer.
	if err := s.conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return nil, err
	}
	_, data, err := s.conn.ReadMessage()
	if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
		return nil, &ClosedError{Code: closed.Code, Reason: closed.Text}
	}
	return data, err
}

// ReceiveRaw connects once, as a client that knows nothing of ids does, and
// hands every frame over as it came. It returns the context's cause, the error
// of deliver, or why the connection failed or ended.
func (c *Client) ReceiveRaw(ctx context.Context, uri string, deliver func(frame []byte) error) error {
	s, err := c.dial(ctx, uri, nil)
	if err != nil {
		return orCause(ctx, err)
	}
	defer s.close()
	for {
		data, err := s.read()
		if err != nil {
			return orCause(ctx, err)
		}
		if err := deliver(data); err != nil {
			return err
		}
	}
}

// orCause is why the context ended if it has: err is then only how that
// showed.
func orCause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
