package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// CreateRoom gives the room the next free id, and a session its first member.
func (s *Store) CreateRoom(ctx context.Context, r chat.Room) (chat.Room, error) {
	err := s.change(ctx, durable, func(b *pebble.Batch) error {
		key := textKey(tableRoom, r.URI)
		if taken, err := s.has(key); err != nil {
			return err
		} else if taken {
			return fmt.Errorf("uri: %w", chat.ErrTaken)
		}
		id, err := s.nextID(b, roomIDs)
		if err != nil {
			return err
		}
		r.ID = id
		err = errors.Join(
			b.Set(key, encodeRoom(r), nil),
			b.Set(intKey(tableRoomByID, id), []byte(r.URI), nil))
		switch r.Kind {
		case chat.KindSession:
			owner := chat.Member{RoomURI: r.URI, UserID: r.Owner, Joined: r.Created}
			err = errors.Join(err, putMember(b, r, owner))
		case chat.KindRoom:
			err = errors.Join(err, b.Set(intKey(tableListedRoom, id), []byte(r.URI), nil))
		}
		return err
	})
	if err != nil {
		return chat.Room{}, err
	}
	r.Created = millis(r.Created)
	return r, nil
}

// room is the room of the URI.
func (s *Store) room(uri string) (chat.Room, error) {
	return lookup(s, textKey(tableRoom, uri), func(value []byte) (chat.Room, error) {
		return decodeRoom(uri, value)
	})
}

// RoomByID is the room, or chat.ErrNotFound.
func (s *Store) RoomByID(ctx context.Context, id int64) (chat.Room, error) {
	if err := s.enter(ctx); err != nil {
		return chat.Room{}, err
	}
	defer s.leave()
	uri, err := lookup(s, intKey(tableRoomByID, id), decodeText)
	if err != nil {
		return chat.Room{}, err
	}
	return s.room(uri)
}

func decodeText(value []byte) (string, error) { return string(value), nil }

// RoomByURI is the room, or chat.ErrNotFound.
func (s *Store) RoomByURI(ctx context.Context, uri string) (chat.Room, error) {
	if err := s.enter(ctx); err != nil {
		return chat.Room{}, err
	}
	defer s.leave()
	return s.room(uri)
}

// UpdateRoom changes the room and returns what it is now.
func (s *Store) UpdateRoom(ctx context.Context, uri string, change chat.RoomChange) (chat.Room, error) {
	var r chat.Room
	err := s.change(ctx, durable, func(b *pebble.Batch) (err error) {
		if r, err = s.room(uri); err != nil {
			return err
		}
		change.Apply(&r)
		return b.Set(textKey(tableRoom, uri), encodeRoom(r), nil)
	})
	if err != nil {
		return chat.Room{}, err
	}
	return r, nil
}

// DeleteRoom deletes the room and its members; that there is none is no error.
func (s *Store) DeleteRoom(ctx context.Context, uri string) error {
	return s.change(ctx, durable|freeing, func(b *pebble.Batch) error {
		r, err := s.room(uri)
		if errors.Is(err, chat.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		err = s.eachMember(uri, func(m chat.Member) error {
			return errors.Join(
				b.Delete(memberKey(uri, m.UserID), nil),
				b.Delete(sessionOfKey(m.UserID, r.ID), nil))
		})
		return errors.Join(err,
			b.Delete(textKey(tableRoom, uri), nil),
			b.Delete(intKey(tableRoomByID, r.ID), nil),
			b.Delete(intKey(tableListedRoom, r.ID), nil))
	})
}

// ListedRooms are all of kind chat.KindRoom, by rising id.
func (s *Store) ListedRooms(ctx context.Context) ([]chat.Room, error) {
	return s.roomsNamedIn(ctx, prefixSpan([]byte{tableListedRoom}))
}

// SessionsOf are the sessions of the user, by rising id.
func (s *Store) SessionsOf(ctx context.Context, userID int64) ([]chat.Room, error) {
	return s.roomsNamedIn(ctx, intSpan(tableSessionOf, userID))
}

// roomsNamedIn are the rooms whose URIs are the values of an index. One that is
// deleted while they are read is left out.
func (s *Store) roomsNamedIn(ctx context.Context, index span) ([]chat.Room, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	var rooms []chat.Room
	err := s.scan(index, func(_, uri []byte) (bool, error) {
		r, err := s.room(string(uri))
		if errors.Is(err, chat.ErrNotFound) {
			return true, nil
		}
		rooms = append(rooms, r)
		return true, err
	})
	return rooms, err
}

// putMember writes the member of r and their place in the index.
func putMember(b *pebble.Batch, r chat.Room, m chat.Member) error {
	err := b.Set(memberKey(r.URI, m.UserID), encodeMember(m), nil)
	if m.Removed || r.Kind != chat.KindSession {
		return errors.Join(err, b.Delete(sessionOfKey(m.UserID, r.ID), nil))
	}
	return errors.Join(err, b.Set(sessionOfKey(m.UserID, r.ID), []byte(r.URI), nil))
}

// PutMember adds the member or overwrites their Removed mark. It is
// chat.ErrNotFound if there is no such room.
func (s *Store) PutMember(ctx context.Context, m chat.Member) error {
	return s.change(ctx, durable, func(b *pebble.Batch) error {
		r, err := s.room(m.RoomURI)
		if err != nil {
			return err
		}
		switch former, err := s.member(m.RoomURI, m.UserID); {
		case err == nil:
			m.Joined = former.Joined
		case !errors.Is(err, chat.ErrNotFound):
			return err
		}
		return putMember(b, r, m)
	})
}

// DeleteMember forgets the member; that there is none is no error.
func (s *Store) DeleteMember(ctx context.Context, uri string, userID int64) error {
	return s.change(ctx, durable|freeing, func(b *pebble.Batch) error {
		r, err := s.room(uri)
		if errors.Is(err, chat.ErrNotFound) {
			return nil
		}
		return errors.Join(err,
			b.Delete(memberKey(uri, userID), nil),
			b.Delete(sessionOfKey(userID, r.ID), nil))
	})
}

func (s *Store) member(uri string, userID int64) (chat.Member, error) {
	return lookup(s, memberKey(uri, userID), func(value []byte) (chat.Member, error) {
		return decodeMember(uri, userID, value)
	})
}

// Member is the member, removed or not, or chat.ErrNotFound.
func (s *Store) Member(ctx context.Context, uri string, userID int64) (chat.Member, error) {
	if err := s.enter(ctx); err != nil {
		return chat.Member{}, err
	}
	defer s.leave()
	return s.member(uri, userID)
}

// eachMember calls f with each member, removed ones included.
func (s *Store) eachMember(uri string, f func(chat.Member) error) error {
	return s.scan(textSpan(tableMember, uri), func(key, value []byte) (bool, error) {
		userID, _, err := cutInt(key[max(len(key)-8, 0):])
		if err != nil {
			return false, err
		}
		m, err := decodeMember(uri, userID, value)
		if err != nil {
			return false, err
		}
		return true, f(m)
	})
}

// Members are those not removed, by Joined, then by user id.
func (s *Store) Members(ctx context.Context, uri string) ([]chat.Member, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	var members []chat.Member
	err := s.eachMember(uri, func(m chat.Member) error {
		if !m.Removed {
			members = append(members, m)
		}
		return nil
	})
	slices.SortFunc(members, func(a, b chat.Member) int {
		return cmp.Or(a.Joined.Compare(b.Joined), cmp.Compare(a.UserID, b.UserID))
	})
	return members, err
}
