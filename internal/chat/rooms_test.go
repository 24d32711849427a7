package chat_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// cast is the people of a session, by their role.
func cast(t *testing.T, s *server) (map[string]*chat.User, chat.Room) {
	t.Helper()
	people := map[string]*chat.User{"anonymous": nil}
	for _, role := range []string{"creator", "member", "removed", "stranger"} {
		user := s.user(t, role)
		people[role] = &user
	}
	admin := s.staff(t, "staff")
	people["staff"] = &admin
	room := s.session(t, *people["creator"], chat.SessionSettings{})
	for _, role := range []string{"member", "removed"} {
		if _, err := s.rooms.Join(t.Context(), *people[role], room, role); err != nil {
			t.Fatal(err)
		}
		s.clock.Advance(time.Second)
	}
	if err := s.rooms.Remove(t.Context(), *people["creator"], room, "removed"); err != nil {
		t.Fatal(err)
	}
	return people, room
}

func TestWhoMayRead(t *testing.T) {
	s := newServer(t)
	people, session := cast(t, s)
	linked := session
	linked.Access = chat.AccessLink
	lobby, err := s.rooms.CreateRoom(t.Context(), *people["staff"], "Lobby", false)
	if err != nil {
		t.Fatal(err)
	}
	backstage, err := s.rooms.CreateRoom(t.Context(), *people["staff"], "Backstage", true)
	if err != nil {
		t.Fatal(err)
	}
	denied, unknown := chat.ErrForbidden, chat.ErrUnauthenticated
	for _, tc := range []struct {
		name string
		ref  chat.RoomRef
		want map[string]error
	}{
		{"session of members, by URI", chat.RoomRef{Room: session, ByURI: true}, map[string]error{
			"anonymous": unknown, "stranger": denied, "removed": denied, "staff": denied, "member": nil, "creator": nil,
		}},
		{"session by link, by URI", chat.RoomRef{Room: linked, ByURI: true}, map[string]error{
			"anonymous": nil, "stranger": nil, "removed": nil, "staff": nil, "member": nil, "creator": nil,
		}},
		{"session by link, by id", chat.RoomRef{Room: linked}, map[string]error{
			"anonymous": unknown, "stranger": denied, "removed": denied, "staff": denied, "member": nil, "creator": nil,
		}},
		{"room", chat.RoomRef{Room: lobby, ByURI: true}, map[string]error{"anonymous": unknown, "stranger": nil, "staff": nil}},
		{"staff-only room", chat.RoomRef{Room: backstage, ByURI: true}, map[string]error{"anonymous": unknown, "stranger": denied, "staff": nil}},
	} {
		for role, want := range tc.want {
			t.Run(tc.name+"/"+role, func(t *testing.T) {
				if got := s.rooms.AuthorizeRead(t.Context(), people[role], tc.ref); !errors.Is(got, want) {
					t.Errorf("got %v, want %v", got, want)
				}
			})
		}
	}
}

func TestWhoMayWrite(t *testing.T) {
	s := newServer(t)
	people, session := cast(t, s)
	session.Access = chat.AccessLink // a link lets nobody write
	for role, want := range map[string]error{
		"stranger": chat.ErrForbidden, "removed": chat.ErrForbidden, "staff": chat.ErrForbidden, "member": nil, "creator": nil,
	} {
		if _, err := s.messages.Send(t.Context(), *people[role], session, "hi", ""); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", role, err, want)
		}
	}
}

func TestMembership(t *testing.T) {
	for _, tc := range []struct {
		name, actor string
		act         func(r *chat.Rooms, actor chat.User, room chat.Room) error
		want        error
		members     []string
	}{
		{"stranger joins", "stranger", join(""), nil, []string{"creator", "member", "stranger"}},
		{"stranger joins by name", "stranger", join("stranger"), nil, []string{"creator", "member", "stranger"}},
		{"member joins again", "member", join(""), nil, []string{"creator", "member"}},
		{"member names another", "member", join("stranger"), chat.ErrForbidden, []string{"creator", "member"}},
		{"creator names another", "creator", join("stranger"), nil, []string{"creator", "member", "stranger"}},
		{"staff names another", "staff", join("stranger"), nil, []string{"creator", "member", "stranger"}},
		{"removed comes back", "removed", join(""), chat.ErrForbidden, []string{"creator", "member"}},
		{"creator lets removed back", "creator", join("removed"), nil, []string{"creator", "member", "removed"}},
		{"member leaves", "member", leave, nil, []string{"creator"}},
		{"stranger leaves", "stranger", leave, chat.ErrForbidden, []string{"creator", "member"}},
		{"creator leaves", "creator", leave, chat.ErrForbidden, []string{"creator", "member"}},
		{"creator removes member", "creator", remove("member"), nil, []string{"creator"}},
		{"creator removes again", "creator", remove("removed"), nil, []string{"creator", "member"}},
		{"member removes creator", "member", remove("creator"), chat.ErrForbidden, []string{"creator", "member"}},
		{"staff removes creator", "staff", remove("creator"), chat.ErrForbidden, []string{"creator", "member"}},
		{"member removes themselves", "member", remove("member"), nil, []string{"creator"}},
		{"creator removes a stranger", "creator", remove("stranger"), chat.ErrNotFound, []string{"creator", "member"}},
		{"creator removes nobody", "creator", remove("nobody"), chat.ErrNotFound, []string{"creator", "member"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newServer(t)
			people, room := cast(t, s)
			s.clock.Advance(time.Second)
			if err := tc.act(s.rooms, *people[tc.actor], room); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			members, err := s.rooms.Members(t.Context(), room)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range members {
				got = append(got, m.Username)
			}
			slices.Sort(got[1:])
			if !slices.Equal(got, tc.members) {
				t.Errorf("members: got %q, want %q", got, tc.members)
			}
		})
	}
}

