package cassandra

import (
	"context"
	"errors"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// Watermark is how far the partition is archived.
func (s *Store) Watermark(ctx context.Context, p chat.Partition) (chat.Watermark, error) {
	var epoch, next int64
	err := s.scan(ctx, `SELECT epoch, next FROM watermarks WHERE topic = ? AND number = ? LIMIT 1`,
		[]any{int(p.Topic), p.Number}, &epoch, &next)
	if errors.Is(err, chat.ErrNotFound) {
		return chat.Watermark{}, nil
	}
	return chat.Watermark{Epoch: uint32(epoch), Next: next}, err
}

// SetWatermark moves the watermark forward. Each epoch has a row, and the
// highest counts; within it the offset is its own timestamp, so that a lower
// one loses, whenever it arrives.
func (s *Store) SetWatermark(ctx context.Context, p chat.Partition, w chat.Watermark) error {
	return s.exec(ctx, `INSERT INTO watermarks (topic, number, epoch, next) VALUES (?, ?, ?, ?) USING TIMESTAMP ?`,
		int(p.Topic), p.Number, int64(w.Epoch), w.Next, w.Next+1)
}

// messageCutoff names the one cutoff that there is.
const messageCutoff = "messages"

// Cutoff is the time before which no message may be read, or zero.
func (s *Store) Cutoff(ctx context.Context) (time.Time, error) {
	var cutoff int64
	err := s.scan(ctx, `SELECT cutoff FROM cutoffs WHERE name = ?`, []any{messageCutoff}, &cutoff)
	if errors.Is(err, chat.ErrNotFound) {
		return time.Time{}, nil
	}
	return fromMillis(cutoff), err
}

// SetCutoff moves the cutoff forward. It is its own timestamp, so that an
// earlier one loses, whenever it arrives.
func (s *Store) SetCutoff(ctx context.Context, cutoff time.Time) error {
	ms := millis(ceilMillis(cutoff))
	if ms <= 0 { // before there were messages
		return nil
	}
	return s.exec(ctx, `INSERT INTO cutoffs (name, cutoff) VALUES (?, ?) USING TIMESTAMP ?`, messageCutoff, ms, ms)
}

// roomsPerPage is how many rooms EachMessageRoom looks at before it calls f.
const roomsPerPage = 100

// EachMessageRoom calls f with the URI of each room that has messages, in the
// order of the ring. It reads the keys of room_buckets, and of each room until
// the first message.
func (s *Store) EachMessageRoom(ctx context.Context, after string, f func(uri string) error) error {
	for {
		listed, err := s.listedAfter(ctx, after)
		if err != nil {
			return err
		}
		uris, err := parallel(ctx, len(listed), func(ctx context.Context, i int) (string, error) {
			oldest, err := s.OldestMessage(ctx, listed[i])
			if err == nil && oldest.IsZero() {
				err = notFound("message")
			}
			return listed[i], err
		})
		if err != nil {
			return err
		}
		for _, uri := range uris {
			if err := f(uri); err != nil {
				return err
			}
		}
		if len(listed) < roomsPerPage {
			return nil
		}
		after = listed[len(listed)-1]
	}
}

// listedAfter are the first rooms with buckets beyond another.
func (s *Store) listedAfter(ctx context.Context, after string) (uris []string, err error) {
	stmt, args := `SELECT DISTINCT room FROM room_buckets LIMIT ?`, []any{roomsPerPage}
	if after != "" {
		stmt, args = `SELECT DISTINCT room FROM room_buckets WHERE token(room) > token(?) LIMIT ?`, []any{after, roomsPerPage}
	}
	err = s.each(ctx, roomsPerPage, stmt, args, func(row gocql.Scanner) (bool, error) {
		var uri string
		err := row.Scan(&uri)
		uris = append(uris, uri)
		return true, err
	})
	return uris, err
}

// OldestMessage is the time of the first message of the room that is not
// deleted, or zero.
func (s *Store) OldestMessage(ctx context.Context, uri string) (time.Time, error) {
	var oldest time.Time
	err := s.eachTime(ctx, uri, 1, nil, func(r messageTimes) (bool, error) {
		oldest = r.appended
		return false, nil
	}, nil)
	return oldest, err
}

// messageTimes is what decides whether a message is deleted.
type messageTimes struct {
	at                position
	appended, expires time.Time
}

// eachTime goes through the room's buckets, oldest first: those that only lets
// pass, if it is not nil. It calls row with each message until that returns
// false, and end after each partition. A late row that lies in two partitions
// is seen twice.
func (s *Store) eachTime(ctx context.Context, uri string, pageSize int, only func(bucket) bool, row func(messageTimes) (bool, error), end func(bucket) error) error {
	return s.eachBucket(ctx, uri, position{}, lastPosition, false, func(b bucket, low, high position) (bool, error) {
		if only != nil && !only(b) {
			return true, nil
		}
		parts := []bucket{b}
		if b.before != nil {
			late := b
			late.start = *b.before
			parts = append(parts, late)
		}
		more := true
		for _, part := range parts {
			err := s.eachRow(ctx, "epoch, log_offset, appended, expires", uri, part.class, part.start, low, high, false, pageSize, func(r gocql.Scanner) (bool, error) {
				var m messageTimes
				var appended, expires int64
				if err := r.Scan(&m.at.epoch, &m.at.offset, &appended, &expires); err != nil {
					return false, err
				}
				m.appended, m.expires = fromMillis(appended), fromMillis(expires)
				var err error
				more, err = row(m)
				return more, err
			})
			if err == nil && more && end != nil {
				err = end(part)
			}
			if err != nil || !more {
				return false, err
			}
		}
		return true, nil
	})
}

// timesPerPage is how many rows of a bucket a delete counts at a time.
const timesPerPage = 2000

// DeleteMessages deletes the room's messages that were appended before cutoff
// or have expired by now, and says how many.
//
// Those before the cutoff go by one tombstone for each bucket: rows carry the
// time of the log as their timestamp, so that a tombstone with that of the
// cutoff takes what is older and leaves what is not. What has expired by the
// clock is gone by itself, so that a bucket from the cutoff on is only looked
// through where now is ahead of the clock.
func (s *Store) DeleteMessages(ctx context.Context, uri string, cutoff, now time.Time, dryRun bool) (int, error) {
	cutoff = ceilMillis(cutoff)
	ahead := now.After(s.now())
	deleted, old := 0, 0
	var expired runs
	err := s.eachTime(ctx, uri, timesPerPage,
		func(b bucket) bool { return ahead || b.began.Before(cutoff) },
		func(m messageTimes) (bool, error) {
			switch {
			case m.appended.Before(cutoff):
				old++
				expired.end()
			case !m.expires.After(now):
				expired.add(m)
			default:
				expired.end()
			}
			return true, nil
		},
		func(b bucket) error {
			deleted += old + expired.count
			var err error
			if !dryRun {
				err = errors.Join(s.deleteOld(ctx, uri, b, cutoff, old), s.deleteRuns(ctx, uri, b, expired.list))
			}
			old, expired = 0, runs{}
			return err
		})
	return deleted, err
}

// deleteOld deletes what is older than the cutoff from the bucket, and the
// bucket itself once no younger message can belong to it.
func (s *Store) deleteOld(ctx context.Context, uri string, b bucket, cutoff time.Time, old int) error {
	if old > 0 {
		stmt := `DELETE FROM ` + b.class.table() + ` USING TIMESTAMP ? WHERE room = ? AND start_epoch = ? AND start_offset = ?`
		if err := s.exec(ctx, stmt, cutoff.UnixMicro()-1, uri, b.start.epoch, b.start.offset); err != nil {
			return err
		}
	}
	if b.ends.After(cutoff) {
		return nil
	}
	return s.unlistBucket(ctx, uri, b)
}

// run is a stretch of messages without one between them that stays.
type run struct {
	first, last messageTimes
}

// runs collects stretches of messages that come in their order.
type runs struct {
	list  []run
	open  bool
	count int
}

func (r *runs) add(m messageTimes) {
	r.count++
	if !r.open {
		r.list, r.open = append(r.list, run{first: m}), true
	}
	r.list[len(r.list)-1].last = m
}

func (r *runs) end() { r.open = false }

func (s *Store) deleteRuns(ctx context.Context, uri string, b bucket, list []run) error {
	stmt := `DELETE FROM ` + b.class.table() + ` USING TIMESTAMP ? WHERE room = ? AND start_epoch = ? AND start_offset = ?
		AND (epoch, log_offset) >= (?, ?) AND (epoch, log_offset) <= (?, ?)`
	for _, r := range list {
		err := s.exec(ctx, stmt, r.last.appended.UnixMicro(), uri, b.start.epoch, b.start.offset,
			r.first.at.epoch, r.first.at.offset, r.last.at.epoch, r.last.at.offset)
		if err != nil {
			return err
		}
	}
	return nil
}
