package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// highs are the newest known ends of partitions.
type highs struct {
	mu   sync.Mutex // guards next
	next map[chat.Partition]high
}

type high struct {
	epoch uint32
	next  int64
}

// raise notes that the partition holds all records below next.
func (h *highs) raise(p chat.Partition, epoch uint32, next int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.next == nil {
		h.next = map[chat.Partition]high{}
	}
	if old := h.next[p]; epoch > old.epoch || epoch == old.epoch && next > old.next {
		h.next[p] = high{epoch, next}
	}
}

// get is the end of the partition as far as is known, or 0.
func (h *highs) get(p chat.Partition, epoch uint32) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if known := h.next[p]; known.epoch == epoch {
		return known.next
	}
	return 0
}

// Bounds says what the partition holds; see chat.LogReader.
func (l *Log) Bounds(ctx context.Context, p chat.Partition) (chat.Bounds, error) {
	var bounds chat.Bounds
	err := l.attempt(ctx, p, func(ctx context.Context, at place, c *conn) error {
		high := l.highs.get(p, at.topic.epoch)
		next, first, err := l.askBounds(ctx, at, c, p, high)
		if errors.Is(err, chat.ErrOffsetOutOfRange) {
			// What was known of the end is too old, or nothing was.
			_, first, err = l.askBounds(ctx, at, c, p, next)
		}
		if err != nil {
			return err
		}
		bounds = chat.Bounds{Epoch: at.topic.epoch, First: first, Next: next}
		l.highs.raise(p, bounds.Epoch, next)
		return nil
	})
	if err != nil {
		return chat.Bounds{}, fmt.Errorf("bounds of %s: %w", p, err)
	}
	return bounds, nil
}

// askBounds asks for the end of the partition and, in the same breath, fetches
// from about its end. The fetch goes by the topic's id, which the other cannot
// do, and brings the partition's first offset.
func (l *Log) askBounds(ctx context.Context, at place, c *conn, p chat.Partition, high int64) (next, first int64, err error) {
	var listCode int16
	var code int16
	var all []fetched
	err = c.within(ctx, l.options.RequestTimeout, func() error {
		if _, err := c.send(protocol.ListOffsets, listOffsetsVersion, func(e *encoder) {
			encodeListOffsetsRequest(e, at.topic.name, p.Number, at.leader.epoch, latestOffset)
		}); err != nil {
			return err
		}
		if _, err := c.send(protocol.Fetch, fetchVersion, func(e *encoder) {
			encodeFetchRequest(e, fetchRequest{
				minBytes: 1, maxBytes: 1, topic: at.topic.id, partitions: []fetchPartition{{p.Number, at.leader.epoch, high, 1}},
			})
		}); err != nil {
			return err
		}
		d, err := c.receive(1)
		if err != nil {
			return err
		}
		listCode, next = decodeListOffsetsResponse(d)
		if d.err != nil {
			return d.err
		}
		if d, err = c.receive(0); err != nil {
			return err
		}
		code, all = decodeFetchResponse(d)
		return d.err
	})
	if err == nil {
		err = brokerError(listCode, "")
	}
	if err == nil {
		first, err = fetchedFirst(code, all)
	}
	return next, first, err
}

func fetchedFirst(code int16, all []fetched) (int64, error) {
	f, err := onlyOne(code, all)
	return f.first, err
}

// onlyOne is the answer to a fetch of one partition.
func onlyOne(code int16, all []fetched) (fetched, error) {
	if err := brokerError(code, ""); err != nil {
		return fetched{}, err
	}
	if len(all) != 1 {
		return fetched{}, errNoAnswer
	}
	if kafkago.Error(all[0].code) == kafkago.OffsetOutOfRange {
		return fetched{}, chat.ErrOffsetOutOfRange
	}
	return all[0], brokerError(all[0].code, "")
}

