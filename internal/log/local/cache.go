package local

import (
	"slices"
	"sync"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// cache holds the newest batches of a partition, which are the ones that its
// tails read. It costs next to nothing: the bytes are those that were written.
type cache struct {
	limit   int // in bytes
	bytes   int
	batches []*cachedBatch // without a gap
}

// cachedBatch is decoded by its first reader, for all of them.
type cachedBatch struct {
	batch
	once    sync.Once // sets the fields below
	decoded []chat.Record
	err     error
}

func (b *cachedBatch) decode() ([]chat.Record, error) {
	b.once.Do(func() { b.decoded, b.err = b.records() })
	return b.decoded, b.err
}

// recordBytes is about what a decoded record takes next to its value.
const recordBytes = 96

func (b *cachedBatch) bytes() int { return cap(b.data) + b.count*recordBytes }

// add takes in the batch that follows the newest one.
func (c *cache) add(b batch) {
	entry := &cachedBatch{batch: b}
	c.batches = append(c.batches, entry)
	c.bytes += entry.bytes()
	for c.bytes > c.limit {
		c.dropFirst()
	}
}

// dropBelow forgets the batches that lie below the offset.
func (c *cache) dropBelow(offset int64) {
	for len(c.batches) > 0 && c.batches[0].next() <= offset {
		c.dropFirst()
	}
}

func (c *cache) dropFirst() {
	c.bytes -= c.batches[0].bytes()
	c.batches[0] = nil // the backing array would hold it
	c.batches = c.batches[1:]
}

// from appends to dst the batches from the one with the offset on, about as
// many as hold maxBytes; none if that one is not cached.
func (c *cache) from(dst []*cachedBatch, offset int64, maxBytes int) []*cachedBatch {
	i, found := slices.BinarySearchFunc(c.batches, offset, func(b *cachedBatch, offset int64) int {
		switch {
		case b.next() <= offset:
			return -1
		case b.base > offset:
			return 1
		default:
			return 0
		}
	})
	if !found {
		return dst
	}
	for _, b := range c.batches[i:] {
		dst = append(dst, b)
		if maxBytes -= len(b.data); maxBytes <= 0 {
			break
		}
	}
	return dst
}

// readCached returns the records of the batches from offset from on.
func readCached(batches []*cachedBatch, from int64, maxBytes int) ([]chat.Record, error) {
	var records []chat.Record
	budget := budget{left: maxBytes}
	for _, b := range batches {
		all, err := b.decode()
		if err != nil {
			return nil, err
		}
		all = all[max(from-b.base, 0):]
		// The first run is shared between readers: its capacity ends with it,
		// so that appending the next one copies it.
		taken := budget.take(all)
		if all = all[:taken:taken]; records == nil {
			records = all
		} else {
			records = append(records, all...)
		}
		if budget.spent {
			break
		}
	}
	return records, nil
}
