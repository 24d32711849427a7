package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/gateway"
)

func TestIDs(t *testing.T) {
	c := newCluster(t)
	a := c.person("user_a", false)
	room := c.session(a)
	n := c.start("g1")
	s := n.open(a, path(room)+"?ids=1")
	last := parse(t, s.next()).Position
	for _, text := range []string{"one", "two"} {
		sent := c.send(a, room, text, "")
		got := s.next()
		want := fmt.Sprintf(`{"user":%s,"message":%q,"id":"%s","prev":"%s","time":"%s"}`,
			userJSON(a), text, sent.ID, parse(t, got).Prev, sent.Time.UTC().Format("2006-01-02T15:04:05.000Z"))
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if prev := parse(t, got).Prev; prev > last {
			t.Errorf("got prev %s, want none beyond %s: that would be a gap", prev, last)
		}
		last = sent.ID.String()
	}
}

func TestResume(t *testing.T) {
	c := newCluster(t)
	admin, a := c.person("root", true), c.person("user_a", false)
	session, lobby := c.session(a), c.room(admin, "Lobby", false)
	old := c.send(a, session, "old", "").ID
	tests := []struct {
		name      string
		room      chat.Room
		send      int
		after     func(position, first string) string
		recovered bool
		options   func(*gateway.Options)
	}{
		{"nothing missed", session, 0, func(p, _ string) string { return p }, true, nil},
		{"from the ring", session, 5, func(p, _ string) string { return p }, true, nil},
		{"from history", session, 20, func(p, _ string) string { return p }, true, func(o *gateway.Options) { o.RingBytes = 1000 }},
		{"a room from the ring", lobby, 5, func(p, _ string) string { return p }, true, nil},
		{"a room beyond the ring", lobby, 20, func(p, _ string) string { return p }, false, func(o *gateway.Options) { o.RingBytes = 1000 }},
		{"too many", session, 20, func(p, _ string) string { return p }, false, func(o *gateway.Options) { o.ResumeLimit = 10 }},
		{"too many bytes", session, 20, func(p, _ string) string { return p }, false, func(o *gateway.Options) { o.SendQueueBytes = 4000 }},
		{"another epoch", session, 1, func(string, string) string {
			id := old
			id.Epoch -= 7
			return id.String()
		}, false, nil},
		{"beyond the end", session, 0, func(string, string) string {
			id := old
			id.Offset += 1000
			return id.String()
		}, false, nil},
		{"older than the time to live", session, 1, func(string, string) string {
			id := old
			id.Offset, id.Time = max(id.Offset-1, 0), id.Time-7200
			return id.String()
		}, false, func(o *gateway.Options) { o.RingBytes = 1 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var change []func(*gateway.Options)
			if tt.options != nil {
				change = append(change, tt.options)
			}
			n := c.start("g1", change...)
			defer n.stop()
			first := n.open(a, path(tt.room)+"?ids=1")
			position := parse(t, first.next()).Position
			first.ws.Close()
			var want []string
			sent := position
			for i := range tt.send {
				want = append(want, fmt.Sprintf("m%d", i))
				sent = c.send(a, tt.room, want[i], "").ID.String()
			}
			// The feed has to have got them, or they come live.
			eventually(t, "the feed has everything", func() bool {
				probe := n.open(a, path(tt.room)+"?ids=1")
				defer probe.ws.Close()
				return parse(t, probe.next()).Position >= sent
			})
			s := n.open(a, path(tt.room)+"?after="+tt.after(position, ""))
			start := parse(t, s.next())
			if start.Recovered == nil || *start.Recovered != tt.recovered {
				t.Fatalf("got recovered %v, want %t", start.Recovered, tt.recovered)
			}
			if !tt.recovered {
				want = nil
			}
			c.send(a, tt.room, "live", "")
			last := ""
			for _, text := range append(want, "live") {
				f := parse(t, s.next())
				if f.Message != text {
					t.Fatalf("got message %q, want %q", f.Message, text)
				}
				if last != "" && f.Prev != last {
					t.Errorf("message %q: got prev %s, want %s", text, f.Prev, last)
				}
				last = f.ID
			}
		})
	}
}

// TestResumeFromBeforeTheFirst: an empty partition has a position too.
func TestResumeFromBeforeTheFirst(t *testing.T) {
	c := newCluster(t)
	admin, a := c.person("root", true), c.person("user_a", false)
	lobby := c.room(admin, "Lobby", false)
	n := c.start("g1")
	first := n.open(a, path(lobby)+"?ids=1")
	position := parse(t, first.next()).Position
	c.send(a, lobby, "first", "")
	first.next()
	s := n.open(a, path(lobby)+"?after="+position)
	if f := parse(t, s.next()); f.Recovered == nil || !*f.Recovered {
		t.Fatalf("got %+v, want recovered", f)
	}
	if f := parse(t, s.next()); f.Message != "first" {
		t.Errorf("got %q, want first", f.Message)
	}
}

