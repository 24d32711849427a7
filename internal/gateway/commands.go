package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/gateway/feed"
	"github.com/chatcluster/chatcluster/internal/gateway/wire"
	"github.com/chatcluster/chatcluster/internal/metrics"
)

// Receive implements wsconn.Handler: it does what a command says and answers.
func (s *streamSocket) Receive(text bool, data []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), backendTimeout)
	defer cancel()
	if err := s.command(ctx, text, data); err != nil {
		s.conn.Push(s.errorFor(err).Frame())
	}
}

func (s *streamSocket) command(ctx context.Context, text bool, data []byte) error {
	user, alive := s.account()
	if !alive {
		return wire.Error{Code: wire.UserHasToLogin}
	}
	if !text {
		return wire.Error{Code: wire.CommandInvalid, Detail: "Send commands as text frames, not as binary ones."}
	}
	c, err := wire.DecodeCommand(data)
	if err != nil {
		return err
	}
	switch c.Name {
	case wire.Join:
		return s.join(ctx, user, c)
	case wire.Leave:
		return s.leaveRoom(ctx, c)
	case wire.Send:
		return s.send(ctx, user, c)
	default:
		return s.listUsers(ctx, user, c)
	}
}

// errorFor is what the client is told.
func (s *streamSocket) errorFor(err error) wire.Error {
	var told wire.Error
	var fields chat.FieldErrors
	var busy *chat.BusyError
	switch {
	case errors.As(err, &told):
		return told
	case errors.Is(err, chat.ErrNotFound):
		return wire.Error{Code: wire.RoomInvalid}
	case errors.Is(err, chat.ErrForbidden):
		return wire.Error{Code: wire.RoomAccessDenied}
	case errors.As(err, &fields):
		return wire.Error{Code: wire.MessageInvalid, Detail: sentences(fields)}
	case errors.As(err, &busy):
		e := wire.Error{Code: wire.Unavailable, Detail: busy.Reason, RetryAfter: int64(max(busy.RetryAfter, time.Second) / time.Second)}
		if busy.Caller {
			e.Code = wire.RateLimited
		}
		return e
	case errors.Is(err, chat.ErrRecordTooLarge):
		return wire.Error{Code: wire.MessageInvalid, Detail: "The message is too large."}
	case errors.Is(err, chat.ErrOutcomeUnknown):
		return wire.Error{Code: wire.Unavailable, Detail: "Whether the message was sent is not known: send it again with the same key."}
	default:
		s.gateway.options.Logger.Warn("command failed", "error", err)
		return wire.Error{Code: wire.Unavailable, Detail: "The server cannot do this now. Try again later."}
	}
}

func sentences(fields chat.FieldErrors) string {
	var all []string
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		all = append(all, fields[field]...)
	}
	return strings.Join(all, " ")
}

// joined is the room that a command names, if the socket has joined it.
func (s *streamSocket) joined(ref string) *streamRoom {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !chat.IsURI(ref) {
		if id, err := strconv.ParseInt(ref, 10, 64); err == nil {
			return s.rooms[id]
		}
		return nil
	}
	for _, r := range s.rooms {
		if r.room.URI == ref {
			return r
		}
	}
	return nil
}

