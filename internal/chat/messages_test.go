package chat_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

func TestReadYourWrites(t *testing.T) {
	s := newServer(t)
	user := s.user(t, "amir")
	room := s.session(t, user, chat.SessionSettings{})
	var want []string
	for n := range 20 {
		text := fmt.Sprint("message ", n)
		s.send(t, user, room, text, "")
		want = append(want, text)
		if n%7 == 0 {
			s.archive(t) // part of it is in the store, the rest in the log
		}
		if got := texts(s.history(t, room, chat.Page{}).Messages); !slices.Equal(got, want) {
			t.Fatalf("history after %q: got %q, want %q", text, got, want)
		}
	}
}

func TestHistoryPages(t *testing.T) {
	s := newServer(t)
	user := s.user(t, "amir")
	room, other := s.session(t, user, chat.SessionSettings{}), s.session(t, user, chat.SessionSettings{})
	var sent []chat.Message
	for n := range 25 {
		sent = append(sent, s.send(t, user, room, fmt.Sprint(n), ""))
		s.send(t, user, other, "elsewhere", "")
		if n == 14 {
			s.archive(t)
		}
	}
	id := func(n int) chat.MessageID { return sent[n].ID }
	for _, tc := range []struct {
		name         string
		page         chat.Page
		from, to     int // the messages sent[from:to]
		older, newer bool
	}{
		{"newest", chat.Page{Limit: 10}, 15, 25, true, false},
		{"all", chat.Page{Limit: 25}, 0, 25, false, false},
		{"before, across the watermark", chat.Page{Limit: 10, Before: id(20)}, 10, 20, true, true},
		{"before, the oldest", chat.Page{Limit: 10, Before: id(5)}, 0, 5, false, true},
		{"before the first", chat.Page{Limit: 10, Before: id(0)}, 0, 0, false, true},
		{"after, across the watermark", chat.Page{Limit: 10, After: id(9)}, 10, 20, true, true},
		{"after, the newest", chat.Page{Limit: 10, After: id(20)}, 21, 25, true, false},
		{"after the last", chat.Page{Limit: 10, After: id(24)}, 0, 0, true, false},
		{"between", chat.Page{Limit: 100, After: id(3), Before: id(8)}, 4, 8, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := s.history(t, room, tc.page)
			if want := sent[tc.from:tc.to]; !slices.EqualFunc(got.Messages, want, func(a, b chat.Message) bool { return a.ID == b.ID && a.Text == b.Text }) {
				t.Errorf("messages: got %q, want %q", texts(got.Messages), texts(want))
			}
			if got.Older != tc.older || got.Newer != tc.newer {
				t.Errorf("older, newer: got %t, %t, want %t, %t", got.Older, got.Newer, tc.older, tc.newer)
			}
		})
	}
}

func TestIdempotencyKey(t *testing.T) {
	s := newServer(t)
	amir, binh := s.user(t, "amir"), s.user(t, "binh")
	room, other := s.session(t, amir, chat.SessionSettings{}), s.session(t, amir, chat.SessionSettings{})
	for _, r := range []chat.Room{room, other} {
		if _, err := s.rooms.Join(t.Context(), amir, r, binh.Username); err != nil {
			t.Fatal(err)
		}
	}
	first := s.send(t, amir, room, "hello", "k")
	s.clock.Advance(time.Second)
	if again := s.send(t, amir, room, "hello", "k"); again != first {
		t.Errorf("repeat: got %+v, want %+v", again, first)
	}
	s.archive(t)
	if again := s.send(t, amir, room, "another text", "k"); again != first {
		t.Errorf("repeat with another text: got %+v, want the first answer %+v", again, first)
	}
	for _, tc := range []struct {
		name   string
		sender chat.User
		room   chat.Room
		key    string
	}{
		{"other sender", binh, room, "k"},
		{"other room", amir, other, "k"},
		{"other key", amir, room, "l"},
		{"no key", amir, room, ""},
	} {
		if msg := s.send(t, tc.sender, tc.room, tc.name, tc.key); msg.ID == first.ID || msg.Text != tc.name {
			t.Errorf("%s: got %+v, want a message of its own", tc.name, msg)
		}
	}
	want := []string{"hello", "other sender", "other key", "no key"}
	if got := texts(s.history(t, room, chat.Page{}).Messages); !slices.Equal(got, want) {
		t.Errorf("history: got %q, want %q", got, want)
	}
	s.archive(t)
	if got := texts(s.history(t, room, chat.Page{}).Messages); !slices.Equal(got, want) {
		t.Errorf("archived history: got %q, want %q", got, want)
	}
}

