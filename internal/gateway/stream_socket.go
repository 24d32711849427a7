package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/gateway/feed"
	"github.com/chatcluster/chatcluster/internal/gateway/wire"
	"github.com/chatcluster/chatcluster/internal/gateway/wsconn"
	"github.com/chatcluster/chatcluster/internal/metrics"
)

// streamSocket is a socket of many rooms.
type streamSocket struct {
	gateway *Gateway
	conn    *wsconn.Conn
	// id is the origin of the socket's enters and leaves.
	id    string
	login *login

	// mu guards the rest. It may be taken with a partition locked, so the feed
	// must not be called while it is held.
	mu   sync.Mutex
	user chat.User
	// dead is set once the socket takes no commands any more: its token is
	// dead, or it has ended.
	dead  bool
	rooms map[int64]*streamRoom
}

// streamRoom is a room that the socket has joined.
type streamRoom struct {
	socket *streamSocket
	room   chat.Room
	ids    atomic.Bool
	// entering is true until the socket's own enter has come back by the log:
	// that is its place in the room's order, so nothing before it is delivered.
	// Only the feed uses it, with the partition locked.
	entering bool
	// settled is closed once the join has been answered, or the socket put out
	// of the room before.
	settled chan struct{}
	settle  func() // closes settled; may be called again
	// sub is guarded by streamSocket.mu, and nil while the join is under way.
	sub *feed.Subscription
}

func (s *streamSocket) newRoom(room chat.Room, ids bool) *streamRoom {
	r := &streamRoom{socket: s, room: room, settled: make(chan struct{})}
	r.settle = sync.OnceFunc(func() { close(r.settled) })
	r.ids.Store(ids)
	return r
}

// StreamHandler serves the socket of many rooms, whatever the path.
func (g *Gateway) StreamHandler() http.Handler { return g.handler(g.serveStream) }

func (g *Gateway) serveStream(w http.ResponseWriter, r *http.Request) error {
	began := g.options.Now()
	identity, err := g.options.Authenticate(r)
	if err != nil {
		return err
	}
	ws, err := g.upgrade(w, r)
	if err != nil {
		return nil // it has answered
	}
	s := &streamSocket{
		gateway: g, user: identity.User, rooms: map[int64]*streamRoom{},
		id: g.options.ID + "-" + strconv.FormatInt(g.lastSocket.Add(1), 36),
	}
	conn, ok := g.conns.Open(ws, metrics.EndpointStream, s)
	if !ok {
		tooLate(ws)
		return nil
	}
	s.conn = conn
	defer conn.Start()
	if s.login, ok = g.logins.add(s, identity, began); !ok {
		s.loggedOut()
	}
	return nil
}

// account is the user as far as is known, and whether the socket still takes
// commands.
func (s *streamSocket) account() (chat.User, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.user, !s.dead
}

// enter puts the socket into a room, or a new subscription in the place of an
// earlier one. It reports false if the socket is dead. It is called with the
// partition locked.
func (s *streamSocket) enter(r *streamRoom) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return false
	}
	again := s.rooms[r.room.ID] != nil
	s.rooms[r.room.ID] = r
	if !again {
		s.gateway.presence.join(r.room.URI, s.user.Profile)
		s.gateway.announcer.announce(r.room, s.notice(chat.EventEnter, r.room))
	}
	return true
}

func (s *streamSocket) notice(kind chat.EventKind, room chat.Room) chat.Event {
	return chat.Event{Kind: kind, Room: room.URI, Sender: s.user.Profile, Origin: s.id}
}

// remove takes the socket out of a room, unless that has happened already, and
// tells the others if there is still a room to tell them in. The caller cancels
// the subscription.
func (s *streamSocket) remove(r *streamRoom, tell bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rooms[r.room.ID] != r {
		return false
	}
	delete(s.rooms, r.room.ID)
	s.leave(r, tell)
	return true
}

// leave takes the socket out of the presence. streamSocket.mu is held.
func (s *streamSocket) leave(r *streamRoom, tell bool) {
	r.settle()
	s.gateway.presence.leave(r.room.URI, s.user.ID)
	if tell {
		s.gateway.announcer.announce(r.room, s.notice(chat.EventLeave, r.room))
	}
}

// keep makes sub the room's subscription, or ends it if the socket has been
// taken out of the room meanwhile.
func (r *streamRoom) keep(sub *feed.Subscription) {
	r.socket.mu.Lock()
	in := r.socket.rooms[r.room.ID] == r
	if in {
		r.sub = sub
	}
	r.socket.mu.Unlock()
	if !in {
		sub.Cancel()
	}
}

// cancel ends the subscription. One that is still to come is ended by keep.
func (r *streamRoom) cancel() {
	r.socket.mu.Lock()
	sub := r.sub
	r.sub = nil
	r.socket.mu.Unlock()
	if sub != nil {
		sub.Cancel()
	}
}