func join(username string) func(*chat.Rooms, chat.User, chat.Room) error {
	return func(r *chat.Rooms, actor chat.User, room chat.Room) error {
		_, err := r.Join(context.Background(), actor, room, username)
		return err
	}
}

func leave(r *chat.Rooms, actor chat.User, room chat.Room) error {
	return r.Leave(context.Background(), actor, room)
}

func remove(username string) func(*chat.Rooms, chat.User, chat.Room) error {
	return func(r *chat.Rooms, actor chat.User, room chat.Room) error {
		return r.Remove(context.Background(), actor, room, username)
	}
}

func TestMemberWhoLeftMayComeBack(t *testing.T) {
	s := newServer(t)
	people, room := cast(t, s)
	if err := s.rooms.Leave(t.Context(), *people["member"], room); err != nil {
		t.Fatal(err)
	}
	if _, err := s.rooms.Join(t.Context(), *people["member"], room, ""); err != nil {
		t.Errorf("got %v, want no error", err)
	}
}

func TestLookup(t *testing.T) {
	s := newServer(t)
	people, room := cast(t, s)
	_ = people
	for _, tc := range []struct {
		name, ref string
		byURI     bool
		want      error
	}{
		{"URI", room.URI, true, nil},
		{"unknown URI", "fffffffffffffff", false, chat.ErrNotFound},
		{"upper case", "FFFFFFFFFFFFFFF", false, chat.ErrNotFound},
		{"id", "1", false, nil},
		{"unknown id", "999999", false, chat.ErrNotFound},
		{"zero", "0", false, chat.ErrNotFound},
		{"negative", "-1", false, chat.ErrNotFound},
		{"empty", "", false, chat.ErrNotFound},
		{"overflow", "99999999999999999999", false, chat.ErrNotFound},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := s.rooms.Lookup(t.Context(), tc.ref)
			if !errors.Is(err, tc.want) || (err == nil && (got.ByURI != tc.byURI || got.Room.URI != room.URI)) {
				t.Errorf("got %+v, %v, want by URI %t and %v", got, err, tc.byURI, tc.want)
			}
		})
	}
}

func TestListed(t *testing.T) {
	s := newServer(t)
	user, admin := s.user(t, "amir"), s.staff(t, "root")
	for _, room := range []struct {
		title     string
		staffOnly bool
	}{{"lobby", false}, {"Attic", false}, {"Backstage", true}} {
		if _, err := s.rooms.CreateRoom(t.Context(), admin, room.title, room.staffOnly); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name   string
		viewer chat.User
		want   []string
	}{
		{"user", user, []string{"Attic", "lobby"}},
		{"staff", admin, []string{"Attic", "Backstage", "lobby"}},
	} {
		rooms, err := s.rooms.Listed(t.Context(), tc.viewer)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, room := range rooms {
			got = append(got, room.Title)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
	if _, err := s.rooms.CreateRoom(t.Context(), user, "Mine", false); !errors.Is(err, chat.ErrForbidden) {
		t.Errorf("room by a user: got %v, want ErrForbidden", err)
	}
	_, err := s.rooms.CreateRoom(t.Context(), admin, " ", false)
	if got := fields(t, err); len(got["title"]) != 1 {
		t.Errorf("blank title: got %v, want an error of title", got)
	}
}

func TestSessionSettings(t *testing.T) {
	s := newServer(t)
	people, room := cast(t, s)
	title, long, link := "Plans", time.Duration(1<<62), chat.AccessLink
	if _, err := s.rooms.UpdateSession(t.Context(), *people["member"], room, chat.RoomChange{Title: &title}); !errors.Is(err, chat.ErrForbidden) {
		t.Errorf("by a member: got %v, want ErrForbidden", err)
	}
	changed, err := s.rooms.UpdateSession(t.Context(), *people["creator"], room, chat.RoomChange{Title: &title, Access: &link})
	if err != nil || changed.Title != title || changed.Access != link {
		t.Errorf("by the creator: got %+v, %v, want the new title and access", changed, err)
	}
	_, err = s.rooms.UpdateSession(t.Context(), *people["creator"], room, chat.RoomChange{MessageTTL: &long})
	if got := fields(t, err); len(got["message_ttl"]) != 1 {
		t.Errorf("TTL over the limit: got %v, want an error of message_ttl", got)
	}
}
