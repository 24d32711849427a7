package cassandra

import (
	"cmp"
	"context"
	"errors"
	"math"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// position is a place in the log of a room, and the name of the bucket that
// starts there.
type position struct{ epoch, offset int64 }

// lastPosition is beyond all others.
var lastPosition = position{epoch: math.MaxInt64}

func positionOf(id chat.MessageID) position { return position{int64(id.Epoch), id.Offset} }

func (p position) compare(o position) int {
	return cmp.Or(cmp.Compare(p.epoch, o.epoch), cmp.Compare(p.offset, o.offset))
}

func later(a, b position) position {
	if a.compare(b) < 0 {
		return b
	}
	return a
}

// class is a class of retention; its number is stored.
type class int

const (
	classDays class = iota + 1
	classWeeks
	classYears
)

func classOf(ttl time.Duration) class {
	switch {
	case ttl <= 2*day:
		return classDays
	case ttl <= 30*day:
		return classWeeks
	default:
		return classYears
	}
}

func (c class) table() string {
	switch c {
	case classDays:
		return "messages_days"
	case classWeeks:
		return "messages_weeks"
	default:
		return "messages_years"
	}
}

const (
	// bucketsPerTTL: a bucket lasts for this part of its messages' retention.
	bucketsPerTTL = 20
	minBucketSpan = time.Second
	// bucketRows is how many rows end a bucket.
	bucketRows = 50_000
	// rowsPerNote is how often a writer notes how many rows a bucket has, for
	// the one that takes over from it.
	rowsPerNote = 5_000
	// A writer trusts what it has read of a room's buckets for this long, and
	// ends a bucket for its size only when it has known it for longer. So one
	// that has missed such an end has missed no more than one.
	placeTrust  = 10 * time.Second
	minKnownFor = 2 * placeTrust
)

// bucket is a row of room_buckets: a run of a room's messages that shares a
// partition.
type bucket struct {
	start position
	// began is the time of its first message. A message from ends on belongs to
	// a later one.
	began, ends time.Time
	// until is when all its messages have expired.
	until time.Time
	// rows is about how many it has.
	rows  int
	class class
	// before is the bucket before it, if that ended for its size: late rows of
	// this one may lie there.
	before *position
}

// placement is the bucket that a room's next message goes to, as a writer knows
// it.
type placement struct {
	bucket bucket
	// limit is the start of the next bucket, or lastPosition.
	limit position
	// known is when the writer first saw the bucket, verified when it last read
	// that there is no later one.
	known, verified time.Time
}

func (p placement) covers(at position) bool {
	return p.bucket.start.compare(at) <= 0 && at.compare(p.limit) < 0
}

func (p placement) isLast() bool { return p.limit == lastPosition }

// place puts the message, which p covers, into a bucket. list is true where the
// bucket is to be written to room_buckets before the message.
func (p placement) place(m chat.Message, now time.Time) (next placement, list bool) {
	ttl := m.Expires.Sub(m.Time)
	full := p.isLast() && p.bucket.rows >= bucketRows && now.Sub(p.known) >= minKnownFor
	if p.bucket.class != classOf(ttl) || !m.Time.Before(p.bucket.ends) || full {
		next = p.begin(m, now)
		if full && next.bucket.class == p.bucket.class {
			next.bucket.before = &p.bucket.start
		}
		return next, true
	}
	p.bucket.rows++
	list = p.bucket.rows%rowsPerNote == 0
	if m.Expires.After(p.bucket.until) {
		p.bucket.until, list = m.Expires, true
	}
	return p, list
}

// begin starts a bucket with the message, up to where p ends.
func (p placement) begin(m chat.Message, now time.Time) placement {
	ttl := m.Expires.Sub(m.Time)
	ends := m.Time.Add(max(ttl/bucketsPerTTL, minBucketSpan).Truncate(time.Millisecond))
	p.bucket = bucket{start: positionOf(m.ID), began: m.Time, ends: ends, until: ends.Add(ttl), rows: 1, class: classOf(ttl)}
	p.known, p.verified = now, now
	return p
}

const bucketColumns = "start_epoch, start_offset, began, ends, until, rows, class, before_epoch, before_offset"

func scanBucket(row interface{ Scan(dest ...any) error }) (bucket, error) {
	var b bucket
	var began, ends, until int64
	var beforeEpoch, beforeOffset *int64
	err := row.Scan(&b.start.epoch, &b.start.offset, &began, &ends, &until, &b.rows, &b.class, &beforeEpoch, &beforeOffset)
	b.began, b.ends, b.until = fromMillis(began), fromMillis(ends), fromMillis(until)
	if beforeEpoch != nil && beforeOffset != nil {
		b.before = &position{*beforeEpoch, *beforeOffset}
	}
	return b, err
}

// listBucket writes the bucket's row. Its timestamp rises with the number of
// rows, so that of two writers the one that knows of more counts, and ends
// before that of a delete, which comes once the bucket has ended.
func (s *Store) listBucket(ctx context.Context, room string, b bucket) error {
	args := []any{room, b.start.epoch, b.start.offset, millis(b.began), millis(b.ends), millis(b.until), b.rows, int(b.class)}
	how := []any{s.ttl(b.until), b.began.UnixMicro() + int64(min(b.rows/rowsPerNote, int(minBucketSpan/time.Microsecond)-1))}
	if b.before == nil {
		return s.exec(ctx, `INSERT INTO room_buckets (room, start_epoch, start_offset, began, ends, until, rows, class)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TTL ? AND TIMESTAMP ?`, append(args, how...)...)
	}
	args = append(args, b.before.epoch, b.before.offset)
	return s.exec(ctx, `INSERT INTO room_buckets (room, start_epoch, start_offset, began, ends, until, rows, class, before_epoch, before_offset)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TTL ? AND TIMESTAMP ?`, append(args, how...)...)
}

// unlistBucket forgets a bucket that no message belongs to any more.
func (s *Store) unlistBucket(ctx context.Context, room string, b bucket) error {
	return s.exec(ctx, `DELETE FROM room_buckets USING TIMESTAMP ? WHERE room = ? AND start_epoch = ? AND start_offset = ?`,
		b.ends.UnixMicro(), room, b.start.epoch, b.start.offset)
}

// bucketAt reads the bucket with the greatest start at or before the position.
func (s *Store) bucketAt(ctx context.Context, room string, at position) (bucket, error) {
	q := s.query(`SELECT `+bucketColumns+` FROM room_buckets WHERE room = ? AND (start_epoch, start_offset) <= (?, ?) LIMIT 1`, room, at.epoch, at.offset)
	b, err := scanBucket(scanOne{ctx, q})
	if errors.Is(err, gocql.ErrNotFound) {
		return bucket{}, chat.ErrNotFound
	}
	return b, translate(ctx, err)
}

// scanOne scans the one row of a query.
type scanOne struct {
	ctx   context.Context
	query *gocql.Query
}

func (o scanOne) Scan(dest ...any) error { return o.query.ScanContext(o.ctx, dest...) }

// findPlacement reads where a message at the position belongs. A room or a
// position without a bucket has a placement without one, whose ends are zero.
func (s *Store) findPlacement(ctx context.Context, room string, at position, now time.Time) (placement, error) {
	p := placement{limit: lastPosition, known: now, verified: now}
	latest, err := s.bucketAt(ctx, room, lastPosition)
	switch {
	case errors.Is(err, chat.ErrNotFound):
		return p, nil
	case err != nil:
		return placement{}, err
	case latest.start.compare(at) <= 0:
		p.bucket = latest
		return p, nil
	}
	// A replay: only the bucket of then, and where it ends, will do.
	next, err := s.bucketAfter(ctx, room, at)
	if err != nil {
		return placement{}, err
	}
	p.limit = next
	if p.bucket, err = s.bucketAt(ctx, room, at); errors.Is(err, chat.ErrNotFound) {
		err = nil
	}
	return p, err
}

// bucketAfter is the start of the first bucket after the position.
func (s *Store) bucketAfter(ctx context.Context, room string, at position) (position, error) {
	next := lastPosition
	err := s.scan(ctx, `SELECT start_epoch, start_offset FROM room_buckets WHERE room = ? AND (start_epoch, start_offset) > (?, ?)
		ORDER BY start_epoch ASC, start_offset ASC LIMIT 1`, []any{room, at.epoch, at.offset}, &next.epoch, &next.offset)
	if errors.Is(err, chat.ErrNotFound) {
		return lastPosition, nil
	}
	return next, err
}

// bucketsPerPage is how many buckets a walk reads ahead.
const bucketsPerPage = 50

// eachBucket calls f with the buckets that can have messages at
// low ≤ position < high, and the part of that range that is theirs, in falling
// or rising order, until f returns false.
func (s *Store) eachBucket(ctx context.Context, room string, low, high position, falling bool, f func(b bucket, low, high position) (bool, error)) error {
	if !isKey(room) || low.compare(high) >= 0 {
		return nil
	}
	if falling {
		return s.each(ctx, bucketsPerPage, `SELECT `+bucketColumns+` FROM room_buckets WHERE room = ? AND (start_epoch, start_offset) < (?, ?)`,
			[]any{room, high.epoch, high.offset}, func(row gocql.Scanner) (bool, error) {
				b, err := scanBucket(row)
				if err != nil {
					return false, err
				}
				more, err := f(b, later(low, b.start), high)
				high = b.start
				return more && low.compare(b.start) < 0, err
			})
	}
	return s.eachBucketRising(ctx, room, low, high, f)
}

// eachBucketRising knows where a bucket ends when it sees the next.
func (s *Store) eachBucketRising(ctx context.Context, room string, low, high position, f func(b bucket, low, high position) (bool, error)) error {
	pending, err := s.bucketAt(ctx, room, low)
	from := pending.start
	found := err == nil
	if errors.Is(err, chat.ErrNotFound) {
		from, err = low, nil
	}
	if err != nil {
		return err
	}
	more := true
	err = s.each(ctx, bucketsPerPage, `SELECT `+bucketColumns+` FROM room_buckets WHERE room = ?
		AND (start_epoch, start_offset) > (?, ?) AND (start_epoch, start_offset) < (?, ?) ORDER BY start_epoch ASC, start_offset ASC`,
		[]any{room, from.epoch, from.offset, high.epoch, high.offset}, func(row gocql.Scanner) (bool, error) {
			next, err := scanBucket(row)
			if err != nil {
				return false, err
			}
			if found {
				more, err = f(pending, later(low, pending.start), next.start)
			}
			pending, found = next, true
			return more, err
		})
	if err != nil || !more || !found {
		return err
	}
	_, err = f(pending, later(low, pending.start), high)
	return err
}
