package gateway_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// within is the promise of how soon a right that is lost is felt; the tests
// measure it with some room for a busy machine.
const within = 2 * time.Second

func soon(t *testing.T, began time.Time) {
	t.Helper()
	if took := time.Since(began); took > within {
		t.Errorf("took %v, want at most %v", took, within)
	}
}

func TestRemovedMemberStops(t *testing.T) {
	c := newCluster(t)
	a, b, other := c.person("user_a", false), c.person("user_b", false), c.person("user_c", false)
	room := c.session(a, b, other)
	n := c.start("g1")
	watch, stays := n.open(b, path(room)), n.open(other, path(room))
	stream := n.joinedStream(b, room)
	began := time.Now()
	if err := c.rooms.Remove(t.Context(), a.User, room, "user_b"); err != nil {
		t.Fatal(err)
	}
	c.send(a, room, "after", "")
	if got := watch.ends(); got != 4403 {
		t.Errorf("got close code %d, want 4403", got)
	}
	stream.hears(fmt.Sprintf(`{"error":"ROOM_ACCESS_DENIED","room":%d}`, room.ID))
	soon(t, began)
	stream.say(`{"command":"send","room":%d,"message":"x"}`, room.ID)
	stream.hears(`{"error":"ROOM_ACCESS_DENIED"}`)
	stays.hears(`{"user":` + userJSON(a) + `,"message":"after"}`)
}

func TestDeadTokens(t *testing.T) {
	inactive := false
	tests := []struct {
		name string
		kill func(c *cluster, p person, admin person) error
	}{
		{"logged out", func(c *cluster, p, _ person) error {
			return c.accounts.Logout(c.t.Context(), chat.Identity{User: p.User, Token: chat.Token{Hash: hashOf(p.token)}})
		}},
		{"deactivated", func(c *cluster, p, admin person) error {
			_, err := c.accounts.Update(c.t.Context(), admin.User, p.ID, chat.UserChange{IsActive: &inactive})
			return err
		}},
		{"expired", func(*cluster, person, person) error { return nil }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newCluster(t)
			admin, p, other := c.person("root", true), c.person("amir", false), c.person("sara", false)
			lobby, session := c.room(admin, "Lobby", false), c.session(p)
			if tt.name == "expired" {
				p = c.login(p.User, time.Second)
			}
			n := c.start("g1")
			watcher := n.joinedStream(other, lobby)
			stream, watch := n.joinedStream(p, lobby), n.open(p, path(session))
			watcher.hears(fmt.Sprintf(`{"msg_type":4,"room":%d,"username":"amir"}`, lobby.ID))
			began := time.Now()
			if err := tt.kill(c, p, admin); err != nil {
				t.Fatal(err)
			}
			stream.hears(`{"error":"USER_HAS_TO_LOGIN"}`)
			if got := watch.ends(); got != 4401 {
				t.Errorf("got close code %d, want 4401", got)
			}
			watcher.hears(fmt.Sprintf(`{"msg_type":5,"room":%d,"username":"amir"}`, lobby.ID))
			soon(t, began)
			stream.say(`{"command":"join","room":%d}`, lobby.ID)
			stream.hears(`{"error":"USER_HAS_TO_LOGIN"}`)
		})
	}
}

func TestOtherTokensGoOn(t *testing.T) {
	c := newCluster(t)
	admin, p := c.person("root", true), c.person("amir", false)
	lobby := c.room(admin, "Lobby", false)
	second := c.login(p.User, time.Hour)
	n := c.start("g1")
	first, stays := n.joinedStream(p, lobby), n.stream(second)
	if err := c.accounts.Logout(t.Context(), chat.Identity{User: p.User, Token: chat.Token{Hash: hashOf(p.token)}}); err != nil {
		t.Fatal(err)
	}
	first.hears(`{"error":"USER_HAS_TO_LOGIN"}`)
	stays.say(`{"command":"join","room":%d}`, lobby.ID)
	stays.hears(fmt.Sprintf(`{"join":"%d","title":"Lobby"}`, lobby.ID))
}

func TestRoomBecomesStaffOnly(t *testing.T) {
	c := newCluster(t)
	admin, p := c.person("root", true), c.person("amir", false)
	lobby := c.room(admin, "Lobby", false)
	n := c.start("g1")
	stream, watch, staff := n.joinedStream(p, lobby), n.open(p, path(lobby)), n.open(admin, path(lobby))
	yes := true
	if _, err := c.rooms.UpdateRoom(t.Context(), admin.User, lobby, chat.RoomChange{StaffOnly: &yes}); err != nil {
		t.Fatal(err)
	}
	stream.hears(fmt.Sprintf(`{"error":"ROOM_ACCESS_DENIED","room":%d}`, lobby.ID))
	if got := watch.ends(); got != 4403 {
		t.Errorf("got close code %d, want 4403", got)
	}
	c.send(admin, lobby, "among us", "")
	staff.hears(`{"user":` + userJSON(admin) + `,"message":"among us"}`)
}

func TestStaffRightsTaken(t *testing.T) {
	c := newCluster(t)
	admin, p := c.person("root", true), c.person("amir", true)
	room := c.room(admin, "Staff", true)
	s := c.start("g1").joinedStream(p, room)
	no := false
	if _, err := c.accounts.Update(t.Context(), admin.User, p.ID, chat.UserChange{IsStaff: &no}); err != nil {
		t.Fatal(err)
	}
	s.hears(fmt.Sprintf(`{"error":"ROOM_ACCESS_DENIED","room":%d}`, room.ID))
	s.say(`{"command":"join","room":%d}`, room.ID)
	s.hears(`{"error":"ROOM_ACCESS_DENIED"}`)
}

func TestLinkIsWithdrawn(t *testing.T) {
	c := newCluster(t)
	a := c.person("user_a", false)
	room := c.sessionWith(a, chat.SessionSettings{Access: chat.AccessLink})
	n := c.start("g1")
	stranger, member := n.open(person{}, path(room)), n.open(a, path(room))
	members := chat.AccessMembers
	if _, err := c.rooms.UpdateSession(t.Context(), a.User, room, chat.RoomChange{Access: &members}); err != nil {
		t.Fatal(err)
	}
	if got := stranger.ends(); got != 4403 {
		t.Errorf("got close code %d, want 4403", got)
	}
	c.send(a, room, "private", "")
	member.hears(`{"user":` + userJSON(a) + `,"message":"private"}`)
}

func TestRoomDeleted(t *testing.T) {
	c := newCluster(t)
	admin, p := c.person("root", true), c.person("amir", false)
	lobby := c.room(admin, "Lobby", false)
	n := c.start("g1")
	stream, watch := n.joinedStream(p, lobby), n.open(p, path(lobby))
	if err := c.rooms.DeleteRoom(t.Context(), admin.User, lobby); err != nil {
		t.Fatal(err)
	}
	stream.hears(fmt.Sprintf(`{"error":"ROOM_INVALID","room":%d}`, lobby.ID))
	if got := watch.ends(); got != 4504 {
		t.Errorf("got close code %d, want 4504", got)
	}
	stream.say(`{"command":"join","room":%d}`, lobby.ID)
	stream.hears(`{"error":"ROOM_INVALID"}`)
}
