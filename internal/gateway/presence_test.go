package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/gateway"
)

type listed struct {
	Left       bool    `json:"left"`
	LastUpdate float64 `json:"last_update"`
}

func (s *socket) users(room chat.Room) map[string]listed {
	s.t.Helper()
	s.say(`{"command":"room_users","room":%d}`, room.ID)
	var answer struct {
		Data struct{ Users map[string]listed }
	}
	if err := json.Unmarshal([]byte(s.next()), &answer); err != nil {
		s.t.Fatal(err)
	}
	return answer.Data.Users
}

func TestPresenceAcrossGateways(t *testing.T) {
	c := newCluster(t)
	admin, amir, sara := c.person("root", true), c.person("amir", false), c.person("sara", false)
	lobby := c.room(admin, "Lobby", false)
	one, two := c.start("g1"), c.start("g2")
	asker := one.joinedStream(sara, lobby)
	s := two.joinedStream(amir, lobby)
	asker.hears(fmt.Sprintf(`{"msg_type":4,"room":%d,"username":"amir"}`, lobby.ID))
	key := fmt.Sprint(amir.ID)
	last := asker.users(lobby)[key]
	if last.Left || last.LastUpdate == 0 {
		t.Fatalf("got %+v, want amir to be there", last)
	}
	for range 5 {
		s.say(`{"command":"send","room":%d,"message":"x"}`, lobby.ID)
		s.next()
		asker.next() // whoever has read the message
		now := asker.users(lobby)[key]
		if now.LastUpdate <= last.LastUpdate {
			t.Fatalf("got last_update %f after %f, want it to grow", now.LastUpdate, last.LastUpdate)
		}
		last = now
	}
	// The second of two sockets keeps the user there.
	second := one.joinedStream(amir, lobby)
	asker.next()
	s.say(`{"command":"leave","room":%d}`, lobby.ID)
	asker.hears(fmt.Sprintf(`{"msg_type":5,"room":%d,"username":"amir"}`, lobby.ID))
	if u := asker.users(lobby)[key]; u.Left || u.LastUpdate <= last.LastUpdate {
		t.Errorf("got %+v, want amir to be there, with a time above %f", u, last.LastUpdate)
	}
	second.ws.Close()
	asker.hears(fmt.Sprintf(`{"msg_type":5,"room":%d,"username":"amir"}`, lobby.ID))
	if u := asker.users(lobby)[key]; !u.Left {
		t.Errorf("got %+v, want amir to have left", u)
	}
}

// mortal is a presence store that a gateway loses when it dies.
type mortal struct {
	chat.PresenceStore
	dead atomic.Bool
}

var errDead = errors.New("dead")

func (m *mortal) PutLease(ctx context.Context, gateway string, until time.Time) error {
	if m.dead.Load() {
		return errDead
	}
	return m.PresenceStore.PutLease(ctx, gateway, until)
}

func (m *mortal) PutPresence(ctx context.Context, rows []chat.PresenceRow) error {
	if m.dead.Load() {
		return errDead
	}
	return m.PresenceStore.PutPresence(ctx, rows)
}

// TestDeadGatewayIsSwept: what a gateway leaves behind is announced by another,
// and by one only.
func TestDeadGatewayIsSwept(t *testing.T) {
	c := newCluster(t)
	admin, amir, sara := c.person("root", true), c.person("amir", false), c.person("sara", false)
	lobby := c.room(admin, "Lobby", false)
	quick := func(o *gateway.Options) { o.LeaseTTL = 600 * time.Millisecond }
	a, _ := c.start("a", quick), c.start("c", quick)
	store := &mortal{PresenceStore: c.store}
	dying := c.startWith("b", store, quick)
	asker := a.joinedStream(sara, lobby)
	dying.joinedStream(amir, lobby)
	asker.hears(fmt.Sprintf(`{"msg_type":4,"room":%d,"username":"amir"}`, lobby.ID))
	store.dead.Store(true)
	asker.hears(fmt.Sprintf(`{"msg_type":5,"room":%d,"username":"amir"}`, lobby.ID))
	if u := asker.users(lobby)[fmt.Sprint(amir.ID)]; !u.Left {
		eventually(t, "amir has left", func() bool { return asker.users(lobby)[fmt.Sprint(amir.ID)].Left })
	}
	eventually(t, "the lease is gone", func() bool {
		leases, err := c.store.Leases(t.Context())
		_, held := leases["b"]
		return err == nil && !held
	})
	// A second announcement would stand in the log before this message.
	c.send(sara, lobby, "end", "")
	asker.hears(fmt.Sprintf(`{"msg_type":0,"room":%d,"username":"sara","message":"end"}`, lobby.ID))
}

// TestRestartUnderTheSameName: rows of a process that died are swept by the
// next one of that name.
func TestRestartUnderTheSameName(t *testing.T) {
	c := newCluster(t)
	admin, amir, sara := c.person("root", true), c.person("amir", false), c.person("sara", false)
	lobby := c.room(admin, "Lobby", false)
	row := chat.PresenceRow{RoomURI: lobby.URI, Gateway: "g1", User: amir.Profile, Updated: time.Now()}
	if err := c.store.PutPresence(t.Context(), []chat.PresenceRow{row}); err != nil {
		t.Fatal(err)
	}
	s := c.start("g1").joinedStream(sara, lobby)
	eventually(t, "amir has left", func() bool {
		s.say(`{"command":"room_users","room":%d}`, lobby.ID)
		for {
			frame := s.next() // the notice of the leave may come in between
			var answer struct {
				Type int `json:"type"`
				Data struct{ Users map[string]listed }
			}
			if err := json.Unmarshal([]byte(frame), &answer); err != nil {
				t.Fatal(err)
			}
			if answer.Type == 6 {
				return answer.Data.Users[fmt.Sprint(amir.ID)].Left
			}
		}
	})
}
