package feed_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/gateway/feed"
	"github.com/chatcluster/chatcluster/internal/log/local"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const uri = "0123456789abcde"

var partition = chat.Partition{Topic: chat.TopicMessages}

type fixture struct {
	*feed.Feed
	t   *testing.T
	log *local.Log
	// cutoff and cutoffErr are what the feed is told when it asks.
	cutoff    time.Time
	cutoffErr error
}

func newFixture(t *testing.T, ringBytes int) *fixture {
	t.Helper()
	log, err := local.Open(t.TempDir(), local.Options{Sync: []chat.Topic{}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	f := &fixture{t: t, log: log}
	f.Feed = feed.New(log, feed.Options{
		RingBytes: ringBytes, Linger: 20 * time.Millisecond, Observe: func(*feed.Event) {}, Changed: func(*chat.Event) {},
		Cutoff: func(context.Context) (time.Time, error) { return f.cutoff, f.cutoffErr },
		Now:    time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	return f
}

// run follows the log until the test ends.
func (f *fixture) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Run(ctx)
	}()
	f.t.Cleanup(func() {
		cancel()
		<-done
	})
}

func (f *fixture) acquire() *feed.Partition {
	f.t.Helper()
	p, err := f.Acquire(f.t.Context(), partition)
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

func (f *fixture) append(ev chat.Event) chat.MessageID {
	f.t.Helper()
	rec, epoch, err := f.log.Append(f.t.Context(), partition, uri, chat.AppendEvent(nil, ev))
	if err != nil {
		f.t.Fatal(err)
	}
	return chat.NewMessageID(epoch, rec.Offset, rec.Time)
}

func (f *fixture) message(text string) chat.MessageID {
	f.t.Helper()
	return f.append(chat.Event{Kind: chat.EventMessage, Text: text, TTL: time.Hour})
}

func (f *fixture) eventually(what string, ok func() bool) {
	f.t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			f.t.Fatalf("timed out: %s", what)
		}
	}
}

// reader is a subscriber that writes down what it gets.
type reader struct {
	mu     sync.Mutex // guards the rest
	source feed.Source
	texts  []string
	lost   bool
}

func (r *reader) begin(b feed.Beginning) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.source = b.Source
	for _, ev := range b.Missed {
		r.texts = append(r.texts, ev.Text)
	}
}

func (r *reader) Deliver(d *feed.Delivery) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.texts = append(r.texts, d.Text)
	return d.Text != "last"
}

func (r *reader) Lost() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost = true
}

func (r *reader) has(want ...string) func() bool {
	return func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return slices.Equal(r.texts, want)
	}
}

// TestWarmUpForgets: what was cleaned away before the partition was followed is
// not remembered because the log still has it.
func TestWarmUpForgets(t *testing.T) {
	for _, tc := range []struct {
		name      string
		cutoff    time.Time
		cutoffErr error
		source    feed.Source
	}{
		{"no cutoff", time.Time{}, nil, feed.Ring},
		{"cutoff after the messages", time.Now().Add(time.Hour), nil, feed.Missing},
		{"cutoff not known", time.Time{}, chat.ErrUnavailable, feed.Missing},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFixture(t, 1<<20)
			f.cutoff, f.cutoffErr = tc.cutoff, tc.cutoffErr
			first := f.message("first")
			f.message("second")
			f.run()
			p := f.acquire()
			r := &reader{}
			// Without a history, the memory is all that there is.
			sub, err := p.Subscribe(t.Context(), feed.Request{
				Room: uri, Authorized: p.Next(), After: &first, Limit: 10, BufferBytes: 1 << 20, Begin: r.begin,
			}, r)
			if err != nil {
				t.Fatal(err)
			}
			defer sub.Cancel()
			if r.source != tc.source {
				t.Errorf("got source %d and %q, want source %d", r.source, r.texts, tc.source)
			}
		})
	}
}

// TestBetweenHistoryAndLive: what arrives while history is read comes after it,
// once.
func TestBetweenHistoryAndLive(t *testing.T) {
	tests := []struct {
		name   string
		buffer int
		answer error
		source feed.Source
		want   []string
	}{
		{"all", 1 << 20, nil, feed.History, []string{"old", "during 0", "during 1", "after"}},
		{"incomplete", 1 << 20, feed.ErrIncomplete, feed.Missing, []string{"during 0", "during 1", "after"}},
		{"more than fits", 1, nil, feed.Missing, []string{"after"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t, 1) // a ring that holds nothing
			first, old := f.message("first"), f.message("old")
			f.run()
			p := f.acquire()
			r := &reader{}
			_, err := p.Subscribe(t.Context(), feed.Request{
				Room: uri, Authorized: p.Next(), After: &first, Limit: 10, BufferBytes: tt.buffer, Begin: r.begin,
				History: func(_ context.Context, upTo chat.MessageID) ([]*feed.Event, error) {
					if upTo.Compare(old) != 0 {
						t.Errorf("got history up to %s, want %s", upTo, old)
					}
					for i := range 2 {
						f.message(fmt.Sprintf("during %d", i))
					}
					f.eventually("the feed has them", func() bool { return p.Next() == old.Offset+3 })
					return []*feed.Event{{Event: chat.Event{Text: "old"}}}, tt.answer
				},
			}, r)
			if err != nil {
				t.Fatal(err)
			}
			f.message("after")
			f.eventually(fmt.Sprintf("it has %q", tt.want), r.has(tt.want...))
			if r.source != tt.source {
				t.Errorf("got source %d, want %d", r.source, tt.source)
			}
		})
	}
}

