package chat_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/clean"
	storelocal "github.com/chatcluster/chatcluster/internal/store/local"
)

// awayStore is what Messages see of the store. It can be away, as a whole or in
// what follows the cutoff.
type awayStore struct {
	*storelocal.Store
	all, rest atomic.Bool
}

func (s *awayStore) Cutoff(ctx context.Context) (time.Time, error) {
	if s.all.Load() {
		return time.Time{}, chat.ErrUnavailable
	}
	return s.Store.Cutoff(ctx)
}

func (s *awayStore) Watermark(ctx context.Context, p chat.Partition) (chat.Watermark, error) {
	if s.all.Load() || s.rest.Load() {
		return chat.Watermark{}, chat.ErrUnavailable
	}
	return s.Store.Watermark(ctx, p)
}

func sameMessage(a, b chat.Message) bool { return a.ID == b.ID && a.Text == b.Text }

// beside is a new session in the same partition as another.
func (s *server) beside(t *testing.T, room chat.Room, owner chat.User) chat.Room {
	t.Helper()
	for {
		if made := s.session(t, owner, chat.SessionSettings{}); made.Partition == room.Partition {
			return made
		}
	}
}

// The log alone answers as both together do, whatever page is asked for.
func TestHistoryWhileTheStoreIsAway(t *testing.T) {
	s := newServer(t)
	user := s.user(t, "amir")
	room, other := s.session(t, user, chat.SessionSettings{}), s.session(t, user, chat.SessionSettings{})
	var sent []chat.Message
	for n := range 300 {
		key := ""
		if n%3 == 0 {
			key = fmt.Sprint(n % 30) // many are repeats
		}
		sent = append(sent, s.send(t, user, room, fmt.Sprint(n), key))
		for range n % 13 {
			s.send(t, user, other, "elsewhere", "")
		}
		if n == 140 {
			s.archive(t)
		}
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	id := func() (id chat.MessageID) {
		if random.IntN(3) > 0 {
			id = sent[random.IntN(len(sent))].ID
		}
		return id
	}
	for _, away := range []*atomic.Bool{&s.away.all, &s.away.rest} {
		for range 200 {
			page := chat.Page{After: id(), Before: id(), Limit: 1 + random.IntN(400)}
			want := s.history(t, room, page)
			away.Store(true)
			got := s.history(t, room, page)
			away.Store(false)
			if !slices.EqualFunc(got.Messages, want.Messages, sameMessage) || got.Older != want.Older || got.Newer != want.Newer {
				t.Fatalf("%+v: got %q (%t, %t), want %q (%t, %t)", page,
					texts(got.Messages), got.Older, got.Newer, texts(want.Messages), want.Older, want.Newer)
			}
		}
	}
	s.away.all.Store(true)
	last := sent[len(sent)-1]
	if got, err := s.messages.Since(t.Context(), room, sent[250].ID, last.ID, 100); err != nil || got[len(got)-1] != last {
		t.Errorf("resume: got %d messages, %v, want those up to the last", len(got), err)
	}
	sent = append(sent, s.send(t, user, room, "while it is away", ""))
	if got := s.history(t, room, chat.Page{Limit: 1}); got.Messages[0] != sent[len(sent)-1] {
		t.Errorf("read your write: got %q, want it", texts(got.Messages))
	}
}

// A log that was trimmed answers what it has, and refuses the rest.
func TestLogThatWasTrimmed(t *testing.T) {
	s := newServer(t)
	user := s.user(t, "amir")
	room := s.session(t, user, chat.SessionSettings{})
	text := strings.Repeat("x", messageBytes)
	var sent []chat.Message
	send := func(room chat.Room, count int) {
		for range count {
			sent = append(sent, s.send(t, user, room, text, ""))
		}
	}
	send(room, 100)
	s.clock.Advance(2 * time.Hour)
	send(room, 100)
	s.archive(t)
	s.history(t, room, chat.Page{})
	log := &trimmedLog{Log: s.log, partition: room.Partition, first: sent[100].ID.Offset}
	s.messages = s.messagesOver(log)
	if _, err := s.messages.Cutoff(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.away.all.Store(true)

	id := func(n int) chat.MessageID { return sent[n].ID }
	for _, tc := range []struct {
		name     string
		page     chat.Page
		from, to int // -1: refused
	}{
		{"the newest", chat.Page{Limit: 50}, 150, 200},
		{"as many as it has, and whether there are more is unknown", chat.Page{Limit: 100}, -1, 0},
		{"one fewer", chat.Page{Limit: 99}, 101, 200},
		{"before", chat.Page{Limit: 10, Before: id(150)}, 140, 150},
		{"before the first that it has", chat.Page{Limit: 10, Before: id(100)}, -1, 0},
		{"after the last that it has not", chat.Page{Limit: 10, After: id(99)}, 100, 110},
		{"after one that it has", chat.Page{Limit: 10, After: id(100)}, 101, 111},
		{"after an earlier one", chat.Page{Limit: 10, After: id(98)}, -1, 0},
		{"between", chat.Page{Limit: 200, After: id(120), Before: id(130)}, 121, 130},
		{"between, from too early on", chat.Page{Limit: 200, After: id(50), Before: id(130)}, -1, 0},
		{"before, of the life before", chat.Page{Limit: 1, Before: chat.MessageID{Offset: 5}}, -1, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := s.messages.History(t.Context(), room, tc.page)
			if tc.from < 0 {
				if !errors.Is(err, chat.ErrUnavailable) {
					t.Errorf("got %d messages, %v, want ErrUnavailable", len(got.Messages), err)
				}
				return
			}
			if want := sent[tc.from:tc.to]; err != nil || !slices.Equal(got.Messages, want) {
				t.Errorf("got %d messages, %v, want %d", len(got.Messages), err, len(want))
			}
		})
	}
	t.Run("a session that is younger than its first record", func(t *testing.T) {
		s.clock.Advance(time.Hour)
		young := s.beside(t, room, user)
		send(young, 3)
		if got := s.history(t, young, chat.Page{Limit: 10}); len(got.Messages) != 3 || got.Older {
			t.Errorf("got %d messages, older %t, want 3 and none older", len(got.Messages), got.Older)
		}
	})
	t.Run("what is below it has expired", func(t *testing.T) {
		short := room
		short.MessageTTL = time.Hour + 30*time.Minute
		if got, err := s.messages.History(t.Context(), short, chat.Page{Limit: 1000}); err == nil {
			t.Errorf("where that is not sure: got %d messages, want an error", len(got.Messages))
		}
		log.first = sent[50].ID.Offset
		if got := s.history(t, short, chat.Page{Limit: 1000}); len(got.Messages) != 100 || got.Older {
			t.Errorf("got %d messages, older %t, want 100 and none older", len(got.Messages), got.Older)
		}
	})
	t.Run("more than may be read", func(t *testing.T) {
		quiet := s.beside(t, room, user)
		send(quiet, 1)
		send(room, 2<<20/messageBytes)
		if got, err := s.messages.History(t.Context(), quiet, chat.Page{Limit: 10}); !errors.Is(err, chat.ErrUnavailable) {
			t.Errorf("got %d messages, %v, want ErrUnavailable", len(got.Messages), err)
		}
	})
}

// trimmedLog has lost what lies below first in one partition.
type trimmedLog struct {
	chat.Log
	partition chat.Partition
	first     int64
}

func (l *trimmedLog) Bounds(ctx context.Context, p chat.Partition) (chat.Bounds, error) {
	b, err := l.Log.Bounds(ctx, p)
	if p == l.partition {
		b.First = max(b.First, l.first)
	}
	return b, err
}

func (l *trimmedLog) Read(ctx context.Context, p chat.Partition, from int64, maxBytes int) (chat.Batch, error) {
	if p == l.partition && from < l.first {
		return chat.Batch{}, chat.ErrOffsetOutOfRange
	}
	return l.Log.Read(ctx, p, from, maxBytes)
}

// What was cleaned away stays so while the store is away, whatever is known of
// the cutoff.
func TestCutoffWhileTheStoreIsAway(t *testing.T) {
	newScene := func(t *testing.T) (*server, chat.Room) {
		s := newServer(t)
		user := s.user(t, "amir")
		room := s.session(t, user, chat.SessionSettings{})
		s.send(t, user, room, "old", "")
		s.clock.Advance(48*time.Hour - time.Minute)
		s.send(t, user, room, "young", "")
		return s, room
	}
	clean := func(t *testing.T, s *server) {
		t.Helper()
		cleaner := clean.New(s.store, chat.NewPublisher(s.log), 0, s.clock.Now)
		if _, err := cleaner.Clean(t.Context(), clean.Options{Days: 1}, func(clean.Report) {}); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("never read", func(t *testing.T) {
		s, room := newScene(t)
		s.away.all.Store(true)
		if got, err := s.messages.History(t.Context(), room, chat.Page{Limit: 10}); !errors.Is(err, chat.ErrUnavailable) {
			t.Errorf("got %q, %v, want ErrUnavailable", texts(got.Messages), err)
		}
	})
	t.Run("read, and not moved since", func(t *testing.T) {
		s, room := newScene(t)
		clean(t, s)
		if _, err := s.messages.Cutoff(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := chat.NewPublisher(s.log).Signal(t.Context(), "1", chat.Event{Kind: chat.EventUserChanged, Subject: 1}); err != nil {
			t.Fatal(err)
		}
		s.away.all.Store(true)
		if got := texts(s.history(t, room, chat.Page{}).Messages); !slices.Equal(got, []string{"young"}) {
			t.Errorf("got %q, want what is younger than the cutoff", got)
		}
	})
	t.Run("read, and moved since by one who reaches the store", func(t *testing.T) {
		s, room := newScene(t)
		s.history(t, room, chat.Page{})
		s.away.all.Store(true)
		s.history(t, room, chat.Page{})
		clean(t, s)
		if got, err := s.messages.History(t.Context(), room, chat.Page{Limit: 10}); !errors.Is(err, chat.ErrUnavailable) {
			t.Errorf("got %q, %v, want ErrUnavailable", texts(got.Messages), err)
		}
		s.away.all.Store(false)
		s.clock.Advance(time.Second)
		s.history(t, room, chat.Page{})
		s.away.all.Store(true)
		if got := texts(s.history(t, room, chat.Page{}).Messages); !slices.Equal(got, []string{"young"}) {
			t.Errorf("after the store was back for a moment: got %q, want what is younger than the cutoff", got)
		}
	})
}