// leaveAll takes the socket out of all rooms, for good.
func (s *streamSocket) leaveAll() {
	s.mu.Lock()
	s.dead = true
	rooms := s.rooms
	s.rooms = map[int64]*streamRoom{}
	for _, r := range rooms {
		s.leave(r, true)
	}
	s.mu.Unlock()
	for _, r := range rooms {
		r.cancel()
	}
}

// loggedOut implements loginOwner.
func (s *streamSocket) loggedOut() {
	s.leaveAll()
	s.conn.Push(wire.Error{Code: wire.UserHasToLogin}.Frame())
}

// userChanged implements loginOwner.
func (s *streamSocket) userChanged(user chat.User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.user = user
	for _, r := range s.rooms {
		s.gateway.rechecks.add(r)
	}
}

// disconnect implements loginOwner.
func (s *streamSocket) disconnect(code int, reason string, why metrics.Close) {
	s.conn.Close(code, reason, why)
}

// Reconnect implements wsconn.Handler. It is for those who have joined a room
// with ids.
func (s *streamSocket) Reconnect(delay time.Duration) *wire.Frame {
	after := map[int64]string{}
	for id, sub := range s.resumable() {
		after[id] = sub.Position().String()
	}
	if len(after) == 0 {
		return nil
	}
	return wire.StreamReconnect(delay, after)
}

// resumable is the subscriptions of the rooms that can be resumed, by room.
func (s *streamSocket) resumable() map[int64]*feed.Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	subs := map[int64]*feed.Subscription{}
	for id, r := range s.rooms {
		// One that is entering has its position told by the answer to its join.
		if r.ids.Load() && r.sub != nil && r.isSettled() {
			subs[id] = r.sub
		}
	}
	return subs
}

func (r *streamRoom) isSettled() bool {
	select {
	case <-r.settled:
		return true
	default:
		return false
	}
}

// Ended implements wsconn.Handler.
func (s *streamSocket) Ended() {
	s.leaveAll()
	if s.login != nil {
		s.gateway.logins.remove(s.login)
	}
}

func (r *streamRoom) format() wire.Format {
	if r.ids.Load() {
		return wire.RoomIDs
	}
	return wire.Room
}

// Deliver implements feed.Subscriber.
func (r *streamRoom) Deliver(d *feed.Delivery) bool {
	switch d.Kind {
	case chat.EventMessage:
		if !r.entering {
			r.socket.conn.Push(d.Frame(r.format(), r.room.ID))
		}
	case chat.EventEnter, chat.EventLeave:
		switch {
		case d.Origin == r.socket.id:
			r.entered(d.ID)
		case !r.entering:
			r.socket.conn.Push(d.Notice(r.room.ID))
		}
	case chat.EventMemberRemoved:
		if d.Subject == r.socket.login.userID {
			r.putOut(wire.RoomAccessDenied)
			return false
		}
	case chat.EventRoomChanged:
		r.socket.gateway.rechecks.add(r)
	case chat.EventRoomDeleted:
		r.putOut(wire.RoomInvalid)
		return false
	}
	return true
}

// entered answers the join, at the place that the room's log gave it. A later
// enter or leave of this socket is none of its business.
func (r *streamRoom) entered(at chat.MessageID) {
	if !r.entering {
		return
	}
	r.entering = false
	var start wire.Start
	if r.ids.Load() {
		start.Position = at.String()
	}
	r.socket.conn.Push(wire.Joined(r.room, start))
	r.settle()
}

// putOut takes the socket out of the room and says why.
func (r *streamRoom) putOut(why wire.Code) {
	if r.socket.remove(r, why != wire.RoomInvalid) {
		r.socket.conn.Push(wire.Error{Code: why, Room: r.room.ID}.Frame())
	}
}

// Lost implements feed.Subscriber.
func (r *streamRoom) Lost() { r.socket.conn.Close(codeResume, "resume", metrics.CloseLog) }

// recheck implements rechecker.
func (r *streamRoom) recheck(ctx context.Context) error {
	ref, err := r.socket.gateway.rooms.Lookup(ctx, r.room.URI)
	if err == nil {
		user, _ := r.socket.account()
		err = r.socket.gateway.rooms.AuthorizeWrite(ctx, user, ref.Room)
	}
	switch {
	case errors.Is(err, chat.ErrNotFound):
		r.putOut(wire.RoomInvalid)
	case errors.Is(err, chat.ErrForbidden):
		r.putOut(wire.RoomAccessDenied)
	case err != nil:
		return fmt.Errorf("look up rights: %w", err)
	default:
		return nil
	}
	r.cancel()
	return nil
}
