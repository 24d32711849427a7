package feed

import (
	"context"
	"sync"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// heardEvery is how often Heard is told.
const heardEvery = 250 * time.Millisecond

// hearing finds out up to which time every announcement has been handled.
type hearing struct {
	log   chat.LogReader
	heard func(at time.Time)
	now   func() time.Time

	mu sync.Mutex // guards handled; held while heard is called
	// handled is how far the announcements are.
	handled announced
	// moved has a token when handled has changed.
	moved chan struct{}
}

// announced is a place in the announcements. Between two of different places,
// some may have been missed.
type announced struct {
	places int
	epoch  uint32
	next   int64
}

func newHearing(log chat.LogReader, heard func(time.Time), now func() time.Time) *hearing {
	return &hearing{log: log, heard: heard, now: now, moved: make(chan struct{}, 1)}
}

// place notes from where on p is followed; no epoch is nowhere.
func (h *hearing) place(p chat.Partition, epoch uint32, next int64) {
	if p != chat.Announcements {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.handled = announced{h.handled.places + 1, epoch, next}
}

// advance notes that the records of p below next are handled.
func (h *hearing) advance(p chat.Partition, next int64) {
	if p != chat.Announcements {
		return
	}
	h.mu.Lock()
	h.handled.next = next
	h.mu.Unlock()
	select {
	case h.moved <- struct{}{}:
	default:
	}
}

// run tells Heard again and again, for as long as what is handled keeps up.
func (h *hearing) run(ctx context.Context) {
	ticker := time.NewTicker(heardEvery)
	defer ticker.Stop()
	for {
		h.catchUp(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// catchUp tells Heard of the present once everything that has been announced
// by now is handled; it gives up where that takes longer than anyone would
// wait for it.
func (h *hearing) catchUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 4*heardEvery)
	defer cancel()
	h.mu.Lock()
	places := h.handled.places
	h.mu.Unlock()
	at := h.now()
	end, err := h.log.Bounds(ctx, chat.Announcements)
	if err != nil {
		return
	}
	for !h.reached(end, places, at) {
		select {
		case <-h.moved:
		case <-ctx.Done():
			return
		}
	}
}

// reached reports whether there is no use in waiting for end any longer. If it
// has been reached without a loss since at, Heard is told.
func (h *hearing) reached(end chat.Bounds, places int, at time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.handled.places != places || h.handled.epoch != end.Epoch:
		return true
	case h.handled.next < end.Next:
		return false
	}
	h.heard(at)
	return true
}
