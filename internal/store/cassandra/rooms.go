package cassandra

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/chatcluster/chatcluster/internal/chat"
)

const (
	roomColumns = "id, log_topic, log_partition, kind, title, owner, staff_only, access, message_ttl, created"
	// listedShard is the one partition of listed_rooms: staff makes those rooms
	// by hand.
	listedShard = 0
)

// roomRow is what roomColumns scan into.
type roomRow struct {
	room         chat.Room
	id           *int64 // null where there are members, but no longer a room
	topic, kind  int
	access       int
	ttl, created int64
}

func (r *roomRow) dest() []any {
	return []any{&r.id, &r.topic, &r.room.Partition.Number, &r.kind, &r.room.Title, &r.room.Owner, &r.room.StaffOnly, &r.access, &r.ttl, &r.created}
}

// value is the room, or chat.ErrNotFound.
func (r *roomRow) value(uri string) (chat.Room, error) {
	if r.id == nil {
		return chat.Room{}, notFound("room")
	}
	room := r.room
	room.ID, room.URI = *r.id, uri
	room.Partition.Topic, room.Kind, room.Access = chat.Topic(r.topic), chat.RoomKind(r.kind), chat.Access(r.access)
	room.MessageTTL, room.Created = time.Duration(r.ttl), fromMillis(r.created)
	return room, nil
}

// CreateRoom gives the room the next id of this process; see idBlock. The URI
// is claimed, the room filled in and a session's owner made a member in one
// step.
func (s *Store) CreateRoom(ctx context.Context, r chat.Room) (chat.Room, error) {
	if !isKey(r.URI) {
		return chat.Room{}, fmt.Errorf("%q cannot be a URI", r.URI)
	}
	id, err := s.nextID(ctx, &s.rooms)
	if err != nil {
		return chat.Room{}, err
	}
	r.ID, r.Created = id, fromMillis(millis(r.Created))
	if err := s.enterRoom(ctx, r); err != nil {
		return chat.Room{}, fmt.Errorf("write room's entries: %w", err)
	}
	applied, _, err := s.cas(ctx, func(row map[string]any) (bool, error) { return s.claimRoom(ctx, r, row) })
	if err != nil {
		return chat.Room{}, fmt.Errorf("claim URI: %w", err)
	}
	if !applied {
		// After an attempt of unknown outcome, it may be ours.
		switch found, err := s.RoomByURI(ctx, r.URI); {
		case err == nil && found.ID == id:
			return r, nil
		case err != nil && !errors.Is(err, chat.ErrNotFound):
			return chat.Room{}, err
		}
		// Its entries lead to another's room, which readers see.
		_ = s.leaveRoom(ctx, r, []int64{r.Owner})
		return chat.Room{}, fmt.Errorf("uri: %w", chat.ErrTaken)
	}
	return r, nil
}

// enterRoom writes what finds the room.
func (s *Store) enterRoom(ctx context.Context, r chat.Room) error {
	err := s.exec(ctx, `INSERT INTO rooms_by_id (id, uri) VALUES (?, ?) USING TIMESTAMP ?`, r.ID, r.URI, int64(onceStamp))
	if err != nil {
		return err
	}
	if r.Kind == chat.KindRoom {
		return s.exec(ctx, `INSERT INTO listed_rooms (shard, id, uri) VALUES (?, ?, ?) USING TIMESTAMP ?`, listedShard, r.ID, r.URI, int64(onceStamp))
	}
	return s.enterSession(ctx, r.Owner, r.ID, r.URI)
}

