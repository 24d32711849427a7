package feed

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// warmChunk is how many bytes of the log are read at a time to warm up.
const warmChunk = 1 << 20

// maxControls is how many control events a partition remembers.
const maxControls = 512

// room is a room with subscribers.
type room struct {
	subscriptions []*Subscription
	// last is the room's newest message, or the partition's base.
	last chat.MessageID
}

// control is an event that changed who may read a room.
type control struct {
	offset int64
	room   string
}

// Partition is a followed partition.
type Partition struct {
	feed *Feed
	id   chat.Partition
	// ready is closed once the partition is followed or err says why not.
	ready chan struct{}
	err   error

	mu    sync.Mutex // guards the rest
	epoch uint32
	// next is the offset from which on everything will be delivered.
	next int64
	fold *chat.Fold
	ring *ring
	// base is a position that no known message lies below.
	base  chat.MessageID
	rooms map[string]*room
	// controls are those from controlsFrom on, by rising offset.
	controls     []control
	controlsFrom int64
	subscribers  int
	idleSince    time.Time
	lost         bool
}

// warm reads what precedes the partition's end, so that the fold can decide
// like everyone else's.
func (p *Partition) warm(ctx context.Context, log chat.LogReader) error {
	// The cutoff is looked up before anything is read: one that is set later is
	// followed by ForgetMessages, which waits for the warm-up to end.
	cutoff, cutoffErr := p.feed.options.Cutoff(ctx)
	bounds, err := log.Bounds(ctx, p.id)
	if err != nil {
		return fmt.Errorf("read bounds of %s: %w", p.id, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.epoch, p.fold, p.rooms = bounds.Epoch, chat.NewFold(), map[string]*room{}
	p.next = chat.WarmFrom(bounds.Next, bounds.First)
	// What is read to warm up may itself repeat something from before it, so
	// it is not fit to be delivered, unless nothing is before it. Nor is it
	// where the cutoff is not known.
	start := bounds.Next
	if p.next == 0 && cutoffErr == nil {
		start = 0
	}
	p.ring = newRing(p.feed.options.RingBytes, start)
	p.base = positionBelow(p.epoch, start, p.feed.options.Now())
	for p.next < bounds.Next {
		batch, err := log.Read(ctx, p.id, p.next, warmChunk)
		switch {
		case err != nil:
			return fmt.Errorf("warm up %s: %w", p.id, err)
		case batch.Epoch != p.epoch:
			return fmt.Errorf("warm up %s: %w", p.id, chat.ErrEpochChanged)
		case batch.Next <= p.next:
			return fmt.Errorf("warm up %s: the log ends before its bounds: %w", p.id, chat.ErrUnavailable)
		}
		for _, rec := range batch.Records {
			if rec.Time.Before(cutoff) {
				p.ring.start = max(p.ring.start, rec.Offset+1)
			}
			p.apply(rec)
		}
		p.next = batch.Next
	}
	p.controlsFrom = p.next
	p.controls = nil
	p.idleSince = p.feed.options.Now()
	return nil
}

// process takes what the tail has brought. It reports false if the partition
// cannot be followed on.
func (p *Partition) process(b chat.Batch) bool {
	if b.Err != nil || b.Epoch != p.epoch {
		p.lose()
		return false
	}
	for _, rec := range b.Records {
		p.step(rec)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = max(p.next, b.Next)
	return true
}

// step applies one record under the lock, so that those who want to subscribe
// do not wait for a whole batch.
func (p *Partition) step(rec chat.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lost || rec.Offset < p.next {
		return
	}
	p.apply(rec)
	p.next = rec.Offset + 1
}

func (p *Partition) apply(rec chat.Record) {
	decoded, err := chat.DecodeEvent(rec.Key, rec.Value)
	if err != nil {
		return // a foreign record is the archiver's to count
	}
	ev := &Event{Event: decoded}
	ev.ID, ev.Time = chat.NewMessageID(p.epoch, rec.Offset, rec.Time), rec.Time
	r := p.rooms[ev.Room]
	switch ev.Kind {
	case chat.EventMessage:
		if p.fold.Apply(rec.Offset, &ev.Event) != rec.Offset {
			return
		}
		if rec.Offset < p.ring.start {
			return // only the fold had to see it
		}
		ev.Prev = p.prev(ev.Room)
		p.ring.add(ev)
		if r != nil {
			r.last = ev.ID
		}
	case chat.EventMemberRemoved, chat.EventRoomChanged, chat.EventRoomDeleted:
		p.feed.options.Changed(&ev.Event)
		p.remember(control{rec.Offset, ev.Room})
	case chat.EventMemberAdded:
		p.feed.options.Changed(&ev.Event)
	}
	if r == nil {
		return
	}
	p.feed.options.Observe(ev)
	d := &Delivery{Event: ev}
	// From the end, since a subscription that ends is replaced by the last.
	for i := len(r.subscriptions) - 1; i >= 0; i-- {
		if sub := r.subscriptions[i]; !sub.deliver(d) {
			p.detach(sub)
		}
	}
}

// prev is the place of the room's latest message.
func (p *Partition) prev(uri string) chat.MessageID {
	if r := p.rooms[uri]; r != nil {
		return r.last
	}
	if last := p.ring.last(uri); last != nil {
		return last.ID
	}
	return p.base
}

// lowerPrev replaces the base as the place of the room's latest message by what
// a look into its history has found, so that a client that follows message by
// message sees no gap where there is none.
func (p *Partition) lowerPrev(uri string, after chat.MessageID, missed []*Event) {
	r := p.rooms[uri]
	if r == nil || r.last != p.base {
		return
	}
	if len(missed) > 0 {
		after = missed[len(missed)-1].ID
	}
	if after.Compare(p.base) < 0 {
		r.last = after
	}
}

func (p *Partition) remember(c control) {
	p.controls = append(p.controls, c)
	if excess := len(p.controls) - maxControls; excess > 0 {
		p.controlsFrom = p.controls[excess-1].offset + 1
		p.controls = append(p.controls[:0], p.controls[excess:]...)
	}
}

// changed reports whether the room's readers may have changed at or above the
// offset.
func (p *Partition) changed(uri string, since int64) bool {
	if since < p.controlsFrom {
		return true
	}
	for i := len(p.controls) - 1; i >= 0 && p.controls[i].offset >= since; i-- {
		if p.controls[i].room == uri {
			return true
		}
	}
	return false
}

// Next is the offset of the next event. A look-up that is made afterwards and
// changes above it are all that decides who may subscribe.
func (p *Partition) Next() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.next
}

// Position is a position that everything up to has been delivered.
func (p *Partition) Position() chat.MessageID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.position()
}

func (p *Partition) position() chat.MessageID {
	return positionBelow(p.epoch, p.next, p.feed.options.Now())
}

// positionBelow is the position just before an offset. Before the first there
// is none in the same epoch, so it is the last of the epoch before.
func positionBelow(epoch uint32, next int64, now time.Time) chat.MessageID {
	if next == 0 && epoch > 0 {
		return chat.BeforeFirst(epoch, now)
	}
	return chat.NewMessageID(epoch, max(next-1, 0), now)
}

// offsetOf is the offset of a position in this epoch; false if it is of
// another.
func (p *Partition) offsetOf(id chat.MessageID) (int64, bool) {
	if id.Epoch != p.epoch && id.BeginsIn(p.epoch) {
		return -1, true
	}
	return id.Offset, id.Epoch == p.epoch
}

func (p *Partition) attach(s *Subscription) {
	r := p.rooms[s.room]
	if r == nil {
		r = &room{last: p.prev(s.room)}
		p.rooms[s.room] = r
	}
	s.index = len(r.subscriptions)
	r.subscriptions = append(r.subscriptions, s)
	p.subscribers++
}

func (p *Partition) detach(s *Subscription) {
	if s.index < 0 {
		return
	}
	r := p.rooms[s.room]
	last := len(r.subscriptions) - 1
	r.subscriptions[s.index] = r.subscriptions[last]
	r.subscriptions[s.index].index = s.index
	r.subscriptions[last] = nil
	r.subscriptions = r.subscriptions[:last]
	s.index, s.buffer = -1, nil
	if last == 0 {
		delete(p.rooms, s.room)
	}
	if p.subscribers--; p.subscribers == 0 {
		p.idleSince = p.feed.options.Now()
	}
}

// lose ends all subscriptions.
func (p *Partition) lose() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost = true
	for _, r := range p.rooms {
		for _, s := range r.subscriptions {
			s.index = -1
			s.subscriber.Lost()
		}
	}
	p.rooms, p.subscribers = map[string]*room{}, 0
}

// forget empties the memory of messages: some of them may not be read any more.
func (p *Partition) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ring.clear(p.next)
}
