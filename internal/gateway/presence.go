package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/gateway/feed"
)

const (
	// flushEvery is how long a row may be behind.
	flushEvery = 500 * time.Millisecond
	// flushRows is how many rows are written at a time.
	flushRows = 500
	// step is by how much a time grows at least: the clients see milliseconds.
	step = time.Millisecond
)

// presence keeps the rows of this gateway: who is in which room by way of it.
//
// It also remembers when each user of its rooms spoke last, wherever their
// sockets are, so that no answer is behind what its receiver has read.
type presence struct {
	gateway string
	store   chat.PresenceStore
	now     func() time.Time

	// flushing is held while rows are written, so that no row overtakes a
	// later state of itself.
	flushing sync.Mutex

	mu    sync.Mutex // guards the rest
	rooms map[string]*roomPresence
	dirty map[presenceKey]*userPresence
}

type presenceKey struct {
	room string
	user int64
}

// roomPresence is a room with sockets here.
type roomPresence struct {
	sockets int
	users   map[int64]*userPresence
	// seen is when each user entered or spoke last, as the room's log says.
	seen map[int64]time.Time
}

// userPresence is a user with sockets in a room here.
type userPresence struct {
	profile chat.Profile
	sockets int
	updated time.Time
}

func newPresence(gateway string, store chat.PresenceStore, now func() time.Time) *presence {
	return &presence{
		gateway: gateway, store: store, now: now,
		rooms: map[string]*roomPresence{}, dirty: map[presenceKey]*userPresence{},
	}
}

// join counts a socket of the user into the room.
func (p *presence) join(uri string, user chat.Profile) {
	p.mu.Lock()
	defer p.mu.Unlock()
	room := p.rooms[uri]
	if room == nil {
		room = &roomPresence{users: map[int64]*userPresence{}, seen: map[int64]time.Time{}}
		p.rooms[uri] = room
	}
	u := room.users[user.ID]
	if u == nil {
		// One who left a moment ago may not have been written yet.
		if u = p.dirty[presenceKey{uri, user.ID}]; u == nil {
			u = &userPresence{}
		}
		room.users[user.ID] = u
	}
	u.profile = user
	u.sockets++
	room.sockets++
	u.updated = later(later(p.now().Truncate(step), room.seen[user.ID].Add(step)), u.updated.Add(step))
	p.dirty[presenceKey{uri, user.ID}] = u
}

// leave counts a socket of the user out.
func (p *presence) leave(uri string, userID int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	room := p.rooms[uri]
	u := room.users[userID]
	u.sockets--
	if u.sockets == 0 {
		p.dirty[presenceKey{uri, userID}] = u
		delete(room.users, userID)
	}
	if room.sockets--; room.sockets == 0 {
		delete(p.rooms, uri)
	}
}

// observe takes the times of what happens in the rooms; it is feed.Options'
// Observe.
func (p *presence) observe(ev *feed.Event) {
	if ev.Kind != chat.EventMessage && ev.Kind != chat.EventEnter {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	room := p.rooms[ev.Room]
	if room == nil {
		return
	}
	room.seen[ev.Sender.ID] = later(ev.Time, room.seen[ev.Sender.ID].Add(step))
	u := room.users[ev.Sender.ID]
	if u == nil {
		return
	}
	least := u.updated.Add(step)
	if ev.Kind == chat.EventEnter {
		least = u.updated // the join has moved it already
	}
	u.updated = later(room.seen[ev.Sender.ID], least)
	p.dirty[presenceKey{ev.Room, ev.Sender.ID}] = u
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// present reports whether a socket of the user is in the room here.
func (p *presence) present(uri string, userID int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	room := p.rooms[uri]
	return room != nil && room.users[userID] != nil
}

// renew has all rows written again: others may have taken this gateway for
// dead.
func (p *presence) renew() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for uri, room := range p.rooms {
		for id, u := range room.users {
			p.dirty[presenceKey{uri, id}] = u
		}
	}
}

// run writes what has changed until ctx ends.
func (p *presence) run(ctx context.Context, logger *slog.Logger) {
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		limited, cancel := context.WithTimeout(ctx, backendTimeout)
		err := p.flush(limited)
		cancel()
		if err != nil && !failing && ctx.Err() == nil {
			logger.Warn("presence cannot be written", "error", err)
		}
		failing = err != nil
	}
}

// flush writes all rows that had changed when it was called. Of several callers
// at once, the first writes for all.
func (p *presence) flush(ctx context.Context) error {
	p.flushing.Lock()
	defer p.flushing.Unlock()
	rows := p.takeDirty()
	for chunk := range slices.Chunk(rows, flushRows) {
		if err := p.store.PutPresence(ctx, chunk); err != nil {
			p.putBack(rows)
			return fmt.Errorf("write presence: %w", err)
		}
	}
	return nil
}

func (p *presence) takeDirty() []chat.PresenceRow {
	p.mu.Lock()
	defer p.mu.Unlock()
	rows := make([]chat.PresenceRow, 0, len(p.dirty))
	for key, u := range p.dirty {
		rows = append(rows, chat.PresenceRow{
			RoomURI: key.room, Gateway: p.gateway, User: u.profile, Left: u.sockets == 0, Updated: u.updated,
		})
	}
	clear(p.dirty)
	return rows
}

// putBack marks rows that may not have been written, unless they have changed
// since.
func (p *presence) putBack(rows []chat.PresenceRow) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, row := range rows {
		key := presenceKey{row.RoomURI, row.User.ID}
		if p.dirty[key] != nil {
			continue
		}
		u := &userPresence{profile: row.User, updated: row.Updated}
		if room := p.rooms[key.room]; room != nil && room.users[key.user] != nil {
			u = room.users[key.user]
		}
		p.dirty[key] = u
	}
}

// users is everyone whom the room has seen in the last hour, at whichever
// gateway.
func (p *presence) users(ctx context.Context, room chat.Room) (map[int64]chat.PresentUser, error) {
	if err := p.flush(ctx); err != nil {
		return nil, err
	}
	users, err := chat.RoomUsers(ctx, p.store, room, p.now())
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if here := p.rooms[room.URI]; here != nil {
		for id, seen := range here.seen {
			if u, ok := users[id]; ok {
				u.Updated = later(u.Updated, seen)
				users[id] = u
			}
		}
	}
	return users, nil
}
