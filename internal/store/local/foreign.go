package local

import (
	"context"
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// PutForeign keeps the records, and forgets those that are chat.ForeignKept
// older.
func (s *Store) PutForeign(ctx context.Context, records []chat.ForeignRecord) error {
	if len(records) == 0 {
		return ctx.Err()
	}
	type row struct{ key, value []byte }
	rows := make([]row, len(records)) // read after a cancelled call
	newest := map[chat.Partition]time.Time{}
	for i, r := range records {
		rows[i] = row{foreignKey(r.Partition, r.Epoch, r.Offset), encodeForeign(r.Record)}
		if r.Time.After(newest[r.Partition]) {
			newest[r.Partition] = r.Time
		}
	}
	return s.change(ctx, 0, func(b *pebble.Batch) error {
		// Pruned first: what is written now stays.
		for p, now := range newest {
			if err := s.pruneForeign(b, p, now.Add(-chat.ForeignKept)); err != nil {
				return err
			}
		}
		for _, r := range rows {
			if err := b.Set(r.key, r.value, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// pruneForeign deletes the partition's records of before horizon: they are the
// first, since times never decrease in a partition. It runs in a change.
func (s *Store) pruneForeign(b *pebble.Batch, p chat.Partition, horizon time.Time) error {
	return s.scan(foreignSpan(p), func(key, value []byte) (bool, error) {
		r, err := decodeForeign(0, value)
		if err != nil || !r.Time.Before(horizon) {
			return false, err
		}
		return true, b.Delete(key, nil)
	})
}

// ForeignOf are the newest foreign records of the partition, the newest first.
func (s *Store) ForeignOf(ctx context.Context, p chat.Partition, limit int) ([]chat.ForeignRecord, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	var records []chat.ForeignRecord
	err := s.scanDown(foreignSpan(p), func(key, value []byte) (bool, error) {
		if len(records) >= limit {
			return false, nil
		}
		epoch, offset, err := cutForeignKey(key)
		r, valueErr := decodeForeign(offset, value)
		if err := errors.Join(err, valueErr); err != nil {
			return false, err
		}
		records = append(records, chat.ForeignRecord{Partition: p, Epoch: epoch, Record: r})
		return true, ctx.Err()
	})
	return records, err
}
