package cassandra

import (
	"context"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"golang.org/x/sync/errgroup"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// PutForeign keeps the records, each in a row that expires by itself.
func (s *Store) PutForeign(ctx context.Context, records []chat.ForeignRecord) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(putsInFlight)
	for _, r := range records {
		group.Go(func() error {
			return s.exec(ctx, `INSERT INTO foreign_records (topic, number, epoch, log_offset, appended, record_key, record_value)
				VALUES (?, ?, ?, ?, ?, ?, ?) USING TTL ?`,
				int(r.Partition.Topic), int(r.Partition.Number), int64(r.Epoch), r.Offset, millis(r.Time), []byte(r.Key), r.Value,
				s.ttl(r.Time.Add(chat.ForeignKept)))
		})
	}
	return group.Wait()
}

// ForeignOf are the newest foreign records of the partition, the newest first.
func (s *Store) ForeignOf(ctx context.Context, p chat.Partition, limit int) ([]chat.ForeignRecord, error) {
	var records []chat.ForeignRecord
	err := s.each(ctx, 100, `SELECT epoch, log_offset, appended, record_key, record_value FROM foreign_records
		WHERE topic = ? AND number = ? LIMIT ?`, []any{int(p.Topic), int(p.Number), limit}, func(row gocql.Scanner) (bool, error) {
		var (
			epoch, appended int64
			key             []byte
		)
		r := chat.ForeignRecord{Partition: p}
		err := row.Scan(&epoch, &r.Offset, &appended, &key, &r.Value)
		r.Epoch, r.Time, r.Key = uint32(epoch), fromMillis(appended), string(key)
		records = append(records, r)
		return true, err
	})
	return records, err
}
