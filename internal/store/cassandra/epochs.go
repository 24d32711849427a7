package cassandra

import (
	"context"
	"fmt"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// Epoch numbers the lives of a log's topics: 1 for the first id of the name
// that was ever asked for, and one more for each further id. All processes get
// the same answer, for ever: a number is given by a lightweight transaction.
func (s *Store) Epoch(ctx context.Context, topic, topicID string) (uint32, error) {
	for {
		newest, epoch, err := s.knownEpoch(ctx, topic, topicID)
		if err != nil || epoch > 0 {
			return uint32(epoch), err
		}
		applied, row, err := s.casQuery(ctx, `INSERT INTO log_epochs (topic, epoch, topic_id) VALUES (?, ?, ?) IF NOT EXISTS`,
			topic, newest+1, topicID)
		if err != nil {
			return 0, fmt.Errorf("number topic %s: %w", topic, err)
		}
		if applied || row["topic_id"] == topicID {
			return uint32(newest + 1), nil
		}
		// Another id took that number; the next look finds it.
	}
}

// KnownEpoch is the number that Epoch has given to the topic's id, or 0; it
// gives none.
func (s *Store) KnownEpoch(ctx context.Context, topic, topicID string) (uint32, error) {
	_, epoch, err := s.knownEpoch(ctx, topic, topicID)
	return uint32(epoch), err
}

// knownEpoch is the newest epoch of the topic, and that of the id; each 0 if
// there is none.
func (s *Store) knownEpoch(ctx context.Context, topic, topicID string) (newest, epoch int, err error) {
	err = s.each(ctx, 100, `SELECT epoch, topic_id FROM log_epochs WHERE topic = ?`, []any{topic}, func(row gocql.Scanner) (bool, error) {
		var (
			number int
			id     string
		)
		if err := row.Scan(&number, &id); err != nil {
			return false, err
		}
		newest = max(newest, number)
		if id == topicID {
			epoch = number
		}
		return true, nil
	})
	if err != nil {
		return 0, 0, fmt.Errorf("read epochs of topic %s: %w", topic, err)
	}
	return newest, epoch, nil
}
