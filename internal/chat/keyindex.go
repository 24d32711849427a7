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
	fold  *Fold
}

func newKeyIndex(log LogReader) *keyIndex {
	return &keyIndex{log: log, partitions: map[Partition]*partitionKeys{}}
}

// first says where the message with ev's key stands first, given that ev
// itself stands at offset.
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
	first, known := keys.fold.First(ev.Room, ev.Sender.ID, ev.Key)
	if !known || first > offset {
		return offset, nil // so old that the index has let it go
	}
	return first, nil
}

// advance reads the log up to and including offset.
func (k *partitionKeys) advance(ctx context.Context, log LogReader, p Partition, epoch uint32, offset int64) error {
	if k.fold == nil || k.epoch != epoch || k.next < WarmFrom(offset, 0) {
		bounds, err := log.Bounds(ctx, p)
		if err != nil {
			return err
		}
		k.epoch, k.next, k.fold = bounds.Epoch, WarmFrom(offset, bounds.First), NewFold()
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