func TestConcurrentRepeatsAreOneMessage(t *testing.T) {
	s := newServer(t)
	user := s.user(t, "amir")
	room := s.session(t, user, chat.SessionSettings{})
	const keys, repeats = 20, 10
	answers := make([][repeats]chat.Message, keys)
	var senders sync.WaitGroup
	for key := range keys {
		for n := range repeats {
			senders.Go(func() {
				msg, err := s.messages.Send(t.Context(), user, room, fmt.Sprint(key), fmt.Sprint("key ", key))
				if err != nil {
					t.Error(err)
				}
				answers[key][n] = msg
			})
		}
	}
	senders.Wait()
	for key, all := range answers {
		for _, msg := range all {
			if msg != all[0] {
				t.Fatalf("key %d: got answers %+v and %+v, want the same", key, msg, all[0])
			}
		}
	}
	if got := len(s.history(t, room, chat.Page{}).Messages); got != keys {
		t.Errorf("history: got %d messages, want %d", got, keys)
	}
}

func TestForgotten(t *testing.T) {
	for _, archived := range []bool{false, true} {
		t.Run(fmt.Sprintf("archived %t", archived), func(t *testing.T) {
			s := newServer(t)
			user := s.user(t, "amir")
			room := s.session(t, user, chat.SessionSettings{})
			short := s.session(t, user, chat.SessionSettings{MessageTTL: time.Hour})
			old := s.send(t, user, room, "old", "")
			s.send(t, user, short, "old", "")
			s.clock.Advance(2 * time.Hour)
			s.send(t, user, room, "young", "")
			s.send(t, user, short, "young", "")
			if archived {
				s.archive(t)
			}
			expect := func(when string, room chat.Room, want ...string) {
				t.Helper()
				if got := texts(s.history(t, room, chat.Page{}).Messages); !slices.Equal(got, want) {
					t.Errorf("%s: got %q, want %q", when, got, want)
				}
			}
			expect("before any TTL", room, "old", "young")
			expect("after the session's own TTL", short, "young")

			hour := time.Hour
			shortened, err := s.rooms.UpdateSession(t.Context(), user, room, chat.RoomChange{MessageTTL: &hour})
			if err != nil {
				t.Fatal(err)
			}
			expect("after the TTL was shortened", shortened, "young")
			if _, err := s.messages.Since(t.Context(), shortened, old.ID, old.ID, 10); !errors.Is(err, chat.ErrIncomplete) {
				t.Errorf("resume from before the TTL: got %v, want ErrIncomplete", err)
			}

			if err := s.store.SetCutoff(t.Context(), s.clock.Now().Add(time.Second)); err != nil {
				t.Fatal(err)
			}
			expect("after a cutoff", room)
			s.archive(t)
			expect("after a cutoff and the archiver", room)
			s.clock.Advance(time.Minute)
			s.send(t, user, room, "after the cutoff", "")
			expect("after a cutoff, what is new", room, "after the cutoff")
			s.clock.Advance(messageTTL)
			expect("after the server's TTL", room)
		})
	}
}

