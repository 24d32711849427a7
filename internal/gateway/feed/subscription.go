package feed

import (
	"context"
	"errors"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/gateway/wire"
)

// Delivery is an event on its way to all subscribers of its room.
type Delivery struct {
	*Event
	frames [wire.Formats]*wire.Frame
	notice *wire.Frame
}

// Frame is the message in the format. It is encoded when the first asks for
// it, and shared with the others. Only a Subscriber may call it, during
// Deliver.
func (d *Delivery) Frame(format wire.Format, room int64) *wire.Frame {
	if d.frames[format] == nil {
		d.frames[format] = wire.Message(format, room, &d.Event.Event, &d.Place)
	}
	return d.frames[format]
}

// Notice is the enter or leave as a frame, shared like Frame's.
func (d *Delivery) Notice(room int64) *wire.Frame {
	if d.notice == nil {
		d.notice = wire.RoomNotice(room, &d.Event.Event)
	}
	return d.notice
}

// Subscriber gets the events of a room. It is called with the partition locked:
// it must not block, nor call the feed.
type Subscriber interface {
	// Deliver gets the next event. The subscription ends if it returns false.
	Deliver(d *Delivery) bool
	// Lost ends the subscription: the feed cannot follow the partition on.
	Lost()
}

// Errors of Subscribe.
var (
	// ErrLost: the partition is not followed any more; acquire it again.
	ErrLost = errors.New("partition is no longer followed")
	// ErrChanged: who may read the room may have changed since.
	ErrChanged = errors.New("room changed since it was authorized")
	// ErrIncomplete is what Request.History answers where it cannot give all
	// missed messages.
	ErrIncomplete = chat.ErrIncomplete
)

// Source tells where missed messages came from.
type Source uint8

// The sources.
const (
	// None: no resume was asked for.
	None Source = iota
	Ring
	History
	// Missing: some of them are gone, so that none are given.
	Missing
)

// Beginning is what a subscription begins with.
type Beginning struct {
	Source Source
	// Position is a position that everything up to has been delivered, once
	// Missed has.
	Position chat.MessageID
	Missed   []*Event
}

// Request asks for a subscription.
type Request struct {
	Room string
	// Authorized is the partition's Next from before the look-up that allowed
	// the subscription.
	Authorized int64
	// After resumes behind a position; nil begins with what comes.
	After *chat.MessageID
	// From begins a little earlier without After: with the offset that the
	// partition's Next was when the reader was told that it listens. nil begins
	// with what comes.
	From *int64
	// Limit is the largest number of missed messages.
	Limit int
	// BufferBytes bounds what arrives while History runs.
	BufferBytes int
	// History reads the messages of (After, upTo] that are not in memory any
	// more, without locks held. nil stands for a room that keeps nothing.
	History func(ctx context.Context, upTo chat.MessageID) ([]*Event, error)
	// Begin is called once, before the first Deliver and under the same lock.
	Begin func(Beginning)
}

// Subscription is a subscriber's place in a room.
type Subscription struct {
	partition  *Partition
	room       string
	subscriber Subscriber
	// The rest is guarded by Partition.mu.
	index    int // in the room's subscriptions; -1 once it has ended
	after    int64
	waiting  bool // for History
	buffer   []*Delivery
	buffered int // bytes
	overflow bool
	limit    int
}

// Subscribe begins a subscription without a gap: Begin's missed messages, then
// Deliver. Errors: ErrLost, ErrChanged, and those of History and of the log.
func (p *Partition) Subscribe(ctx context.Context, req Request, s Subscriber) (*Subscription, error) {
	p.mu.Lock()
	if err := p.admits(req); err != nil {
		p.mu.Unlock()
		return nil, err
	}
	sub := &Subscription{partition: p, room: req.Room, subscriber: s, after: -1, limit: req.BufferBytes}
	p.attach(sub)
	position := p.position()
	if req.After == nil {
		req.Begin(p.fromNow(req))
		p.mu.Unlock()
		return sub, nil
	}
	after, sameEpoch := p.offsetOf(*req.After)
	if !sameEpoch {
		req.Begin(Beginning{Source: Missing, Position: position})
		p.mu.Unlock()
		return sub, nil
	}
	if after < p.next {
		if missed, ok := p.ring.since(req.Room, after, req.Limit, p.feed.options.Now()); ok {
			req.Begin(Beginning{Source: Ring, Position: position, Missed: missed})
			p.mu.Unlock()
			return sub, nil
		}
	}
	sub.waiting = true
	p.mu.Unlock()

	b, err := p.lookBack(ctx, req, after, position)

	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil && sub.index < 0 {
		err = ErrLost
	}
	if err != nil {
		p.detach(sub)
		return nil, err
	}
	if b.Source == History {
		sub.after = after
		p.lowerPrev(req.Room, *req.After, b.Missed)
	}
	p.goLive(sub, req, b)
	return sub, nil
}

