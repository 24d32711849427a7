// Package cached keeps in memory what every send and every read asks a store
// for: tokens, users, rooms and memberships.
//
// What is written through it is seen at once. What another process writes is
// seen when Changed is told of it, or when an entry is older than it is believed.
// That is Options.Fresh; or Options.Followed, where Heard says that another
// process's change would have been told of: a change is announced before it is
// made, and answers about what it names are believed for Options.Fresh only,
// until the change must have been made. See docs/adr/0011.
//
// An entry that is asked for shortly before it is too old is looked up again in
// the background, so that nobody waits for what is used all the time.
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
	lru "github.com/hashicorp/golang-lru/v2"
)

type memberKey struct {
	uri    string
	userID int64
}

// Store is a chat.Store over another one.
type Store struct {
	chat.Store
	options    Options
	background *background
	horizon    *horizon

	tokens *cache[chat.TokenHash, chat.Token]
	users  *cache[int64, chat.User]
	rooms  *cache[string, chat.Room]
	// uris are the rooms' URIs by their ids, which never change.
	uris        *lru.Cache[int64, string]
	memberships *cache[memberKey, chat.Member]
	// cutoffs is about the cutoff alone: without it no history can be read from
	// the store, whatever else fails or does not.
	cutoffs *outage
}

// New returns a cache of the store.
func New(store chat.Store, o Options) *Store {
	if o.Announce == nil {
		o.Announce = func(context.Context, chat.Event) error { return nil }
	}
	if o.Asked == nil {
		o.Asked = func(string) {}
	}
	of := shared{Options: o, outage: &outage{}, background: newBackground(), horizon: &horizon{}}
	// The only error is a size that is not positive.
	uris, _ := lru.New[int64, string](max(o.Entries, 1))
	s := &Store{
		Store:   store,
		options: o, background: of.background, horizon: of.horizon,
		tokens:      newCache[chat.TokenHash, chat.Token](of, "token"),
		users:       newCache[int64, chat.User](of, "user"),
		rooms:       newCache[string, chat.Room](of, "room"),
		uris:        uris,
		memberships: newCache[memberKey, chat.Member](of, "member"),
		cutoffs:     &outage{},
	}
	// All of a user's tokens may be about to change.
	s.tokens.settledToo = func(t chat.Token) time.Time { return s.users.settledAt(t.UserID) }
	return s
}

// Close ends the look-ups in the background. It does not close the store below.
func (s *Store) Close() { s.background.close() }

// Changed forgets what an event says has changed, in whichever process: with it
// an entry is no staler than the event is late.
func (s *Store) Changed(ev *chat.Event) {
	switch ev.Kind {
	case chat.EventTokensRevoked:
		if ev.Others {
			s.tokens.forgetIf(func(_ chat.TokenHash, t chat.Token) bool { return t.UserID == ev.Subject })
		} else {
			s.tokens.forget(ev.Token)
		}
	case chat.EventUserChanged:
		s.users.forget(ev.Subject)
	case chat.EventMemberAdded, chat.EventMemberRemoved:
		s.memberships.forget(memberKey{ev.Room, ev.Subject})
	case chat.EventRoomChanged, chat.EventRoomDeleted:
		s.rooms.forget(ev.Room)
	case chat.EventTokensChanging:
		if ev.Others {
			s.users.doubt(ev.Subject)
		} else {
			s.tokens.doubt(ev.Token)
		}
	case chat.EventUserChanging:
		s.users.doubt(ev.Subject)
	case chat.EventMemberChanging:
		s.memberships.doubt(memberKey{ev.Room, ev.Subject})
	case chat.EventRoomChanging:
		s.rooms.doubt(ev.Room)
	}
}

// Heard notes that Changed was told of every announcement that was made before
// at. One caller at a time.
func (s *Store) Heard(at time.Time) { s.horizon.hear(at) }

// Missed notes that Changed may not have been told of every announcement.
func (s *Store) Missed() { s.horizon.miss() }

// change makes a change. The others are told before that it may come, without
// which it is not made, and after that it did.
func (s *Store) change(ctx context.Context, before, after chat.EventKind, what chat.Event, write func() error) error {
	what.Kind = before
	if err := s.options.Announce(ctx, what); err != nil {
		return fmt.Errorf("announce a change: %w", err)
	}
	s.Changed(&what) // also what has failed may come about
	err := write()
	what.Kind = after
	s.Changed(&what)
	if err == nil {
		// The others would look again within a second as it is. This makes it sooner,
		// and is for one that was held up here for so long that they have ceased to.
		_ = s.options.Announce(ctx, what)
	}
	return err
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
	return s.change(ctx, chat.EventTokensChanging, chat.EventTokensRevoked, chat.Event{Token: hash}, func() error {
		return s.Store.DeleteToken(ctx, hash)
	})
}

