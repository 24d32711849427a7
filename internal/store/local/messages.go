package local

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// PutMessages writes the messages; see the package comment for when they are
// durable.
func (s *Store) PutMessages(ctx context.Context, messages []chat.Message) error {
	if len(messages) == 0 {
		return ctx.Err()
	}
	// Encoded here, so that the one goroutine of changes has less to do and
	// the messages are not read after a cancelled call.
	type row struct{ key, value []byte }
	rows := make([]row, len(messages))
	for i, m := range messages {
		rows[i] = row{messageKey(m.RoomURI, m.ID), encodeMessage(m)}
	}
	return s.change(ctx, 0, func(b *pebble.Batch) error {
		for _, r := range rows {
			if err := b.Set(r.key, r.value, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// Messages answers a query in rising order of ids. It reads what it returns,
// and those between that have expired but are not deleted yet.
func (s *Store) Messages(ctx context.Context, q chat.MessageQuery) ([]chat.Message, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	bounds := textSpan(tableMessage, q.RoomURI)
	if !q.After.IsZero() {
		bounds.low = successor(messageKey(q.RoomURI, q.After))
	}
	if !q.Before.IsZero() {
		bounds.high = messageKey(q.RoomURI, q.Before)
	}
	var messages []chat.Message
	collect := func(key, value []byte) (bool, error) {
		if len(messages) >= q.Limit {
			return false, nil
		}
		_, expires, err := decodeMessageTimes(value)
		if err != nil {
			return false, err
		}
		if !expires.After(q.Now) {
			return true, ctx.Err()
		}
		_, id, err := cutMessageKey(key)
		if err != nil {
			return false, err
		}
		m, err := decodeMessage(q.RoomURI, id, value)
		messages = append(messages, m)
		return true, err
	}
	if !q.Newest {
		err := s.scan(bounds, collect)
		return messages, err
	}
	err := s.scanDown(bounds, collect)
	slices.Reverse(messages)
	return messages, err
}

// Watermark is how far the partition is archived.
func (s *Store) Watermark(ctx context.Context, p chat.Partition) (chat.Watermark, error) {
	if err := s.enter(ctx); err != nil {
		return chat.Watermark{}, err
	}
	defer s.leave()
	return lookupOrZero(s, watermarkKey(p), decodeWatermark)
}

// SetWatermark moves the watermark forward; see the package comment for when it
// is durable.
func (s *Store) SetWatermark(ctx context.Context, p chat.Partition, w chat.Watermark) error {
	return s.change(ctx, 0, func(b *pebble.Batch) error {
		key := watermarkKey(p)
		old, err := lookupOrZero(s, key, decodeWatermark)
		if err != nil || w.Epoch < old.Epoch || w.Epoch == old.Epoch && w.Next <= old.Next {
			return err
		}
		return b.Set(key, encodeWatermark(w), nil)
	})
}

// Cutoff is the time before which no message may be read, or zero.
func (s *Store) Cutoff(ctx context.Context) (time.Time, error) {
	if err := s.enter(ctx); err != nil {
		return time.Time{}, err
	}
	defer s.leave()
	return lookupOrZero(s, []byte{tableCutoff}, decodeTime)
}

// SetCutoff moves the cutoff forward, durably.
func (s *Store) SetCutoff(ctx context.Context, cutoff time.Time) error {
	return s.change(ctx, durable|freeing, func(b *pebble.Batch) error {
		key := []byte{tableCutoff}
		old, err := lookupOrZero(s, key, decodeTime)
		if err != nil || !cutoff.After(old) {
			return err
		}
		return b.Set(key, encodeTime(cutoff), nil)
	})
}

// roomsPerScan is how many URIs EachMessageRoom finds before it calls f with
// them: no iterator stays open, and keeps old files alive, while f works.
const roomsPerScan = 128

// EachMessageRoom calls f with the URI of each room that has messages, in the
// order of their bytes. It costs one seek per room.
func (s *Store) EachMessageRoom(ctx context.Context, after string, f func(uri string) error) error {
	all := prefixSpan([]byte{tableMessage})
	if after != "" {
		all.low = textSpan(tableMessage, after).high
	}
	for {
		uris, err := s.messageRooms(ctx, all)
		if err != nil {
			return err
		}
		for _, uri := range uris {
			if err := f(uri); err != nil {
				return err
			}
		}
		if len(uris) < roomsPerScan {
			return nil
		}
		all.low = textSpan(tableMessage, uris[len(uris)-1]).high
	}
}

// messageRooms are the first rooms with messages within the span.
func (s *Store) messageRooms(ctx context.Context, within span) (uris []string, err error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	it, err := s.iterate(within)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.unreadable(it.Close())) }()
	for ok := it.First(); ok && len(uris) < roomsPerScan; {
		uri, _, err := cutMessageKey(it.Key())
		if err != nil {
			return nil, s.unreadable(err)
		}
		uris = append(uris, uri)
		ok = it.SeekGE(textSpan(tableMessage, uri).high)
	}
	return uris, nil
}

const (
	// A run of messages that is at least this long is deleted as one range: a
	// range costs each later read of the room more than a few points do.
	messagesPerRange = 8
	// deleteBatchBytes bounds the batch of one step of DeleteMessages.
	deleteBatchBytes = 256 << 10
)

// DeleteMessages deletes the room's messages that were appended before cutoff
// or have expired by now, and says how many. It reads the room once, in memory
// that does not grow with it.
func (s *Store) DeleteMessages(ctx context.Context, uri string, cutoff, now time.Time, dryRun bool) (int, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.leave()
	d := deletion{batch: s.db.NewBatch()}
	deleted := 0
	err := s.scan(textSpan(tableMessage, uri), func(key, value []byte) (bool, error) {
		appended, expires, err := decodeMessageTimes(value)
		if err != nil {
			return false, err
		}
		if !appended.Before(cutoff) && expires.After(now) {
			return true, d.endRun()
		}
		deleted++
		if dryRun {
			return true, ctx.Err()
		}
		d.add(key)
		if d.batch.Len() < deleteBatchBytes {
			return true, ctx.Err()
		}
		return true, s.commitDeletion(ctx, &d)
	})
	if err == nil {
		err = d.endRun()
	}
	if err == nil && !dryRun {
		err = s.commitDeletion(ctx, &d)
	}
	return deleted, err
}

// commitDeletion makes what d has collected so far.
func (s *Store) commitDeletion(ctx context.Context, d *deletion) error {
	deletes := d.batch
	d.batch = s.db.NewBatch()
	return s.changeEntered(ctx, freeing, func(b *pebble.Batch) error {
		return b.Apply(deletes, nil)
	})
}

// deletion collects keys to delete, adjoining ones as a range.
type deletion struct {
	batch *pebble.Batch
	// The run of adjoining keys that is not in the batch yet: its length, its
	// first keys, at the most messagesPerRange, and its last.
	length int
	first  [messagesPerRange][]byte
	last   []byte
}

func (d *deletion) add(key []byte) {
	if d.length < messagesPerRange {
		d.first[d.length] = append(d.first[d.length][:0], key...)
	}
	d.last = append(d.last[:0], key...)
	d.length++
}

// endRun puts the run into the batch: the next key stays.
func (d *deletion) endRun() error {
	run := d.length
	d.length = 0
	if run >= messagesPerRange {
		return d.batch.DeleteRange(d.first[0], successor(d.last), nil)
	}
	var err error
	for _, key := range d.first[:run] {
		err = errors.Join(err, d.batch.Delete(key, nil))
	}
	return err
}

// OldestMessage is the time of the first message of the room that is not
// deleted, or zero.
func (s *Store) OldestMessage(ctx context.Context, uri string) (time.Time, error) {
	if err := s.enter(ctx); err != nil {
		return time.Time{}, err
	}
	defer s.leave()
	var oldest time.Time
	err := s.scan(textSpan(tableMessage, uri), func(_, value []byte) (_ bool, err error) {
		oldest, _, err = decodeMessageTimes(value)
		return false, err
	})
	return oldest, err
}
