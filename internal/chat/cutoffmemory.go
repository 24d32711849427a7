package chat

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// placeEvery is how often the end of the signals is looked up, to know the
	// cutoff again without the store.
	placeEvery = time.Second
	// placePatience bounds that look-up: who reads waits for it.
	placePatience = time.Second
)

// cutoffMemory knows the cutoff while the store is away, or that it does not.
//
// A cleaner writes the cutoff to the store, then appends EventCutoff to the
// signals, and only then reports success. So if the signals ended at a place
// before the store was asked, and there is no EventCutoff between that place
// and their end now, then no clean has succeeded by now that the store's answer
// did not know of: an event below the place means that the store knew before it
// was asked, and one that is not there yet that no success was reported.
type cutoffMemory struct {
	log       LogReader
	publisher *Publisher
	now       func() time.Time
	// maxBytes is how much of the signals is read to know.
	maxBytes int

	mu    sync.Mutex // guards the rest
	asked time.Time  // when a place was last looked up
	// place is nil until the store has answered.
	place  *signalPlace
	cutoff time.Time
}

// signalPlace is where the signals that tell of cutoffs ended. It is never
// changed, only replaced.
type signalPlace struct {
	partition Partition
	epoch     uint32
	next      int64
}

// cutoffKey keeps the signals of cutoffs in one partition.
const cutoffKey = "cutoff"

// SignalCutoff tells all processes that the cutoff was moved in the store.
func (p *Publisher) SignalCutoff(ctx context.Context) error {
	return p.Signal(ctx, cutoffKey, Event{Kind: EventCutoff})
}

// before is called before the store is asked; its answer is for learn.
func (c *cutoffMemory) before(ctx context.Context) *signalPlace {
	now := c.now()
	c.mu.Lock()
	due := c.asked.IsZero() || now.Sub(c.asked) >= placeEvery
	if due {
		c.asked = now
	}
	c.mu.Unlock()
	if !due {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, placePatience)
	defer cancel()
	place, _, err := c.end(ctx)
	if err != nil {
		return nil // the earlier place is as true, it only makes more to read
	}
	return place
}

// end is where the signals end now.
func (c *cutoffMemory) end(ctx context.Context) (*signalPlace, Bounds, error) {
	partition, err := c.publisher.PartitionFor(ctx, TopicSignals, cutoffKey)
	if err != nil {
		return nil, Bounds{}, err
	}
	bounds, err := c.log.Bounds(ctx, partition)
	if err != nil {
		return nil, Bounds{}, fmt.Errorf("read bounds of %s: %w", partition, err)
	}
	return &signalPlace{partition, bounds.Epoch, bounds.Next}, bounds, nil
}

// learn remembers what the store has answered.
func (c *cutoffMemory) learn(place *signalPlace, cutoff time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if place != nil {
		c.place = place
	}
	if cutoff.After(c.cutoff) {
		c.cutoff = cutoff
	}
}

// errCutoffUnknown: a clean may have succeeded since the store last answered.
var errCutoffUnknown = errors.New("the cutoff may have been moved since it was last read")

// current is the cutoff by the signals alone.
func (c *cutoffMemory) current(ctx context.Context) (time.Time, error) {
	c.mu.Lock()
	known, cutoff := c.place, c.cutoff
	c.mu.Unlock()
	if known == nil {
		return time.Time{}, errCutoffUnknown
	}
	end, bounds, err := c.end(ctx)
	switch {
	case err != nil:
		return time.Time{}, err
	case end.partition != known.partition || end.epoch != known.epoch || known.next < bounds.First:
		return time.Time{}, errCutoffUnknown
	}
	if err := c.unmoved(ctx, known, end.next); err != nil {
		return time.Time{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.place == known {
		c.place = end
	}
	return cutoff, nil
}

// unmoved reads the signals from the place up to next: no cutoff may be among
// them.
func (c *cutoffMemory) unmoved(ctx context.Context, place *signalPlace, next int64) error {
	for from, bytes := place.next, 0; from < next; {
		if bytes > c.maxBytes {
			return errCutoffUnknown
		}
		batch, err := c.log.Read(ctx, place.partition, from, readChunk)
		switch {
		case err != nil:
			return fmt.Errorf("read signals: %w", err)
		case batch.Epoch != place.epoch || batch.Next <= from:
			return errCutoffUnknown
		}
		for _, rec := range batch.Records {
			bytes += len(rec.Value)
			// What this release cannot read may be a cutoff.
			if ev, err := DecodeEvent(rec.Key, rec.Value); err != nil || ev.Kind == EventCutoff {
				return errCutoffUnknown
			}
		}
		from = batch.Next
	}
	return nil
}
