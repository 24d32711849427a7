package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/gateway"
)

// faultyLog is a log that can be made to fail.
type faultyLog struct {
	chat.Log
	noAppends, noReads atomic.Bool
	// lose makes the tails report the partition as lost, once each.
	lose chan chat.Partition
}

func newFaultyLog(l chat.Log) *faultyLog {
	return &faultyLog{Log: l, lose: make(chan chat.Partition, 1)}
}

func (l *faultyLog) Append(ctx context.Context, p chat.Partition, key string, value []byte) (chat.Record, uint32, error) {
	if l.noAppends.Load() {
		return chat.Record{}, 0, chat.ErrUnavailable
	}
	return l.Log.Append(ctx, p, key, value)
}

func (l *faultyLog) Bounds(ctx context.Context, p chat.Partition) (chat.Bounds, error) {
	if l.noReads.Load() {
		return chat.Bounds{}, chat.ErrUnavailable
	}
	return l.Log.Bounds(ctx, p)
}

func (l *faultyLog) Tail() chat.Tail { return &faultyTail{l.Log.Tail(), l} }

type faultyTail struct {
	chat.Tail
	log *faultyLog
}

func (t *faultyTail) Next(ctx context.Context) ([]chat.Batch, error) {
	batches, err := t.Tail.Next(ctx)
	for i, b := range batches {
		select {
		case lost := <-t.log.lose:
			if lost != b.Partition {
				t.log.lose <- lost
				continue
			}
			t.Tail.Remove(lost)
			batches[i] = chat.Batch{Partition: lost, Err: chat.ErrOffsetOutOfRange}
		default:
		}
	}
	return batches, err
}

func newFaultyCluster(t *testing.T) (*cluster, *faultyLog) {
	sound := newCluster(t)
	log := newFaultyLog(sound.log)
	return overPorts(t, log, sound.store), log
}

// TestLeaveOutlivesAnOutage: nobody stays in a room because the log was away
// for a moment when they left.
func TestLeaveOutlivesAnOutage(t *testing.T) {
	c, log := newFaultyCluster(t)
	admin, amir, sara := c.person("root", true), c.person("amir", false), c.person("sara", false)
	lobby := c.room(admin, "Lobby", false)
	n := c.start("g1")
	watcher, s := n.joinedStream(sara, lobby), n.joinedStream(amir, lobby)
	watcher.hears(fmt.Sprintf(`{"msg_type":4,"room":%d,"username":"amir"}`, lobby.ID))
	log.noAppends.Store(true)
	s.say(`{"command":"send","room":%d,"message":"x"}`, lobby.ID)
	if got := s.next(); !strings.HasPrefix(got, `{"error":"UNAVAILABLE","detail":"`) {
		t.Errorf("got %s, want UNAVAILABLE", got)
	}
	s.ws.Close()
	eventually(t, "amir has left", func() bool { return watcher.users(lobby)[fmt.Sprint(amir.ID)].Left })
	log.noAppends.Store(false)
	watcher.hears(fmt.Sprintf(`{"msg_type":5,"room":%d,"username":"amir"}`, lobby.ID))
}

func TestLogIsAway(t *testing.T) {
	c, log := newFaultyCluster(t)
	a := c.person("user_a", false)
	room := c.session(a)
	n := c.start("g1")
	log.noReads.Store(true)
	_, resp, err := n.dial(path(room), tokenHeader(a))
	if err == nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Fatalf("got %v, want 503 with Retry-After", resp)
	}
	stream := n.stream(a)
	stream.say(`{"command":"join","room":%d}`, room.ID)
	if got := stream.next(); !strings.HasPrefix(got, `{"error":"UNAVAILABLE"`) {
		t.Errorf("got %s, want UNAVAILABLE", got)
	}
	log.noReads.Store(false)
	s := n.open(a, path(room))
	c.send(a, room, "back", "")
	s.hears(`{"user":` + userJSON(a) + `,"message":"back"}`)
}

// TestLostPartition: sockets come back where the feed lost its place, and miss
// nothing.
func TestLostPartition(t *testing.T) {
	c, log := newFaultyCluster(t)
	a := c.person("user_a", false)
	room := c.session(a)
	n := c.start("g1")
	s, stream := n.open(a, path(room)+"?ids=1"), n.joinedStream(a, room)
	position := parse(t, s.next()).Position
	log.lose <- room.Partition
	c.send(a, room, "in between", "")
	for _, s := range []*socket{s, stream} {
		if got := s.ends(); got != 4009 {
			t.Errorf("got close code %d, want 4009", got)
		}
	}
	again := n.open(a, path(room)+"?after="+position)
	if f := parse(t, again.next()); f.Recovered == nil || !*f.Recovered {
		t.Fatalf("got %+v, want recovered", f)
	}
	if f := parse(t, again.next()); f.Message != "in between" {
		t.Errorf("got %q, want what came in between", f.Message)
	}
}

// TestPartitionIsGivenUpAndFollowedAgain also tells that a repeat of a message
// from before the feed began is known.
func TestPartitionIsGivenUpAndFollowedAgain(t *testing.T) {
	c := newCluster(t)
	a := c.person("user_a", false)
	room := c.session(a)
	n := c.start("g1", func(o *gateway.Options) { o.Linger = time.Millisecond })
	first := n.open(a, path(room))
	c.send(a, room, "one", "key")
	first.next()
	first.ws.Close()
	for round := range 3 {
		// The feed looks for what nobody needs once a second; opening sockets
		// all the while crosses it.
		for range 120 {
			s := n.open(a, path(room))
			c.send(a, room, "one", "key")
			text := fmt.Sprintf("two %d", round)
			c.send(a, room, text, "")
			s.hears(`{"user":` + userJSON(a) + `,"message":"` + text + `"}`)
			s.ws.Close()
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// TestRepeatOfBeforeTheStart: a gateway that starts late drops the same repeats
// as one that has been there from the beginning.
func TestRepeatOfBeforeTheStart(t *testing.T) {
	c := newCluster(t)
	a := c.person("user_a", false)
	room := c.session(a)
	first := c.send(a, room, "one", "key")
	n := c.start("g1")
	s := n.open(a, path(room)+"?after="+first.ID.String())
	s.next()
	c.send(a, room, "one", "key")
	c.send(a, room, "two", "")
	if f := parse(t, s.next()); f.Message != "two" || f.Prev != first.ID.String() {
		t.Errorf("got %+v, want two after %s", f, first.ID)
	}
}
