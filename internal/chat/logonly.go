package chat

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

const (
	// firstEpoch is the first life of a log: before it there is nothing.
	firstEpoch = 1
	// firstWindow is how many offsets a search backwards begins with; each
	// further step has four times as many.
	firstWindow = 1024
	// clockSkew is how far the clocks of a log and of a server that makes rooms
	// may be apart.
	clockSkew = time.Minute
)

// errBeyondLog: the log alone cannot answer, for there may be older messages
// that only the store has, or it would have to read too much.
var errBeyondLog = fmt.Errorf("the log alone does not have all of that: %w", ErrUnavailable)

// logRead is one read of a room from the log alone, while the store is away.
//
// The log has each record of its epoch from its first on. So a run of it down
// to some offset is all there is of the room above that offset, and a page is
// answered only if one of these holds of what lies below: it was not asked for,
// the page is full without it, there is nothing (the log was never cut, and
// is in its first life), or nothing may be read. The last is seen by the time
// of the lowest record that was read, since times do not fall from record to
// record: see readable.nothingBefore. Otherwise it is errBeyondLog, not a page
// with a hole.
type logRead struct {
	messages *Messages
	room     Room
	rule     readable
	bounds   Bounds
	// Offsets low ≤ offset < high are read. whole tells that nothing below low
	// was asked for, or is there.
	low, high int64
	whole     bool
	bytes     int
}

// readLog reads like read, from the log alone.
func (m *Messages) readLog(ctx context.Context, room Room, after, before MessageID, limit int, newest bool, rule readable) ([]Message, error) {
	bounds, err := m.log.Bounds(ctx, room.Partition)
	if err != nil {
		return nil, fmt.Errorf("read log bounds: %w", err)
	}
	r := &logRead{messages: m, room: room, rule: rule, bounds: bounds}
	r.limit(after, before)
	var found []Message
	if newest {
		found, err = r.backwards(ctx, limit)
	} else {
		found, err = r.onwards(ctx, limit)
	}
	if err != nil {
		return nil, err
	}
	return trim(found, limit, newest), nil
}

// limit sets low and high for the ids between after and before.
func (r *logRead) limit(after, before MessageID) {
	epoch := r.bounds.Epoch
	r.low, r.high = r.bounds.First, r.bounds.Next
	r.whole = r.low == 0 && epoch <= firstEpoch
	switch {
	case after.Epoch > epoch:
		r.low, r.whole = r.high, true
	case after.Epoch == epoch && after.Offset >= r.low-1:
		r.low, r.whole = after.Offset+1, true
	case after.BeginsIn(epoch) && r.low == 0:
		r.whole = true
	}
	switch {
	case before.IsZero() || before.Epoch > epoch:
	case before.Epoch == epoch:
		r.high = min(r.high, before.Offset)
	default:
		r.high = r.bounds.First
	}
	// Further below the end, repeats are not told from what they repeat.
	if floor := r.bounds.Next - foldReach; floor > r.low {
		r.low, r.whole = floor, false
	}
}

// backwards reads at least the newest limit messages, if there are so many.
func (r *logRead) backwards(ctx context.Context, limit int) ([]Message, error) {
	var found []Message
	for window := int64(firstWindow); r.low < r.high; window *= 4 {
		from := max(r.low, r.high-window)
		part, oldest, err := r.run(ctx, from, math.MaxInt)
		if err != nil {
			return nil, err
		}
		found = append(part, found...)
		if len(found) >= limit || r.rule.nothingBefore(oldest, r.room) {
			return found, nil
		}
		r.high = from
	}
	if !r.whole {
		return nil, errBeyondLog
	}
	return found, nil
}

// onwards reads at least the oldest limit messages, if there are so many.
func (r *logRead) onwards(ctx context.Context, limit int) ([]Message, error) {
	if r.low >= r.high && r.whole {
		return nil, nil
	}
	found, oldest, err := r.run(ctx, r.low, limit)
	if err == nil && !r.whole && !r.rule.nothingBefore(oldest, r.room) {
		err = errBeyondLog
	}
	return found, err
}

// run reads from an offset up to high, or until it has enough messages. oldest
// is the time of the first record from there on, zero if there is none.
func (r *logRead) run(ctx context.Context, from int64, enough int) (found []Message, oldest time.Time, err error) {
	m := r.messages
	for from < r.high && len(found) < enough {
		if r.bytes > m.options.MaxLag {
			return nil, time.Time{}, errBeyondLog
		}
		batch, err := m.log.Read(ctx, r.room.Partition, from, readChunk)
		switch {
		case errors.Is(err, ErrOffsetOutOfRange):
			return nil, time.Time{}, errBeyondLog // trimmed meanwhile
		case err != nil:
			return nil, time.Time{}, fmt.Errorf("read log: %w", err)
		case batch.Epoch != r.bounds.Epoch || batch.Next <= from:
			return nil, time.Time{}, errBeyondLog
		}
		for _, rec := range batch.Records {
			r.bytes += len(rec.Value)
			if oldest.IsZero() {
				oldest = rec.Time
			}
			if rec.Key != r.room.URI || rec.Offset >= r.high {
				continue
			}
			msg, ok, err := m.decodeFirst(ctx, r.room.Partition, batch.Epoch, rec)
			switch {
			case errors.Is(err, errForgotten):
				return nil, time.Time{}, errBeyondLog
			case err != nil:
				return nil, time.Time{}, err
			case ok && r.rule.allows(msg):
				found = append(found, msg)
			}
		}
		from = batch.Next
	}
	return found, oldest, nil
}

// nothingBefore reports whether no message of the room that was appended at t
// or before may be read: it has outlived the time to live, is cleaned away, or
// would be older than the room.
func (r readable) nothingBefore(t time.Time, room Room) bool {
	return !t.IsZero() && (!t.Add(r.ttl).After(r.now) || t.Before(r.cutoff) || t.Add(clockSkew).Before(room.Created))
}
