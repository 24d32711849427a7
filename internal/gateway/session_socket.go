package gateway

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/gateway/feed"
	"github.com/chatcluster/chatcluster/internal/gateway/wire"
	"github.com/chatcluster/chatcluster/internal/gateway/wsconn"
	"github.com/chatcluster/chatcluster/internal/metrics"
)

// sessionSocket is the socket of one session or room. It only receives.
type sessionSocket struct {
	gateway *Gateway
	conn    *wsconn.Conn
	ref     chat.RoomRef
	ids     bool
	// viewer is nil for one without a token.
	viewer atomic.Pointer[chat.User]
	login  *login // nil for one without a token
	// sub is nil until the subscription has begun.
	sub atomic.Pointer[feed.Subscription]
}

// SessionHandler serves GET /{ref}, the socket of the session or room with that
// URI or integer id.
func (g *Gateway) SessionHandler() http.Handler { return g.handler(g.serveSession) }

func (g *Gateway) serveSession(w http.ResponseWriter, r *http.Request) error {
	after, ids, err := resumeQuery(r)
	if err != nil {
		return err
	}
	ctx, cancel := backend(r)
	defer cancel()
	began := g.options.Now()
	identity, err := g.options.Authenticate(r)
	anonymous := errors.Is(err, chat.ErrUnauthenticated)
	if err != nil && !anonymous {
		return err
	}
	s := &sessionSocket{gateway: g, ids: ids}
	if !anonymous {
		s.viewer.Store(&identity.User)
	}
	if s.ref, err = g.rooms.Lookup(ctx, refOf(r)); err != nil {
		return err
	}
	if err := s.authorize(ctx); err != nil {
		return err
	}
	// Acquired before the upgrade, so that a log that is away is answered with
	// a status. From then on the client may expect to receive, so that is where
	// the subscription, which needs the WebSocket, will begin.
	p, err := g.feed.Acquire(ctx, s.ref.Room.Partition)
	if err != nil {
		return err
	}
	from := p.Next()
	ws, err := g.upgrade(w, r)
	if err != nil {
		return nil // it has answered
	}
	conn, ok := g.conns.Open(ws, metrics.EndpointSession, s)
	if !ok {
		tooLate(ws)
		return nil
	}
	s.conn = conn
	defer conn.Start()
	if !anonymous {
		if s.login, ok = g.logins.add(s, identity, began); !ok {
			s.loggedOut()
			return nil
		}
	}
	s.start(ctx, after, from)
	return nil
}

func (s *sessionSocket) authorize(ctx context.Context) error {
	return s.gateway.rooms.AuthorizeRead(ctx, s.viewer.Load(), s.ref)
}

func (s *sessionSocket) start(ctx context.Context, after *chat.MessageID, from int64) {
	sub, err := s.gateway.subscribe(ctx, subscription{
		ref: s.ref, authorize: s.authorize, after: after, from: &from, begin: s.begin,
	}, s)
	switch {
	case err == nil:
		s.sub.Store(sub)
	case errors.Is(err, chat.ErrForbidden) || errors.Is(err, chat.ErrUnauthenticated):
		s.removed()
	default:
		s.gateway.options.Logger.Warn("subscription failed", "error", err)
		s.conn.Close(codeTryAgainLater, "try again later", metrics.CloseLog)
	}
}

func (s *sessionSocket) format() wire.Format {
	if s.ids {
		return wire.SessionIDs
	}
	return wire.Session
}

func (s *sessionSocket) begin(b feed.Beginning) {
	start, missed := s.gateway.beginning(b, s.ref.Room, s.format())
	if s.ids {
		s.conn.Push(wire.SessionStart(start))
	}
	for _, f := range missed {
		s.conn.Push(f)
	}
}

// Deliver implements feed.Subscriber.
func (s *sessionSocket) Deliver(d *feed.Delivery) bool {
	switch d.Kind {
	case chat.EventMessage:
		s.conn.Push(d.Frame(s.format(), s.ref.Room.ID))
	case chat.EventMemberRemoved:
		if viewer := s.viewer.Load(); viewer != nil && viewer.ID == d.Subject {
			s.removed()
			return false
		}
	case chat.EventRoomChanged:
		s.gateway.rechecks.add(s)
	case chat.EventRoomDeleted:
		s.deleted()
		return false
	}
	return true
}

// Lost implements feed.Subscriber.
func (s *sessionSocket) Lost() { s.conn.Close(codeResume, "resume", metrics.CloseLog) }

// recheck implements rechecker.
func (s *sessionSocket) recheck(ctx context.Context) error {
	ref, err := s.gateway.rooms.Lookup(ctx, s.ref.Room.URI)
	if errors.Is(err, chat.ErrNotFound) {
		s.deleted()
		return nil
	}
	if err != nil {
		return err
	}
	ref.ByURI = s.ref.ByURI
	err = s.gateway.rooms.AuthorizeRead(ctx, s.viewer.Load(), ref)
	if errors.Is(err, chat.ErrForbidden) || errors.Is(err, chat.ErrUnauthenticated) {
		s.removed()
		return nil
	}
	return err
}

func (s *sessionSocket) removed() {
	s.conn.Close(codeRemoved, "you may no longer read this", metrics.CloseRevoked)
}

func (s *sessionSocket) deleted() {
	s.conn.Close(codeRoomDeleted, "this room was deleted", metrics.CloseRevoked)
}

// loggedOut implements loginOwner.
func (s *sessionSocket) loggedOut() {
	s.conn.Close(codeTokenDead, "log in again", metrics.CloseRevoked)
}

// userChanged implements loginOwner.
func (s *sessionSocket) userChanged(user chat.User) {
	s.viewer.Store(&user)
	s.gateway.rechecks.add(s)
}

// disconnect implements loginOwner.
func (s *sessionSocket) disconnect(code int, reason string, why metrics.Close) {
	s.conn.Close(code, reason, why)
}

// Receive implements wsconn.Handler: what the client says means nothing here.
func (s *sessionSocket) Receive(bool, []byte) {}

// Reconnect implements wsconn.Handler. A socket that has not begun gets its
// first frame first.
func (s *sessionSocket) Reconnect(delay time.Duration) *wire.Frame {
	sub := s.sub.Load()
	if !s.ids || sub == nil {
		return nil
	}
	return wire.SessionReconnect(delay, sub.Position().String())
}

// Ended implements wsconn.Handler.
func (s *sessionSocket) Ended() {
	if sub := s.sub.Load(); sub != nil {
		sub.Cancel()
	}
	if s.login != nil {
		s.gateway.logins.remove(s.login)
	}
}