// fromNow begins with what comes, or since a moment ago. Partition.mu is held.
func (p *Partition) fromNow(req Request) Beginning {
	now := p.feed.options.Now()
	if req.From != nil {
		if missed, ok := p.ring.since(req.Room, *req.From-1, req.Limit, now); ok {
			return Beginning{Position: positionBelow(p.epoch, *req.From, now), Missed: missed}
		}
	}
	return Beginning{Position: p.position()}
}

// admits says whether the subscription may begin. Partition.mu is held.
func (p *Partition) admits(req Request) error {
	switch {
	case p.lost:
		return ErrLost
	case p.changed(req.Room, req.Authorized):
		return ErrChanged
	default:
		return nil
	}
}

// lookBack finds what lies between a position and the feed's, outside of the
// ring.
func (p *Partition) lookBack(ctx context.Context, req Request, after int64, position chat.MessageID) (Beginning, error) {
	if after > position.Offset {
		return p.ahead(ctx, after, position)
	}
	missing := Beginning{Source: Missing, Position: position}
	if req.History == nil {
		return missing, nil
	}
	missed, err := req.History(ctx, position)
	switch {
	case errors.Is(err, ErrIncomplete):
		return missing, nil
	case err != nil:
		return Beginning{}, err
	}
	return Beginning{Source: History, Position: position, Missed: missed}, nil
}

// ahead decides on a position that this feed has not reached: one that was
// seen at a gateway that is faster, or one that never was.
func (p *Partition) ahead(ctx context.Context, after int64, position chat.MessageID) (Beginning, error) {
	bounds, err := p.feed.log.Bounds(ctx, p.id)
	if err != nil {
		return Beginning{}, err
	}
	if bounds.Epoch != p.epoch || after >= bounds.Next {
		return Beginning{Source: Missing, Position: position}, nil
	}
	position.Offset = after
	return Beginning{Source: History, Position: position}, nil
}

// goLive delivers what arrived in the meantime. Partition.mu is held.
func (p *Partition) goLive(sub *Subscription, req Request, b Beginning) {
	if sub.overflow {
		b, sub.after = Beginning{Source: Missing, Position: p.position()}, -1
	}
	sub.waiting = false
	req.Begin(b)
	for _, d := range sub.buffer {
		if !sub.deliver(d) {
			p.detach(sub)
			break
		}
	}
	sub.buffer = nil
}

// deliver hands an event on, and reports whether the subscription goes on.
// Partition.mu is held.
func (s *Subscription) deliver(d *Delivery) bool {
	switch {
	case d.ID.Offset <= s.after:
		return true
	case s.waiting:
		s.keep(d)
		return true
	default:
		return s.subscriber.Deliver(d)
	}
}

// keep buffers an event until the missed ones are there. If there are too many
// the resume fails as a whole.
func (s *Subscription) keep(d *Delivery) {
	if s.overflow {
		return
	}
	s.buffer, s.buffered = append(s.buffer, d), s.buffered+entryOverhead+len(d.Text)
	if s.buffered > s.limit {
		s.overflow, s.buffer = true, nil
	}
}

// Position is a position that everything up to has been delivered.
func (s *Subscription) Position() chat.MessageID { return s.partition.Position() }

// Cancel ends the subscription. Nothing is delivered once it has returned.
func (s *Subscription) Cancel() {
	s.partition.mu.Lock()
	defer s.partition.mu.Unlock()
	s.partition.detach(s)
}
