package feed_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/gateway/feed"
)

// signalLog has one partition of signals, which a test can hold up, lose and
// recreate. What is appended while a tail is held is seen by Bounds only.
type signalLog struct {
	chat.Log
	mu      sync.Mutex // guards the rest
	epoch   uint32
	records []chat.Record
	held    bool
	lost    bool
	from    int64
	changed chan struct{}
}

func (l *signalLog) update(f func()) {
	l.mu.Lock()
	f()
	l.mu.Unlock()
	l.changed <- struct{}{}
}

func (l *signalLog) announce(user int64) {
	l.update(func() {
		value := chat.AppendEvent(nil, chat.Event{Kind: chat.EventUserChanging, Subject: user})
		l.records = append(l.records, chat.Record{Offset: int64(len(l.records)), Value: value})
	})
}

func (l *signalLog) Partitions(context.Context, chat.Topic) (int32, error) { return 1, nil }

func (l *signalLog) Bounds(context.Context, chat.Partition) (chat.Bounds, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return chat.Bounds{Epoch: l.epoch, Next: int64(len(l.records))}, nil
}

func (l *signalLog) Tail() chat.Tail { return &signalTail{signalLog: l} }

type signalTail struct{ *signalLog }

func (t *signalTail) Add(_ chat.Partition, from int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.from = from
}

func (t *signalTail) Remove(chat.Partition) {}
func (t *signalTail) Close()                {}

func (t *signalTail) Next(ctx context.Context) ([]chat.Batch, error) {
	for {
		select {
		case <-t.changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		t.mu.Lock()
		b := chat.Batch{Partition: chat.Announcements, Epoch: t.epoch, Next: int64(len(t.records))}
		switch {
		case t.lost:
			t.lost, b.Err = false, chat.ErrEpochChanged
		case t.held:
			t.mu.Unlock()
			continue
		default:
			b.Records = t.records[t.from:]
			t.from = b.Next
		}
		t.mu.Unlock()
		return []chat.Batch{b}, nil
	}
}

// heard is what Signals told.
type heard struct {
	mu      sync.Mutex // guards the rest
	until   time.Time
	handled []int64
	// lost are the times of losses, and early is set if Heard was told of a time
	// before one after it.
	lost  []time.Time
	early bool
}

func (h *heard) state() (until time.Time, handled int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.until, len(h.handled)
}

// followSignals returns once no signal is missed.
func followSignals(t *testing.T, log chat.Log) *heard {
	t.Helper()
	h := &heard{}
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		feed.Signals(ctx, log, feed.SignalOptions{
			Ready: func() { close(ready) }, Now: time.Now,
			Handle: func(ev *chat.Event) {
				h.mu.Lock()
				defer h.mu.Unlock()
				h.handled = append(h.handled, ev.Subject)
			},
			Heard: func(at time.Time) {
				h.mu.Lock()
				defer h.mu.Unlock()
				h.until = at
				h.early = h.early || len(h.lost) > 0 && at.Before(h.lost[len(h.lost)-1])
			},
			Lost: func() {
				h.mu.Lock()
				defer h.mu.Unlock()
				h.lost = append(h.lost, time.Now())
			},
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	<-ready
	return h
}

func newSignalLog() *signalLog { return &signalLog{epoch: 1, changed: make(chan struct{})} }

// Heard is told of a time once what was announced before it has been handled,
// and of none while that is not so.
func TestHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newSignalLog()
		h := followSignals(t, log)
		for user := range int64(3) {
			log.announce(user)
			time.Sleep(time.Second)
			if until, handled := h.state(); time.Since(until) > time.Second/2 || handled != int(user)+1 {
				t.Errorf("announcement %d: %d handled, and all of those %v ago", user, handled, time.Since(until))
			}
		}
		log.update(func() { log.held = true })
		time.Sleep(time.Second)
		announced := time.Now()
		log.announce(3)
		time.Sleep(10 * time.Second)
		if until, handled := h.state(); handled != 3 || until.After(announced) {
			t.Errorf("while it is held up: %d handled, and all of those until %v after the announcement", handled, until.Sub(announced))
		}
		log.update(func() { log.held = false })
		time.Sleep(2 * time.Second)
		if until, handled := h.state(); handled != 4 || time.Since(until) > time.Second/2 {
			t.Errorf("held up no longer: %d handled, and all of those %v ago", handled, time.Since(until))
		}
	})
}

// Where the announcements were lost, Heard is told of no time before the loss
// was: also where the new log ends before the place in the old one.
func TestHeardAfterLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newSignalLog()
		h := followSignals(t, log)
		for user := range int64(3) {
			log.announce(user)
		}
		time.Sleep(time.Second)
		recreated := time.Now()
		log.mu.Lock()
		log.epoch, log.records, log.held = 2, nil, true
		log.mu.Unlock()
		time.Sleep(5 * time.Second)
		if until, _ := h.state(); until.After(recreated) {
			t.Errorf("before the loss is noticed: all are heard until %v after the log was recreated", until.Sub(recreated))
		}
		log.update(func() { log.held, log.lost = false, true })
		time.Sleep(2 * time.Second)
		until, _ := h.state()
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.lost) != 1 || h.early || time.Since(until) > time.Second/2 {
			t.Errorf("after the loss: %d losses, one of them unheeded: %t, all are heard of %v ago", len(h.lost), h.early, time.Since(until))
		}
	})
}
