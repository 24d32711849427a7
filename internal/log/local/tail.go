package local

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

const (
	// tailReadBytes bounds what one partition adds to a Next before the others
	// have their turn, tailNextBytes what a Next returns.
	tailReadBytes = 256 << 10
	tailNextBytes = 1 << 20
	// retryAfter is how long a partition rests whose files could not be read.
	retryAfter = 100 * time.Millisecond
)

// tail is a chat.Tail. Partitions put what it follows into ready; Next takes
// it out, so that a Next costs only what has changed.
//
// Locks are taken in the order changing, partition.mu, mu.
type tail struct {
	log *Log
	// wake has room for one token; it is there when ready may be not empty.
	wake chan struct{}

	changing sync.Mutex // serializes Add, Remove and Close

	mu      sync.Mutex // guards the fields below, and those of each follow
	follows map[chat.Partition]*follow
	ready   []*follow // first in, first out: no partition starves another
}

// follow is one partition in a tail, from its Add to its Remove.
type follow struct {
	tail *tail
	// partition is nil for one that does not exist; Next then returns err.
	partition *partition
	id        chat.Partition
	err       error

	from    int64 // where reading goes on
	queued  bool  // it stands in ready
	removed bool
}

// Add implements chat.Tail. Adding a partition that is followed already moves
// it to from.
func (t *tail) Add(id chat.Partition, from int64) {
	t.changing.Lock()
	defer t.changing.Unlock()
	t.remove(id)
	f := &follow{tail: t, id: id, from: from}
	f.partition, f.err = t.log.partition(id)
	t.mu.Lock()
	t.follows[id] = f
	t.mu.Unlock()
	if f.partition != nil {
		f.partition.watch(f)
	}
	f.enqueue()
}

// Remove implements chat.Tail.
func (t *tail) Remove(id chat.Partition) {
	t.changing.Lock()
	defer t.changing.Unlock()
	t.remove(id)
}

func (t *tail) remove(id chat.Partition) {
	t.mu.Lock()
	f := t.follows[id]
	delete(t.follows, id)
	if f != nil {
		f.removed = true
	}
	t.mu.Unlock()
	if f != nil && f.partition != nil {
		f.partition.unwatch(f)
	}
}

// Close implements chat.Tail.
func (t *tail) Close() {
	t.changing.Lock()
	defer t.changing.Unlock()
	t.mu.Lock()
	ids := make([]chat.Partition, 0, len(t.follows))
	for id := range t.follows {
		ids = append(ids, id)
	}
	t.mu.Unlock()
	for _, id := range ids {
		t.remove(id)
	}
}

// Next implements chat.Tail. Once the log is closed it is ErrUnavailable.
func (t *tail) Next(ctx context.Context) ([]chat.Batch, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		batches, failed := t.collect()
		if len(batches) > 0 {
			for _, f := range failed {
				f.enqueue()
			}
			return batches, nil
		}
		if err := t.wait(ctx, failed); err != nil {
			return nil, err
		}
	}
}

// wait returns when there may be something to collect.
func (t *tail) wait(ctx context.Context, failed []*follow) error {
	var retry <-chan time.Time
	if len(failed) > 0 {
		retry = time.After(retryAfter)
		defer func() {
			for _, f := range failed {
				f.enqueue()
			}
		}()
	}
	select {
	case <-t.wake:
		return nil
	case <-retry:
		return nil
	case <-t.log.closed:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// collect reads the partitions in ready, in turn, until there is enough; it
// also says which could not be read.
func (t *tail) collect() (batches []chat.Batch, failed []*follow) {
	var sources []*follow // of batches
	for size := 0; size < tailNextBytes; {
		f, from := t.takeReady()
		if f == nil {
			break
		}
		b, err := f.read(from)
		switch {
		case err == nil:
			if len(b.Records) > 0 {
				batches = append(batches, b)
				sources = append(sources, f)
				size += batchSize(b)
			}
		case isPassing(err):
			failed = append(failed, f)
		case t.removeFollow(f):
			batches = append(batches, chat.Batch{Partition: f.id, Epoch: b.Epoch, Next: from, Err: err})
			sources = append(sources, f)
		}
	}
	return t.stillFollowed(batches, sources), failed
}

// isPassing says that the same read may succeed later.
func isPassing(err error) bool {
	return errors.Is(err, chat.ErrUnavailable) && !errors.Is(err, errNoPartition)
}

// stillFollowed leaves out the batches of partitions that were removed since
// they were read. A follow that ended by its own error is not among those.
func (t *tail) stillFollowed(batches []chat.Batch, sources []*follow) []chat.Batch {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := -1
	return slices.DeleteFunc(batches, func(b chat.Batch) bool {
		i++
		return sources[i].removed && b.Err == nil
	})
}

// removeFollow removes f, which cannot be followed any further, and says
// whether it was still there: if not, nobody must hear of its end.
func (t *tail) removeFollow(f *follow) bool {
	t.changing.Lock()
	defer t.changing.Unlock()
	t.mu.Lock()
	current := t.follows[f.id] == f
	t.mu.Unlock()
	if current {
		t.remove(f.id)
	}
	return current
}

// takeReady is the follow that has waited longest and where it reads on; nil
// if there is none.
func (t *tail) takeReady() (*follow, int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.ready) > 0 {
		f := t.ready[0]
		t.ready[0] = nil // the backing array would hold it
		t.ready = t.ready[1:]
		f.queued = false
		if !f.removed {
			return f, f.from
		}
	}
	return nil, 0
}

// read returns the next batch and moves on behind it. It puts f back into
// ready unless that was all.
func (f *follow) read(from int64) (chat.Batch, error) {
	if f.err != nil {
		return chat.Batch{}, f.err
	}
	b, err := f.partition.read(from, tailReadBytes)
	if err != nil {
		return chat.Batch{Epoch: f.partition.epoch}, err
	}
	f.tail.mu.Lock()
	f.from = b.Next
	f.tail.mu.Unlock()
	if b.Next != from {
		f.enqueue()
	}
	return b, nil
}

// enqueue puts f into ready, unless it is there or was removed.
func (f *follow) enqueue() {
	t := f.tail
	t.mu.Lock()
	defer t.mu.Unlock()
	if f.queued || f.removed {
		return
	}
	f.queued = true
	t.ready = append(t.ready, f)
	select {
	case t.wake <- struct{}{}:
	default: // the token is there already
	}
}

func (p *partition) watch(f *follow) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watchers[f] = struct{}{}
}

func (p *partition) unwatch(f *follow) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.watchers, f)
}

// wakeWatchers tells the tails that the partition has changed. The caller
// holds mu.
func (p *partition) wakeWatchers() {
	for f := range p.watchers {
		f.enqueue()
	}
}

func batchSize(b chat.Batch) int {
	size := 0
	for _, r := range b.Records {
		size += len(r.Key) + len(r.Value)
	}
	return size
}