func TestSinceIsCompleteOrNothing(t *testing.T) {
	s := newServer(t)
	user := s.user(t, "amir")
	room := s.session(t, user, chat.SessionSettings{})
	var sent []chat.Message
	for n := range 30 {
		sent = append(sent, s.send(t, user, room, fmt.Sprint(n), ""))
		if n == 20 {
			s.archive(t)
		}
	}
	random := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		from := random.IntN(len(sent))
		to := from + random.IntN(len(sent)-from)
		got, err := s.messages.Since(t.Context(), room, sent[from].ID, sent[to].ID, 30)
		if want := texts(sent[from+1 : to+1]); err != nil || !slices.Equal(texts(got), want) {
			t.Fatalf("since %d up to %d: got %q, %v, want %q", from, to, texts(got), err, want)
		}
	}
	beginning := chat.BeforeFirst(sent[0].ID.Epoch, s.clock.Now())
	if got, err := s.messages.Since(t.Context(), room, beginning, sent[29].ID, 30); err != nil || len(got) != 30 {
		t.Errorf("since before the first: got %d messages, %v, want 30", len(got), err)
	}
	if _, err := s.messages.Since(t.Context(), room, sent[0].ID, sent[29].ID, 28); !errors.Is(err, chat.ErrIncomplete) {
		t.Errorf("more than the limit: got %v, want ErrIncomplete", err)
	}
	foreign := sent[0].ID
	foreign.Epoch++
	if _, err := s.messages.Since(t.Context(), room, foreign, sent[29].ID, 30); !errors.Is(err, chat.ErrIncomplete) {
		t.Errorf("another epoch: got %v, want ErrIncomplete", err)
	}
}

func TestLaggingArchiverIsAnErrorNotAHole(t *testing.T) {
	s := newServer(t)
	user := s.user(t, "amir")
	room := s.session(t, user, chat.SessionSettings{})
	s.send(t, user, room, "first", "")
	s.archive(t)
	text := strings.Repeat("x", messageBytes)
	for range 2 << 20 / messageBytes { // twice the lag that the server reads through
		s.send(t, user, room, text, "")
	}
	if _, err := s.messages.History(t.Context(), room, chat.Page{Limit: 10}); !errors.Is(err, chat.ErrLagging) {
		t.Errorf("while the archiver lags: got %v, want ErrLagging", err)
	}
	s.archive(t)
	if got := s.history(t, room, chat.Page{Limit: 10}); len(got.Messages) != 10 {
		t.Errorf("once it has caught up: got %d messages, want 10", len(got.Messages))
	}
}

func TestBadMessages(t *testing.T) {
	s := newServer(t)
	user := s.user(t, "amir")
	room := s.session(t, user, chat.SessionSettings{})
	for _, tc := range []struct{ name, text, key, field string }{
		{"empty", "", "", "message"},
		{"blank", " \n\t ", "", "message"},
		{"too long", strings.Repeat("x", messageBytes+1), "", "message"},
		{"not UTF-8", "\xff", "", "message"},
		{"key too long", "x", strings.Repeat("k", 65), "idempotency_key"},
		{"key not UTF-8", "x", "\xff", "idempotency_key"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := s.messages.Send(t.Context(), user, room, tc.text, tc.key)
			if got := fields(t, err); len(got[tc.field]) != 1 {
				t.Errorf("got %v, want one error of %q", got, tc.field)
			}
		})
	}
	if got := s.history(t, room, chat.Page{}).Messages; len(got) != 0 {
		t.Errorf("history: got %d messages, want none", len(got))
	}
}

func TestRoomsKeepNothing(t *testing.T) {
	s := newServer(t)
	user, admin := s.user(t, "amir"), s.staff(t, "root")
	room, err := s.rooms.CreateRoom(t.Context(), admin, "Lobby", false)
	if err != nil {
		t.Fatal(err)
	}
	s.send(t, user, room, "hi", "")
	s.archive(t)
	if got := s.history(t, room, chat.Page{}).Messages; len(got) != 0 {
		t.Errorf("history: got %d messages, want none", len(got))
	}
}
