package client

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/websocket"
)

// ReceiveOptions are the optional parts of Receive. The callbacks run on the
// goroutine that called Receive; nil ones are not called.
type ReceiveOptions struct {
	// After resumes after the message with this id; empty starts with the
	// messages that are sent from now on.
	After string
	// OnConnected tells that the server delivers, and where in the session the
	// live messages of this connection start.
	OnConnected func(position string)
	// OnRetry tells that there is no connection at present, and when the next
	// one is tried.
	OnRetry func(err error, wait time.Duration)
	// OnLoss tells of messages that may be missing.
	OnLoss func(Loss)
}

// Loss is a place where messages may be missing: the server no longer has all
// of them, or does not give them to this user.
type Loss struct {
	// After and Before are the ids around the place. What came before After and
	// what comes after Before is not affected.
	After, Before string
}

// goodAfter is how long a connection holds to count as a good one, even if
// nothing was said on it.
const goodAfter = 10 * time.Second

// Receive hands over the session's messages, each once and in their order,
// until the context ends. A connection that fails is replaced after a jittered
// and growing wait, and resumes where the last one ended. What the server
// cannot resume is read from the history, as far as it is there; the rest is
// told to OnLoss. A server that goes away says when to connect again; OnRetry is
// then called like for any other end.
//
// It returns the context's cause, the error of deliver as it is, or why
// connecting again would not help: an Error of the handshake (ErrUnauthenticated,
// ErrForbidden, ErrNotFound), or a ClosedError.
func (c *Client) Receive(ctx context.Context, uri string, o ReceiveOptions, deliver func(Message) error) error {
	r := receiver{client: c, uri: uri, options: o, deliver: deliver, last: o.After}
	for failures := 0; ; failures++ {
		started, last := time.Now(), r.last
		r.reconnectAt, r.reconnectFrom = time.Time{}, ""
		err := r.connection(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if stop, ok := errors.AsType[*deliverError](err); ok {
			return stop.err
		}
		asked, again := worthReconnecting(err)
		if !again {
			return err
		}
		if r.last != last || time.Since(started) >= goodAfter {
			failures = 0
		}
		r.last = max(r.last, r.reconnectFrom)
		wait := r.wait(failures, asked)
		if o.OnRetry != nil {
			o.OnRetry(err, wait)
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// wait is how long to wait before the next connection. A server that announced
// the end of a good one has chosen the moment already; it is at least that
// moment where something failed too.
func (r *receiver) wait(failures int, asked time.Duration) time.Duration {
	if r.reconnectAt.IsZero() {
		return socketBackoff.delay(failures, asked, r.client.random())
	}
	announced := max(time.Until(r.reconnectAt), 0)
	if failures == 0 {
		return announced
	}
	return socketBackoff.delay(failures, announced, r.client.random())
}

// worthReconnecting decides what follows the end of a connection, and how long
// the server asks to wait first.
func worthReconnecting(err error) (asked time.Duration, again bool) {
	if refused, ok := errors.AsType[*Error](err); ok {
		return refused.RetryAfter, refused.Temporary() || refused.Status >= http.StatusInternalServerError
	}
	if closed, ok := errors.AsType[*ClosedError](err); ok {
		return 0, retryableClose(closed.Code)
	}
	// The next connection would meet the same frame.
	return 0, !errors.Is(err, websocket.ErrReadLimit)
}

// retryableClose tells whether a socket that was closed with the code is worth
// replacing.
func retryableClose(code int) bool {
	switch code {
	case closeTokenDead, closeRemoved:
		return false
	case websocket.CloseProtocolError, websocket.CloseUnsupportedData, websocket.CloseInvalidFramePayloadData,
		websocket.ClosePolicyViolation, websocket.CloseMessageTooBig, websocket.CloseMandatoryExtension:
		return false
	default:
		return code < 4500
	}
}

// deliverError is the error of the caller's own deliver.
type deliverError struct{ err error }

func (e *deliverError) Error() string { return e.err.Error() }

// receiver is one Receive call.
type receiver struct {
	client  *Client
	uri     string
	options ReceiveOptions
	deliver func(Message) error
	// last is the position that everything up to is dealt with; empty before
	// the server has told one.
	last string
	// vouched is the position up to which the connection gives everything, as
	// the server said at its start.
	vouched string
	// reconnectAt is when the server wants a new connection; zero if it has not
	// said so on this one.
	reconnectAt time.Time
	// reconnectFrom is the position to resume from then, unless a message has
	// come after it.
	reconnectFrom string
}

// connection receives over one socket until it ends.
func (r *receiver) connection(ctx context.Context) error {
	query := url.Values{"ids": {"1"}}
	if r.last != "" {
		query = url.Values{"after": {r.last}}
	}
	s, err := r.client.dial(ctx, r.uri, query)
	if err != nil {
		return err
	}
	defer s.close()
	for {
		data, err := s.read()
		if err != nil {
			return err
		}
		f, err := decodeFrame(data)
		if err != nil {
			return err
		}
		if err := r.handle(ctx, f); err != nil {
			return err
		}
	}
}

func (r *receiver) handle(ctx context.Context, f frame) error {
	if f.position != "" && f.kind != frameReconnect {
		r.vouched = f.position
	}
	switch f.kind {
	case frameMessage:
		return r.message(ctx, f)
	case frameLost:
		if err := r.catchUp(ctx, f.position); err != nil {
			return err
		}
		// Nothing before the position comes on this connection.
		r.last = max(r.last, f.position)
	case framePosition:
		r.last = max(r.last, f.position)
	case frameReconnect:
		// It is received on until the server closes.
		r.reconnectAt, r.reconnectFrom = time.Now().Add(f.delay), f.position
		return nil
	case frameRecovered:
		// The missed messages, which lie before the position, are still to come.
	default:
		return nil
	}
	if r.options.OnConnected != nil {
		r.options.OnConnected(f.position)
	}
	return nil
}

func (r *receiver) message(ctx context.Context, f frame) error {
	m := f.message
	switch {
	case m.ID == "" || r.last == "":
	case m.ID <= r.last:
		return nil // a double
	case f.prev > max(r.last, r.vouched):
		// Up to vouched nothing can be missing, and prev may be a mere position
		// there instead of a message.
		if err := r.closeGap(ctx, f.prev, m.ID); err != nil {
			return err
		}
	}
	return r.give(m)
}

func (r *receiver) give(m Message) error {
	if err := r.deliver(m); err != nil {
		return &deliverError{err}
	}
	r.last = max(r.last, m.ID)
	return nil
}

// catchUp delivers from the history what a connection that could not resume
// has missed up to the position. Messages expire oldest first, so the loss, if
// there is one, comes before the first that is still there.
func (r *receiver) catchUp(ctx context.Context, position string) error {
	told := false
	for m, err := range r.missed(ctx, position) {
		if err != nil {
			return err
		}
		if !told {
			r.tellLoss(m.ID)
			told = true
		}
		if err := r.give(m); err != nil {
			return err
		}
	}
	if !told && position > r.last {
		r.tellLoss(position)
	}
	return nil
}

// closeGap delivers the messages up to and including prev, which should have
// come before the message with the id next.
func (r *receiver) closeGap(ctx context.Context, prev, next string) error {
	for m, err := range r.missed(ctx, prev) {
		if err != nil {
			return err
		}
		if err := r.give(m); err != nil {
			return err
		}
	}
	if r.last < prev {
		r.tellLoss(next)
	}
	return nil
}

func (r *receiver) tellLoss(before string) {
	if r.options.OnLoss != nil {
		r.options.OnLoss(Loss{After: r.last, Before: before})
	}
}

// missed reads the history after the last message up to and including upTo. If
// this user may not read the history, it is empty. Any other error is
// temporary, and a new connection asks again from the last message on.
func (r *receiver) missed(ctx context.Context, upTo string) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		if r.client.token == "" {
			return // history is for members; an anonymous listener has only the URI
		}
		for m, err := range r.client.Forward(ctx, r.uri, r.last) {
			if refused, ok := errors.AsType[*Error](err); ok {
				if _, again := worthReconnecting(refused); !again {
					return
				}
			}
			if err == nil && m.ID > upTo || !yield(m, err) {
				return
			}
		}
	}
}