// DeleteTokensOfUser forgets the user's tokens.
func (s *Store) DeleteTokensOfUser(ctx context.Context, userID int64, keep chat.TokenHash) error {
	return s.change(ctx, chat.EventTokensChanging, chat.EventTokensRevoked, chat.Event{Subject: userID, Token: keep, Others: true}, func() error {
		return s.Store.DeleteTokensOfUser(ctx, userID, keep)
	})
}

// UserByID is cached.
func (s *Store) UserByID(ctx context.Context, id int64) (chat.User, error) {
	return s.users.get(ctx, id, func(ctx context.Context) (chat.User, error) { return s.Store.UserByID(ctx, id) })
}

// UpdateUser forgets the user.
func (s *Store) UpdateUser(ctx context.Context, id int64, change chat.UserChange) (user chat.User, err error) {
	err = s.change(ctx, chat.EventUserChanging, chat.EventUserChanged, chat.Event{Subject: id}, func() (err error) {
		user, err = s.Store.UpdateUser(ctx, id, change)
		return err
	})
	return user, err
}

// RoomByURI is cached.
func (s *Store) RoomByURI(ctx context.Context, uri string) (chat.Room, error) {
	return s.rooms.get(ctx, uri, func(ctx context.Context) (chat.Room, error) { return s.Store.RoomByURI(ctx, uri) })
}

// RoomByID is cached by the room's URI.
func (s *Store) RoomByID(ctx context.Context, id int64) (chat.Room, error) {
	uri, ok := s.uris.Get(id)
	if !ok {
		s.options.Asked("room")
		room, err := s.Store.RoomByID(ctx, id)
		if err != nil {
			return chat.Room{}, err
		}
		uri = room.URI
		s.uris.Add(id, uri)
	}
	return s.RoomByURI(ctx, uri)
}

// UpdateRoom forgets the room.
func (s *Store) UpdateRoom(ctx context.Context, uri string, change chat.RoomChange) (room chat.Room, err error) {
	err = s.change(ctx, chat.EventRoomChanging, chat.EventRoomChanged, chat.Event{Room: uri}, func() (err error) {
		room, err = s.Store.UpdateRoom(ctx, uri, change)
		return err
	})
	return room, err
}

// DeleteRoom forgets the room and its memberships.
func (s *Store) DeleteRoom(ctx context.Context, uri string) error {
	err := s.change(ctx, chat.EventRoomChanging, chat.EventRoomDeleted, chat.Event{Room: uri}, func() error { return s.Store.DeleteRoom(ctx, uri) })
	s.memberships.forgetIf(func(k memberKey, _ chat.Member) bool { return k.uri == uri })
	return err
}

// Member is cached if it is not marked as removed: like what is not there, that
// is not kept, and so to add a member is no change that others must hear of.
func (s *Store) Member(ctx context.Context, uri string, userID int64) (chat.Member, error) {
	member, err := s.memberships.get(ctx, memberKey{uri, userID}, func(ctx context.Context) (chat.Member, error) {
		member, err := s.Store.Member(ctx, uri, userID)
		if err == nil && member.Removed {
			err = chat.ErrNotFound
		}
		return member, err
	})
	if member.Removed {
		err = nil
	}
	return member, err
}

// PutMember forgets the membership.
func (s *Store) PutMember(ctx context.Context, m chat.Member) error {
	write := func() error { return s.Store.PutMember(ctx, m) }
	if m.Removed {
		return s.changeMember(ctx, m.RoomURI, m.UserID, write)
	}
	err := write()
	s.memberships.forget(memberKey{m.RoomURI, m.UserID})
	return err
}

// DeleteMember forgets the membership.
func (s *Store) DeleteMember(ctx context.Context, uri string, userID int64) error {
	return s.changeMember(ctx, uri, userID, func() error { return s.Store.DeleteMember(ctx, uri, userID) })
}

func (s *Store) changeMember(ctx context.Context, uri string, userID int64, write func() error) error {
	return s.change(ctx, chat.EventMemberChanging, chat.EventMemberRemoved, chat.Event{Room: uri, Subject: userID}, write)
}

// Cutoff is not cached, but asked for with little patience, and while the store
// is away by one caller a second only: those who need it can go on without the
// store, or else fail.
func (s *Store) Cutoff(ctx context.Context) (time.Time, error) {
	if s.cutoffs.spares(s.options.Now()) {
		return time.Time{}, fmt.Errorf("%w: the cutoff could not be read a moment ago", chat.ErrUnavailable)
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cutoff, err := s.Store.Cutoff(limited)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", chat.ErrUnavailable, err)
	}
	s.cutoffs.learn(s.options.Now(), err)
	return cutoff, err
}
