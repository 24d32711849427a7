package cassandra_test

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/store/cassandra"
)

// deadCreator: whoever dies between the entries and the claim leaves entries
// that lead nowhere, or to what another has claimed since.
func deadCreator(t *testing.T, o cassandra.Options) {
	session := newSession(t, o)
	defer session.Close()
	s := open(t, o)
	ctx := t.Context()
	name, uri := "user-"+rand.Text(), rand.Text()[:chat.URIDigits]
	const deadID = 1<<40 + 5
	for _, stmt := range []struct {
		cql  string
		args []any
	}{
		{`INSERT INTO ` + o.Keyspace + `.users (block, id, username) VALUES (?, ?, ?)`, []any{int64(deadID / 1000), int64(deadID), name}},
		{`INSERT INTO ` + o.Keyspace + `.rooms_by_id (id, uri) VALUES (?, ?)`, []any{int64(deadID), uri}},
		{`INSERT INTO ` + o.Keyspace + `.listed_rooms (shard, id, uri) VALUES (0, ?, ?)`, []any{int64(deadID), uri}},
	} {
		if err := session.Query(stmt.cql, stmt.args...).Exec(); err != nil {
			t.Fatal(err)
		}
	}
	wantNothing := func() {
		t.Helper()
		if u, err := s.UserByID(ctx, deadID); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("user of the dead creator: got %+v, error %v, want %v", u, err, chat.ErrNotFound)
		}
		if r, err := s.RoomByID(ctx, deadID); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("room of the dead creator: got %+v, error %v, want %v", r, err, chat.ErrNotFound)
		}
	}
	wantNothing()
	user, err := s.CreateUser(ctx, chat.User{Profile: chat.Profile{Username: name}})
	if err != nil {
		t.Fatalf("create user: got error %v, want none: the name is free", err)
	}
	room, err := s.CreateRoom(ctx, chat.Room{URI: uri, Kind: chat.KindRoom})
	if err != nil {
		t.Fatalf("create room: got error %v, want none: the URI is free", err)
	}
	wantNothing()
	rooms, err := s.ListedRooms(ctx)
	if err != nil {
		t.Fatal(err)
	}
	times := 0
	for _, r := range rooms {
		if r.URI == uri {
			times++
		}
	}
	if times != 1 {
		t.Errorf("room %d: got listed %d times, want once", room.ID, times)
	}
	if got, err := s.UserByName(ctx, name); err != nil || got.ID != user.ID {
		t.Errorf("user: got id %d, error %v, want id %d", got.ID, err, user.ID)
	}
}

// memberChurn: whatever the order in which calls for one member cross, their
// sessions agree with the session's members at the end.
func memberChurn(t *testing.T, o cassandra.Options) {
	stores := []*cassandra.Store{open(t, o), open(t, o)}
	ctx := t.Context()
	room, err := stores[0].CreateRoom(ctx, chat.Room{URI: rand.Text()[:chat.URIDigits], Kind: chat.KindSession, Owner: 1})
	if err != nil {
		t.Fatal(err)
	}
	const user = 1<<41 + 7
	for round := range 10 {
		var calls sync.WaitGroup
		for i, s := range stores {
			calls.Go(func() {
				var err error
				switch (round + i) % 3 {
				case 0:
					err = s.DeleteMember(ctx, room.URI, user)
				default:
					err = s.PutMember(ctx, chat.Member{RoomURI: room.URI, UserID: user, Joined: time.Now(), Removed: (round+i)%3 == 1})
				}
				if err != nil {
					t.Errorf("round %d: got error %v, want none", round, err)
				}
			})
		}
		calls.Wait()
		wantAgreement(ctx, t, stores[0], room, user)
	}
}

func wantAgreement(ctx context.Context, t *testing.T, s *cassandra.Store, room chat.Room, user int64) {
	t.Helper()
	member, err := s.Member(ctx, room.URI, user)
	is := err == nil && !member.Removed
	if err != nil && !errors.Is(err, chat.ErrNotFound) {
		t.Fatal(err)
	}
	sessions, err := s.SessionsOf(ctx, user)
	if err != nil {
		t.Fatal(err)
	}
	if listed := len(sessions) == 1; listed != is {
		t.Errorf("sessions of the user: got %d, and the user is a member: %t", len(sessions), is)
	}
}
