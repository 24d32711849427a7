// Package cached keeps in memory what every send and every read asks a store
// for: tokens, users, rooms and memberships.
//
// What is written through it is seen at once. What another process writes is
// seen when Changed is told of it, or when an entry is older than
// Options.Fresh. An entry that is asked for shortly before that is looked up
// again in the background, so that nobody waits for what is used all the time.
//
// While the store is unavailable or does not answer within a second, entries
// serve for Options.Stale, so that those who were there can go on; the cutoff is
// asked for with the same patience, for history that the log can answer then.
//
// It is safe for concurrent use. Its goroutines end within a second each, and
// all with Close.
package cached

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// Options are the settings of a Store.
type Options struct {
	// Entries bounds each kind of entry; those used longest ago go first.
	Entries int
	// Fresh is how long an entry is believed.
	Fresh time.Duration
	// Stale is how long an entry serves while the store is unavailable.
	Stale time.Duration
	// Now is the clock.
	Now func() time.Time
}

type memberKey struct {
	uri    string
	userID int64
}

// Store is a chat.Store over another one.
type Store struct {
	chat.Store
	tokens      *cache[chat.TokenHash, chat.Token]
	users       *cache[int64, chat.User]
	roomsByURI  *cache[string, chat.Room]
	roomsByID   *cache[int64, chat.Room]
	memberships *cache[memberKey, chat.Member]
	background  *background
	now         func() time.Time
	// cutoffs is about the cutoff alone: without it no history can be read from
	// the store, whatever else fails or does not.
	cutoffs *outage
}

// New returns a cache of the store.
func New(store chat.Store, o Options) *Store {
	down, b := &outage{}, newBackground()
	return &Store{
		Store:       store,
		tokens:      newCache[chat.TokenHash, chat.Token](o, down, b),
		users:       newCache[int64, chat.User](o, down, b),
		roomsByURI:  newCache[string, chat.Room](o, down, b),
		roomsByID:   newCache[int64, chat.Room](o, down, b),
		memberships: newCache[memberKey, chat.Member](o, down, b),
		background:  b,
		now:         o.Now,
		cutoffs:     &outage{},
	}
}

// Close ends the look-ups in the background. It does not close the store below.
func (s *Store) Close() { s.background.close() }

// Changed forgets what an event says has changed, in whichever process: with it
// an entry is no staler than the event is late.
func (s *Store) Changed(ev *chat.Event) {
	switch ev.Kind {
	case chat.EventTokensRevoked:
		if ev.Others {
			s.tokens.forgetAll()
		} else {
			s.tokens.forget(ev.Token)
		}
	case chat.EventUserChanged:
		s.users.forget(ev.Subject)
	case chat.EventMemberAdded, chat.EventMemberRemoved:
		s.memberships.forget(memberKey{ev.Room, ev.Subject})
	case chat.EventRoomChanged, chat.EventRoomDeleted:
		s.forgetRoom(ev.Room)
	}
}

// TokenByHash is cached; a cached token expires like any other.
func (s *Store) TokenByHash(ctx context.Context, hash chat.TokenHash, now time.Time) (chat.Token, error) {
	token, err := s.tokens.get(ctx, hash, func(ctx context.Context) (chat.Token, error) { return s.Store.TokenByHash(ctx, hash, now) })
	if err == nil && !token.Expires.After(now) {
		return chat.Token{}, chat.ErrNotFound
	}
	return token, err
}

// DeleteToken forgets the token.
func (s *Store) DeleteToken(ctx context.Context, hash chat.TokenHash) error {
	err := s.Store.DeleteToken(ctx, hash)
	s.tokens.forget(hash)
	return err
}

// DeleteTokensOfUser forgets all tokens: which of them are the user's is not
// known here.
func (s *Store) DeleteTokensOfUser(ctx context.Context, userID int64, keep chat.TokenHash) error {
	err := s.Store.DeleteTokensOfUser(ctx, userID, keep)
	s.tokens.forgetAll()
	return err
}

// UserByID is cached.
func (s *Store) UserByID(ctx context.Context, id int64) (chat.User, error) {
	return s.users.get(ctx, id, func(ctx context.Context) (chat.User, error) { return s.Store.UserByID(ctx, id) })
}

// UpdateUser forgets the user.
func (s *Store) UpdateUser(ctx context.Context, id int64, change chat.UserChange) (chat.User, error) {
	user, err := s.Store.UpdateUser(ctx, id, change)
	s.users.forget(id)
	return user, err
}

// RoomByURI is cached.
func (s *Store) RoomByURI(ctx context.Context, uri string) (chat.Room, error) {
	return s.roomsByURI.get(ctx, uri, func(ctx context.Context) (chat.Room, error) { return s.Store.RoomByURI(ctx, uri) })
}

// RoomByID is cached.
func (s *Store) RoomByID(ctx context.Context, id int64) (chat.Room, error) {
	return s.roomsByID.get(ctx, id, func(ctx context.Context) (chat.Room, error) { return s.Store.RoomByID(ctx, id) })
}

// UpdateRoom forgets the room.
func (s *Store) UpdateRoom(ctx context.Context, uri string, change chat.RoomChange) (chat.Room, error) {
	room, err := s.Store.UpdateRoom(ctx, uri, change)
	s.forgetRoom(uri)
	return room, err
}

// DeleteRoom forgets the room and all memberships.
func (s *Store) DeleteRoom(ctx context.Context, uri string) error {
	err := s.Store.DeleteRoom(ctx, uri)
	s.forgetRoom(uri)
	s.memberships.forgetAll()
	return err
}

// forgetRoom also forgets all rooms by id: which of them it is may not be known
// here, and rooms change seldom.
func (s *Store) forgetRoom(uri string) {
	s.roomsByURI.forget(uri)
	s.roomsByID.forgetAll()
}

// Member is cached.
func (s *Store) Member(ctx context.Context, uri string, userID int64) (chat.Member, error) {
	return s.memberships.get(ctx, memberKey{uri, userID}, func(ctx context.Context) (chat.Member, error) { return s.Store.Member(ctx, uri, userID) })
}

// PutMember forgets the membership.
func (s *Store) PutMember(ctx context.Context, m chat.Member) error {
	err := s.Store.PutMember(ctx, m)
	s.memberships.forget(memberKey{m.RoomURI, m.UserID})
	return err
}

// Cutoff is not cached, but asked for with little patience, and while the store
// is away by one caller a second only: those who need it can go on without the
// store, or else fail.
func (s *Store) Cutoff(ctx context.Context) (time.Time, error) {
	if s.cutoffs.spares(s.now()) {
		return time.Time{}, fmt.Errorf("%w: the cutoff could not be read a moment ago", chat.ErrUnavailable)
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cutoff, err := s.Store.Cutoff(limited)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", chat.ErrUnavailable, err)
	}
	s.cutoffs.learn(s.now(), err)
	return cutoff, err
}

// DeleteMember forgets the membership.
func (s *Store) DeleteMember(ctx context.Context, uri string, userID int64) error {
	err := s.Store.DeleteMember(ctx, uri, userID)
	s.memberships.forget(memberKey{uri, userID})
	return err
}