func TestHistoryFails(t *testing.T) {
	f := newFixture(t, 1)
	first := f.message("first")
	f.message("second")
	f.run()
	p := f.acquire()
	r := &reader{}
	_, err := p.Subscribe(t.Context(), feed.Request{
		Room: uri, Authorized: p.Next(), After: &first, Limit: 10, BufferBytes: 1000, Begin: r.begin,
		History: func(context.Context, chat.MessageID) ([]*feed.Event, error) { return nil, chat.ErrUnavailable },
	}, r)
	if !errors.Is(err, chat.ErrUnavailable) {
		t.Fatalf("got %v, want %v", err, chat.ErrUnavailable)
	}
	next := f.message("third").Offset + 1
	f.eventually("the feed has it", func() bool { return p.Next() == next })
	if !r.has()() {
		t.Errorf("got %q, want nothing", r.texts)
	}
}

// TestAheadOfTheFeed: a reader that comes from a faster gateway gets nothing
// twice.
func TestAheadOfTheFeed(t *testing.T) {
	f := newFixture(t, 1<<20)
	f.message("one")
	p := f.acquire() // nothing is handed on before run
	seen := f.message("two")
	forged := seen
	forged.Offset++
	r, doubtful := &reader{}, &reader{}
	for reader, after := range map[*reader]chat.MessageID{r: seen, doubtful: forged} {
		_, err := p.Subscribe(t.Context(), feed.Request{
			Room: uri, Authorized: p.Next(), After: &after, Limit: 10, BufferBytes: 1 << 20, Begin: reader.begin,
		}, reader)
		if err != nil {
			t.Fatal(err)
		}
	}
	f.run()
	f.message("three")
	f.eventually("three comes", r.has("three"))
	f.eventually("two and three come", doubtful.has("two", "three"))
	if r.source != feed.History || doubtful.source != feed.Missing {
		t.Errorf("got sources %d and %d, want %d and %d", r.source, doubtful.source, feed.History, feed.Missing)
	}
}

// TestRoomChangesMeanwhile: rights that were looked up before a change do not
// open a subscription after it.
func TestRoomChangesMeanwhile(t *testing.T) {
	for _, kind := range []chat.EventKind{chat.EventMemberRemoved, chat.EventRoomChanged, chat.EventRoomDeleted} {
		f := newFixture(t, 1<<20)
		f.run()
		p := f.acquire()
		authorized := p.Next()
		changed := f.append(chat.Event{Kind: kind, Subject: 1})
		f.eventually("the feed has it", func() bool { return p.Next() > changed.Offset })
		request := feed.Request{Room: uri, Authorized: authorized, Begin: func(feed.Beginning) {}}
		if _, err := p.Subscribe(t.Context(), request, &reader{}); !errors.Is(err, feed.ErrChanged) {
			t.Errorf("kind %d: got %v, want %v", kind, err, feed.ErrChanged)
		}
		request.Room = "another"
		sub, err := p.Subscribe(t.Context(), request, &reader{})
		if err != nil {
			t.Errorf("kind %d, another room: got %v, want none", kind, err)
		}
		sub.Cancel()
	}
}

func TestPartitionIsGivenUp(t *testing.T) {
	f := newFixture(t, 1<<20)
	f.run()
	p := f.acquire()
	request := func(p *feed.Partition) feed.Request {
		return feed.Request{Room: uri, Authorized: p.Next(), Begin: func(feed.Beginning) {}}
	}
	sub, err := p.Subscribe(t.Context(), request(p), &reader{})
	if err != nil {
		t.Fatal(err)
	}
	sub.Cancel()
	// A right from before the partition was followed never counts, so that
	// asking does not keep it alive.
	ancient := feed.Request{Room: uri, Authorized: -1}
	f.eventually("it is given up", func() bool {
		_, err := p.Subscribe(t.Context(), ancient, &reader{})
		return errors.Is(err, feed.ErrLost)
	})
	again := f.acquire()
	r := &reader{}
	if _, err := again.Subscribe(t.Context(), request(again), r); err != nil {
		t.Fatal(err)
	}
	f.message("one")
	f.message("last")
	f.message("after the last")
	f.eventually("the new one delivers until the subscriber has enough", r.has("one", "last"))
}