// Read returns the records from offset from on; see chat.LogReader.
func (l *Log) Read(ctx context.Context, p chat.Partition, from int64, maxBytes int) (chat.Batch, error) {
	var batch chat.Batch
	err := l.attempt(ctx, p, func(ctx context.Context, at place, c *conn) (err error) {
		batch, err = l.read(ctx, at, c, p, from, maxBytes)
		return err
	})
	if err != nil {
		return chat.Batch{}, fmt.Errorf("read %s from %d: %w", p, from, err)
	}
	return batch, nil
}

// errBehind: a new leader does not know yet how much of its log is on all
// replicas, and hides what others have seen.
var errBehind = errors.New("the leader is behind what it had acknowledged")

func (l *Log) read(ctx context.Context, at place, c *conn, p chat.Partition, from int64, maxBytes int) (chat.Batch, error) {
	batch := chat.Batch{Partition: p, Epoch: at.topic.epoch, Next: from}
	if from < 0 {
		return batch, chat.ErrOffsetOutOfRange // a negative one has a meaning of its own in a fetch
	}
	// Whole batches come, so a fetch may bring nothing but records below from
	// and records that are for Kafka alone.
	for len(batch.Records) == 0 {
		f, err := l.fetchOne(ctx, at, c, p, batch.Next, maxBytes)
		if err != nil {
			return batch, err
		}
		if from > f.high {
			// A leader lets its followers' offsets pass, up to the end of what
			// is not on all replicas yet.
			if l.highs.get(p, at.topic.epoch) >= from {
				return batch, errBehind
			}
			return batch, chat.ErrOffsetOutOfRange
		}
		batch.End = f.high
		records, next, err := decodeBatches(bytes.Clone(f.records), batch.Next)
		if err != nil {
			return batch, err
		}
		if next == batch.Next {
			switch {
			case len(f.records) > 0:
				return batch, fmt.Errorf("no whole batch at %d: %w", next, errMalformed)
			case next < l.highs.get(p, at.topic.epoch):
				return batch, errBehind
			}
			return batch, nil
		}
		batch.Records, batch.Next = limit(records, maxBytes, next)
		batch.End = max(batch.End, batch.Next)
		l.highs.raise(p, at.topic.epoch, batch.Next)
	}
	return batch, nil
}

func (l *Log) fetchOne(ctx context.Context, at place, c *conn, p chat.Partition, from int64, maxBytes int) (fetched, error) {
	bound := int32(min(max(maxBytes, 1), maxResponseBytes/2))
	d, _, err := c.call(ctx, l.options.RequestTimeout, protocol.Fetch, fetchVersion, func(e *encoder) {
		encodeFetchRequest(e, fetchRequest{
			minBytes: 1, maxBytes: bound, topic: at.topic.id, partitions: []fetchPartition{{p.Number, at.leader.epoch, from, bound}},
		})
	})
	if err != nil {
		return fetched{}, err
	}
	code, all := decodeFetchResponse(d)
	if d.err != nil {
		return fetched{}, d.err
	}
	return onlyOne(code, all)
}

// limit cuts the records to maxBytes, but not to none.
func limit(records []chat.Record, maxBytes int, next int64) ([]chat.Record, int64) {
	size := 0
	for i, r := range records {
		size += len(r.Key) + len(r.Value)
		if i > 0 && size > maxBytes {
			return records[:i:i], r.Offset
		}
	}
	return records, next
}

// attempt runs f with a connection to the partition's leader, and again after
// failures that pass, until Options.ReadTimeout is over.
func (l *Log) attempt(ctx context.Context, p chat.Partition, f func(context.Context, place, *conn) error) error {
	if err := l.known(ctx, p); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, l.options.ReadTimeout)
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()
	var last error
	for attempts := 0; ; attempts++ {
		at, err := l.cluster.find(p)
		if err == nil {
			err = l.pool.do(ctx, at.address, func(c *conn) error { return f(ctx, at, c) })
		}
		switch {
		case err == nil, errors.Is(err, chat.ErrOffsetOutOfRange):
			return err
		case isDenied(err):
			return unavailable(err)
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		l.cluster.refreshSoon()
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", unavailable(last), ctx.Err())
		case <-time.After(retryPause(attempts)):
		}
	}
}