func TestJoinResumes(t *testing.T) {
	c := newCluster(t)
	admin, a := c.person("root", true), c.person("amir", false)
	lobby := c.room(admin, "Lobby", false)
	n := c.start("g1")
	s := n.stream(a)
	s.say(`{"command":"join","room":%d,"ids":true}`, lobby.ID)
	joined := s.next()
	position := parse(t, joined).Position
	if want := fmt.Sprintf(`{"join":"%d","title":"Lobby","position":"%s"}`, lobby.ID, position); joined != want {
		t.Errorf("got %s, want %s", joined, want)
	}
	var ids []string
	for _, text := range []string{"one", "two"} {
		s.say(`{"command":"send","room":%d,"message":%q}`, lobby.ID, text)
		ids = append(ids, parse(t, s.next()).ID)
	}
	other := n.stream(a)
	for range 2 { // the second time it is in the room already
		other.say(`{"command":"join","room":%d,"after":%q}`, lobby.ID, ids[0])
		f := parse(t, other.next())
		if f.Recovered == nil || !*f.Recovered {
			t.Fatalf("got %+v, want recovered", f)
		}
		if f := parse(t, other.next()); f.ID != ids[1] || f.Prev != ids[0] {
			t.Errorf("got %+v, want id %s after %s", f, ids[1], ids[0])
		}
	}
	s.hears(fmt.Sprintf(`{"msg_type":4,"room":%d,"username":"amir"}`, lobby.ID))
}

// TestCutoffClearsTheMemory: what the cleaner has put out of reach is not
// handed out from the ring.
func TestCutoffClearsTheMemory(t *testing.T) {
	c := newCluster(t)
	a := c.person("user_a", false)
	room := c.session(a)
	n := c.start("g1")
	s := n.open(a, path(room)+"?ids=1")
	s.next()
	first := c.send(a, room, "one", "")
	c.send(a, room, "two", "")
	s.next()
	s.next()
	if err := c.store.SetCutoff(t.Context(), time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := c.publisher.Signal(t.Context(), "cutoff", chat.Event{Kind: chat.EventCutoff}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the resume is no longer served", func() bool {
		again := n.open(a, path(room)+"?after="+first.ID.String())
		defer again.ws.Close()
		return !*parse(t, again.next()).Recovered
	})
}

// TestExactlyOnce: readers that come and go at will, on two gateways, while
// many send, get each message once and in order.
func TestExactlyOnce(t *testing.T) {
	const senders, readers, each = 3, 4, 150
	for _, ring := range []int{4 << 20, 3000} {
		t.Run("ring of "+strconv.Itoa(ring), func(t *testing.T) {
			c := newCluster(t)
			a := c.person("user_a", false)
			room := c.session(a)
			small := func(o *gateway.Options) { o.RingBytes = ring }
			nodes := []*node{c.start("g1", small), c.start("g2", small)}
			position := c.send(a, room, "the first", "").ID.String()

			var running sync.WaitGroup
			for i := range senders {
				running.Go(func() {
					for k := range each {
						if _, err := c.messages.Send(t.Context(), a.User, room, fmt.Sprintf("%d-%d", i, k), fmt.Sprintf("%d-%d", i, k/2)); err != nil {
							t.Errorf("send: %v", err)
						}
					}
				})
			}
			// Every second send repeats the key of the one before.
			const messages = senders * each / 2
			got := make([][]string, readers)
			for i := range readers {
				running.Go(func() { got[i] = roam(t, nodes, a, room, position, messages) })
			}
			running.Wait()
			page, err := c.messages.History(t.Context(), room, chat.Page{Limit: 10 * messages})
			if err != nil {
				t.Fatal(err)
			}
			want := page.Messages[1:]
			for i, ids := range got {
				if len(ids) != len(want) {
					t.Fatalf("reader %d: got %d messages, want %d", i, len(ids), len(want))
				}
				for k, m := range want {
					if ids[k] != m.ID.String() {
						t.Fatalf("reader %d, message %d: got %s, want %s", i, k, ids[k], m.ID)
					}
				}
			}
		})
	}
}

// roam reads messages from one gateway or the other, breaking off now and then.
func roam(t *testing.T, nodes []*node, who person, room chat.Room, last string, messages int) []string {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var ids []string
	for len(ids) < messages && ctx.Err() == nil {
		ws, _, err := nodes[rand.IntN(len(nodes))].dial(path(room)+"?after="+last, tokenHeader(who))
		if err != nil {
			t.Errorf("dial: %v", err)
			return ids
		}
		s := &socket{t, ws}
		first, err := s.read()
		if f := parse(t, first); err != nil || f.Recovered == nil || !*f.Recovered {
			t.Errorf("after %s: got %s, %v; want recovered", last, first, err)
			ws.Close()
			return ids
		}
		for range 1 + rand.IntN(40) {
			if len(ids) == messages {
				break
			}
			data, err := s.read()
			if err != nil {
				var closed *websocket.CloseError
				t.Errorf("read: %v (closed: %t)", err, errors.As(err, &closed))
				break
			}
			f := parse(t, data)
			if f.Prev > last {
				t.Errorf("got prev %s after %s: a gap where none is", f.Prev, last)
			}
			last = f.ID
			ids = append(ids, f.ID)
		}
		ws.Close()
	}
	return ids
}