func (s *streamSocket) join(ctx context.Context, user chat.User, c wire.Command) error {
	g := s.gateway
	ref, err := g.rooms.Lookup(ctx, c.Room)
	if err != nil {
		return err
	}
	before := s.joined(c.Room)
	switch {
	case before != nil && c.After == nil:
		return s.joinAgain(ctx, before, ref.Room, c.IDs)
	case before != nil:
		before.cancel()
	case s.countRooms() >= g.options.MaxRoomsPerSocket:
		return wire.Error{Code: wire.TooManyRooms, Detail: "This socket has joined " + strconv.Itoa(g.options.MaxRoomsPerSocket) + " rooms, which is as many as it may: leave one, or open another socket."}
	}
	if c.After != nil {
		s.conn.WaitDrained() // what was missed needs room in the queue
	}
	r := s.newRoom(ref.Room, c.IDs)
	alive := true
	sub, err := g.subscribe(ctx, subscription{
		ref:   ref,
		after: c.After,
		authorize: func(ctx context.Context) error {
			return g.rooms.AuthorizeWrite(ctx, user, ref.Room)
		},
		begin: func(b feed.Beginning) {
			if alive = s.enter(r); alive {
				r.begin(b)
			}
		},
	}, r)
	if err != nil {
		if before != nil {
			s.remove(before, true)
		}
		return err
	}
	if r.keep(sub); !alive {
		return wire.Error{Code: wire.UserHasToLogin}
	}
	select {
	case <-r.settled:
		return nil
	case <-ctx.Done():
	}
	r.cancel()
	s.remove(r, true)
	return fmt.Errorf("enter room: %w", ctx.Err())
}

func (s *streamSocket) countRooms() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.rooms)
}

// begin answers a resume and brings what was missed. Another join is answered
// when the room's log says that the socket has entered.
func (r *streamRoom) begin(b feed.Beginning) {
	if b.Source == feed.None {
		r.entering = true
		return
	}
	defer r.settle()
	start, missed := r.socket.gateway.beginning(b, r.room, r.format())
	r.socket.conn.Push(wire.Joined(r.room, start))
	for _, f := range missed {
		r.socket.conn.Push(f)
	}
}

// joinAgain answers a join of a room that the socket is in; nothing is
// announced. From now on messages have ids if it asks for them.
func (s *streamSocket) joinAgain(ctx context.Context, r *streamRoom, room chat.Room, ids bool) error {
	if !ids {
		s.conn.Push(wire.Joined(room, wire.Start{}))
		return nil
	}
	p, err := s.gateway.feed.Acquire(ctx, room.Partition)
	if err != nil {
		return err
	}
	r.ids.Store(true)
	s.conn.Push(wire.Joined(room, wire.Start{Position: p.Position().String()}))
	return nil
}

// leaveRoom answers the same for a room that the socket is not in.
func (s *streamSocket) leaveRoom(ctx context.Context, c wire.Command) error {
	r := s.joined(c.Room)
	if r == nil {
		ref, err := s.gateway.rooms.Lookup(ctx, c.Room)
		if err != nil {
			return err
		}
		s.conn.Push(wire.Left(ref.Room.ID))
		return nil
	}
	r.cancel()
	s.remove(r, true)
	s.conn.Push(wire.Left(r.room.ID))
	return nil
}

func (s *streamSocket) send(ctx context.Context, user chat.User, c wire.Command) error {
	g := s.gateway
	r := s.joined(c.Room)
	if r == nil {
		g.metrics.Refused.WithLabelValues(metrics.RefusedForbidden).Inc()
		if _, err := g.rooms.Lookup(ctx, c.Room); err != nil {
			return err
		}
		return wire.Error{Code: wire.RoomAccessDenied}
	}
	began := time.Now()
	sent, err := g.messages.Send(ctx, user, r.room, c.Message, c.Key)
	if err != nil {
		g.metrics.Refused.WithLabelValues(metrics.RefusedReason(err)).Inc()
		return err
	}
	g.metrics.AppendDuration.Observe(time.Since(began).Seconds())
	g.metrics.Accepted.Inc()
	if c.Ack {
		s.conn.Push(wire.Acknowledged(r.room.ID, sent.ID))
	}
	return nil
}

func (s *streamSocket) listUsers(ctx context.Context, user chat.User, c wire.Command) error {
	g := s.gateway
	ref, err := g.rooms.Lookup(ctx, c.Room)
	if err != nil {
		return err
	}
	if err := g.rooms.AuthorizeWrite(ctx, user, ref.Room); err != nil {
		return err
	}
	users, err := g.presence.users(ctx, ref.Room)
	if err != nil {
		return err
	}
	s.conn.Push(wire.RoomUsers(ref.Room.ID, users))
	return nil
}
