package chat

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// readChunk is how many bytes of the log are read at a time.
const readChunk = 1 << 20

// keyIndex says where in the log a keyed message stood first. It is a Fold of
// each partition that was asked for, brought forward only when asked: a
// process whose callers use no keys reads nothing.
type keyIndex struct {
	log LogReader

	mu         sync.Mutex // guards partitions
	partitions map[Partition]*partitionKeys
}

type partitionKeys struct {
	mu    sync.Mutex // guards the rest, and is held while the log is read
	epoch uint32
	next  int64
	// exact is the offset from which on the fold decides as everyone's does: it
	// was fed the window before it, as far as the log had it.
	exact int64
	fold  *Fold
}

// errForgotten: the record is so old that the index cannot tell any more
// whether it is a repeat.
var errForgotten = errors.New("too old to be told from a repeat")

func newKeyIndex(log LogReader) *keyIndex {
	return &keyIndex{log: log, partitions: map[Partition]*partitionKeys{}}
}

// first says where the message with ev's key stands first, given that ev
// itself stands at offset. It is errForgotten if offset lies more than
// foldReach below what the index has read.
func (x *keyIndex) first(ctx context.Context, p Partition, epoch uint32, offset int64, ev Event) (int64, error) {
	x.mu.Lock()
	keys := x.partitions[p]
	if keys == nil {
		keys = &partitionKeys{}
		x.partitions[p] = keys
	}
	x.mu.Unlock()

	keys.mu.Lock()
	defer keys.mu.Unlock()
	if err := keys.advance(ctx, x.log, p, epoch, offset); err != nil {
		return 0, fmt.Errorf("index keys of %s: %w", p, err)
	}
	return keys.fold.FirstAt(offset, ev.Room, ev.Sender.ID, ev.Key), nil
}

// advance reads the log up to and including offset, from the window before it
// if the fold has not been fed that.
func (k *partitionKeys) advance(ctx context.Context, log LogReader, p Partition, epoch uint32, offset int64) error {
	known := k.fold != nil && k.epoch == epoch
	if known && offset < k.next-foldReach {
		return errForgotten
	}
	if !known || offset < k.exact || k.next < offset-foldReach {
		bounds, err := log.Bounds(ctx, p)
		if err != nil {
			return err
		}
		k.epoch, k.next, k.exact, k.fold = bounds.Epoch, WarmFrom(offset, bounds.First), offset, NewFold()
		if k.next == bounds.First {
			k.exact = bounds.First
		}
	}
	for k.next <= offset {
		batch, err := log.Read(ctx, p, k.next, readChunk)
		if err != nil {
			return err
		}
		if len(batch.Records) == 0 && batch.Next <= k.next {
			return errors.New("the log ends before an acknowledged record")
		}
		for _, rec := range batch.Records {
			// A record that does not decode is nobody's repeat.
			if ev, err := DecodeEvent(rec.Key, rec.Value); err == nil {
				k.fold.Apply(rec.Offset, &ev)
			}
		}
		k.next = batch.Next
	}
	return nil
}