func (s *Store) claimRoom(ctx context.Context, r chat.Room, row map[string]any) (bool, error) {
	batch := s.session.Batch(gocql.LoggedBatch)
	batch.Query(`INSERT INTO rooms (uri, `+roomColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS`,
		r.URI, r.ID, int(r.Partition.Topic), r.Partition.Number, int(r.Kind), r.Title, r.Owner, r.StaffOnly,
		int(r.Access), int64(r.MessageTTL), millis(r.Created))
	if r.Kind == chat.KindSession {
		batch.Query(`INSERT INTO rooms (uri, user_id, joined, removed) VALUES (?, ?, ?, false)`, r.URI, r.Owner, millis(r.Created))
	}
	applied, iter, err := batch.MapExecCASContext(ctx, row)
	if iter != nil {
		err = cmp.Or(err, iter.Close())
	}
	return applied, err
}

// RoomByID is the room, or chat.ErrNotFound.
func (s *Store) RoomByID(ctx context.Context, id int64) (chat.Room, error) {
	var uri string
	if err := s.scan(ctx, `SELECT uri FROM rooms_by_id WHERE id = ?`, []any{id}, &uri); err != nil {
		return chat.Room{}, err
	}
	return s.roomOfEntry(ctx, id, uri)
}

// roomOfEntry follows an entry, which may lead to another's room.
func (s *Store) roomOfEntry(ctx context.Context, id int64, uri string) (chat.Room, error) {
	r, err := s.RoomByURI(ctx, uri)
	if err == nil && r.ID != id {
		return chat.Room{}, notFound("room")
	}
	return r, err
}

// RoomByURI is the room, or chat.ErrNotFound.
func (s *Store) RoomByURI(ctx context.Context, uri string) (chat.Room, error) {
	if !isKey(uri) {
		return chat.Room{}, notFound("room")
	}
	var row roomRow
	if err := s.scan(ctx, `SELECT DISTINCT `+roomColumns+` FROM rooms WHERE uri = ?`, []any{uri}, row.dest()...); err != nil {
		return chat.Room{}, err
	}
	return row.value(uri)
}

// UpdateRoom changes the room and returns what it is now.
func (s *Store) UpdateRoom(ctx context.Context, uri string, change chat.RoomChange) (chat.Room, error) {
	r, err := s.RoomByURI(ctx, uri)
	if err != nil {
		return chat.Room{}, err
	}
	var set assignments
	assign(&set, "title", change.Title)
	assign(&set, "staff_only", change.StaffOnly)
	if change.Access != nil {
		assign(&set, "access", ptr(int(*change.Access)))
	}
	if change.MessageTTL != nil {
		assign(&set, "message_ttl", ptr(int64(*change.MessageTTL)))
	}
	if len(set.columns) == 0 {
		return r, nil
	}
	applied, _, err := s.casQuery(ctx, `UPDATE rooms SET `+strings.Join(set.columns, ", ")+` WHERE uri = ? IF id = ?`,
		append(set.args, uri, r.ID)...)
	if err != nil {
		return chat.Room{}, err
	}
	if !applied {
		return chat.Room{}, notFound("room")
	}
	return s.RoomByURI(ctx, uri)
}

func ptr[T any](v T) *T { return &v }

// DeleteRoom deletes the room and its members; that there is none is no error.
// Once its id is gone the room is, and nobody can become a member of it.
func (s *Store) DeleteRoom(ctx context.Context, uri string) error {
	r, err := s.RoomByURI(ctx, uri)
	if errors.Is(err, chat.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, _, err := s.casQuery(ctx, `DELETE `+roomColumns+` FROM rooms WHERE uri = ? IF id = ?`, uri, r.ID); err != nil {
		return err
	}
	var members []int64
	var written int64
	err = s.each(ctx, 1000, `SELECT user_id, WRITETIME(removed) FROM rooms WHERE uri = ?`, []any{uri}, func(row gocql.Scanner) (bool, error) {
		var userID, at int64
		err := row.Scan(&userID, &at)
		members, written = append(members, userID), max(written, at)
		return true, err
	})
	if err != nil {
		return err
	}
	// The time of the last change, since those of transactions are not of this
	// process's clock.
	if err := s.exec(ctx, `DELETE FROM rooms USING TIMESTAMP ? WHERE uri = ?`, written, uri); err != nil {
		return err
	}
	return s.leaveRoom(ctx, r, members)
}

// leaveRoom deletes what found the room. Its id is never used again, so that an
// entry that is left over leads nowhere.
func (s *Store) leaveRoom(ctx context.Context, r chat.Room, members []int64) error {
	err := s.exec(ctx, `DELETE FROM rooms_by_id WHERE id = ?`, r.ID)
	if err == nil && r.Kind == chat.KindRoom {
		err = s.exec(ctx, `DELETE FROM listed_rooms WHERE shard = ? AND id = ?`, listedShard, r.ID)
	}
	if err != nil {
		return err
	}
	_, err = parallel(ctx, len(members), func(ctx context.Context, i int) (struct{}, error) {
		return struct{}{}, s.exec(ctx, `DELETE FROM sessions_by_user WHERE user_id = ? AND id = ?`, members[i], r.ID)
	})
	return err
}

// ListedRooms are all of kind chat.KindRoom, by rising id.
func (s *Store) ListedRooms(ctx context.Context) ([]chat.Room, error) {
	ids, uris, err := s.roomEntries(ctx, `SELECT id, uri FROM listed_rooms WHERE shard = ?`, listedShard)
	if err != nil {
		return nil, err
	}
	return parallel(ctx, len(ids), func(ctx context.Context, i int) (chat.Room, error) {
		return s.roomOfEntry(ctx, ids[i], uris[i])
	})
}

func (s *Store) roomEntries(ctx context.Context, stmt string, arg any) (ids []int64, uris []string, err error) {
	err = s.each(ctx, 1000, stmt, []any{arg}, func(row gocql.Scanner) (bool, error) {
		var id int64
		var uri string
		err := row.Scan(&id, &uri)
		ids, uris = append(ids, id), append(uris, uri)
		return true, err
	})
	return ids, uris, err
}

// SessionsOf are the sessions of the user, by rising id.
func (s *Store) SessionsOf(ctx context.Context, userID int64) ([]chat.Room, error) {
	ids, uris, err := s.roomEntries(ctx, `SELECT id, uri FROM sessions_by_user WHERE user_id = ?`, userID)
	if err != nil {
		return nil, err
	}
	return parallel(ctx, len(ids), func(ctx context.Context, i int) (chat.Room, error) {
		var row roomRow
		var removed bool
		err := s.scan(ctx, `SELECT removed, `+roomColumns+` FROM rooms WHERE uri = ? AND user_id = ?`,
			[]any{uris[i], userID}, append([]any{&removed}, row.dest()...)...)
		if err != nil {
			return chat.Room{}, err
		}
		r, err := row.value(uris[i])
		if err == nil && (removed || r.ID != ids[i] || r.Kind != chat.KindSession) {
			err = notFound("session")
		}
		return r, err
	})
}

func (s *Store) enterSession(ctx context.Context, userID, id int64, uri string) error {
	return s.exec(ctx, `INSERT INTO sessions_by_user (user_id, id, uri) VALUES (?, ?, ?) USING TIMESTAMP ?`, userID, id, uri, int64(onceStamp))
}

// PutMember adds the member or overwrites their Removed mark. It is
// chat.ErrNotFound if there is no such room.
//
// The user's entry of the session is there while they are a member. Two calls
// for one user may cross, so that each looks after its change whether the entry
// is as it leaves it: whichever is last sees the other's.
func (s *Store) PutMember(ctx context.Context, m chat.Member) error {
	r, err := s.RoomByURI(ctx, m.RoomURI)
	if err != nil {
		return err
	}
	if !m.Removed {
		if err := s.enterSession(ctx, m.UserID, r.ID, r.URI); err != nil {
			return err
		}
	}
	if err := s.changeMember(ctx, r, m); err != nil {
		return err
	}
	if m.Removed {
		return s.leaveSession(ctx, r, m.UserID)
	}
	return s.ensureSession(ctx, r, m.UserID)
}

// changeMember keeps Joined as it is where there is one.
func (s *Store) changeMember(ctx context.Context, r chat.Room, m chat.Member) error {
	joined := millis(m.Joined)
	var former *int64
	for {
		applied, row, err := s.casQuery(ctx, `UPDATE rooms SET joined = ?, removed = ? WHERE uri = ? AND user_id = ? IF id = ? AND joined = ?`,
			joined, m.Removed, r.URI, m.UserID, r.ID, former)
		if err != nil || applied {
			return err
		}
		if id, ok := row["id"].(int64); !ok || id != r.ID {
			return notFound("room")
		}
		found, ok := row["joined"].(time.Time)
		if former = nil; ok && !found.IsZero() {
			joined = millis(found)
			former = &joined
		} else {
			joined = millis(m.Joined)
		}
	}
}

// ensureSession puts the entry back that an earlier leaveSession has deleted:
// its tombstone is younger than the entry that is written before the change.
func (s *Store) ensureSession(ctx context.Context, r chat.Room, userID int64) error {
	var uri string
	err := s.scan(ctx, `SELECT uri FROM sessions_by_user WHERE user_id = ? AND id = ?`, []any{userID, r.ID}, &uri)
	if errors.Is(err, chat.ErrNotFound) {
		_, _, err = s.casQuery(ctx, `INSERT INTO sessions_by_user (user_id, id, uri) VALUES (?, ?, ?) IF NOT EXISTS`, userID, r.ID, r.URI)
	}
	return err
}

func (s *Store) leaveSession(ctx context.Context, r chat.Room, userID int64) error {
	_, _, err := s.casQuery(ctx, `DELETE FROM sessions_by_user WHERE user_id = ? AND id = ? IF EXISTS`, userID, r.ID)
	if err != nil {
		return err
	}
	m, err := s.Member(ctx, r.URI, userID)
	switch {
	case errors.Is(err, chat.ErrNotFound) || err == nil && m.Removed:
		return nil
	case err != nil:
		return err
	}
	return s.ensureSession(ctx, r, userID)
}

// DeleteMember forgets the member; that there is none is no error.
func (s *Store) DeleteMember(ctx context.Context, uri string, userID int64) error {
	r, err := s.RoomByURI(ctx, uri)
	if errors.Is(err, chat.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, _, err := s.casQuery(ctx, `DELETE FROM rooms WHERE uri = ? AND user_id = ? IF EXISTS`, uri, userID); err != nil {
		return err
	}
	return s.leaveSession(ctx, r, userID)
}

// Member is the member, removed or not, or chat.ErrNotFound.
func (s *Store) Member(ctx context.Context, uri string, userID int64) (chat.Member, error) {
	if !isKey(uri) {
		return chat.Member{}, notFound("member")
	}
	m := chat.Member{RoomURI: uri, UserID: userID}
	var id *int64 // null where a room is being deleted
	var joined int64
	err := s.scan(ctx, `SELECT id, joined, removed FROM rooms WHERE uri = ? AND user_id = ?`, []any{uri, userID}, &id, &joined, &m.Removed)
	if err != nil {
		return chat.Member{}, err
	}
	if id == nil {
		return chat.Member{}, notFound("room")
	}
	m.Joined = fromMillis(joined)
	return m, nil
}

// Members are those not removed, by Joined, then by user id.
func (s *Store) Members(ctx context.Context, uri string) ([]chat.Member, error) {
	if !isKey(uri) {
		return nil, nil
	}
	var members []chat.Member
	err := s.each(ctx, 1000, `SELECT id, user_id, joined, removed FROM rooms WHERE uri = ?`, []any{uri}, func(row gocql.Scanner) (bool, error) {
		m := chat.Member{RoomURI: uri}
		// Null where a room is being deleted, and in the one row of a room
		// without members.
		var id, userID *int64
		var joined int64
		err := row.Scan(&id, &userID, &joined, &m.Removed)
		if err == nil && id != nil && userID != nil && !m.Removed {
			m.UserID, m.Joined = *userID, fromMillis(joined)
			members = append(members, m)
		}
		return true, err
	})
	slices.SortFunc(members, func(a, b chat.Member) int {
		return cmp.Or(a.Joined.Compare(b.Joined), cmp.Compare(a.UserID, b.UserID))
	})
	return members, err
}
