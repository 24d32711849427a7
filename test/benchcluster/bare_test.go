package benchcluster_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	kafkago "github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"
)

// bareLog is kafka-go's Client as it comes, on a topic of its own that is like
// ours.
type bareLog struct {
	client *kafkago.Client
	topic  string
}

func newBareLog(b *testing.B, brokers []string, partitions int) *bareLog {
	b.Helper()
	transport := &kafkago.Transport{}
	b.Cleanup(transport.CloseIdleConnections)
	l := &bareLog{&kafkago.Client{Addr: kafkago.TCP(brokers...), Transport: transport, Timeout: 10 * time.Second}, unique()}
	answer, err := l.client.CreateTopics(b.Context(), &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{{
		Topic: l.topic, NumPartitions: partitions, ReplicationFactor: 1,
		ConfigEntries: []kafkago.ConfigEntry{{ConfigName: "message.timestamp.type", ConfigValue: "LogAppendTime"}},
	}}})
	if err = errors.Join(err, answer.Errors[l.topic]); err != nil {
		b.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for n := range partitions {
		// The broker takes a moment to lead them all.
		for err = l.produce(b.Context(), n, 1); err != nil; err = l.produce(b.Context(), n, 1) {
			if time.Now().After(deadline) {
				b.Fatal(err)
			}
		}
	}
	return l
}

// produce waits until count records are on all replicas.
func (l *bareLog) produce(ctx context.Context, partition, count int) error {
	records := make([]kafkago.Record, count)
	for i := range records {
		records[i] = kafkago.Record{Key: kafkago.NewBytes([]byte("040213b14a02451")), Value: kafkago.NewBytes(value)}
	}
	answer, err := l.client.Produce(ctx, &kafkago.ProduceRequest{
		Topic: l.topic, Partition: partition, RequiredAcks: kafkago.RequireAll, Records: kafkago.NewRecordReader(records...),
	})
	if err != nil {
		return err
	}
	return answer.Error
}

// end is the offset of the next record of partition 0.
func (l *bareLog) end(ctx context.Context) (int64, error) {
	answer, err := l.client.ListOffsets(ctx, &kafkago.ListOffsetsRequest{
		Topics: map[string][]kafkago.OffsetRequest{l.topic: {kafkago.LastOffsetOf(0)}},
	})
	if err != nil {
		return 0, err
	}
	p := answer.Topics[l.topic][0]
	return p.LastOffset, p.Error
}

// follow sends the time at which each record of partition 0, from an offset on,
// has been fetched, until ctx ends.
func (l *bareLog) follow(ctx context.Context, offset int64, arrivals chan<- time.Time) error {
	for ctx.Err() == nil {
		answer, err := l.client.Fetch(ctx, &kafkago.FetchRequest{
			Topic: l.topic, Partition: 0, Offset: offset, MinBytes: 1, MaxBytes: 1 << 20, MaxWait: 500 * time.Millisecond,
		})
		if err == nil {
			err = answer.Error
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		arrived := time.Now()
		for {
			record, err := answer.Records.ReadRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			offset = record.Offset + 1
			arrivals <- arrived
		}
	}
	return nil
}

const (
	// The archiver's batches, and how many of them it has in flight.
	batchRows       = 20
	batchesInFlight = 32
)

// putBare writes so many messages as the archiver does, evenly to so many
// rooms, but only the rows: there are no buckets to find, no fold and no
// watermark. round tells its rows from those of other calls.
func putBare(ctx context.Context, session *gocql.Session, keyspace string, round, messages, rooms int) error {
	insert := `INSERT INTO ` + keyspace + `.messages_days (room, start_epoch, start_offset, epoch, log_offset, appended, expires, sender_id, username, email, first_name, last_name, body)
		VALUES (?, 0, 0, 1, ?, ?, ?, 1, 'amir', 'amir@mail.com', '', '', ?) USING TTL 172800`
	var group errgroup.Group
	group.SetLimit(batchesInFlight)
	now := time.Now()
	for first := 0; first < messages; first += batchRows {
		batch := session.Batch(gocql.UnloggedBatch)
		room := fmt.Sprint("bare-", first/batchRows%rooms)
		for i := first; i < min(first+batchRows, messages); i++ {
			batch.Query(insert, room, int64(round*messages+i), now, now.Add(retention), text)
		}
		group.Go(func() error { return batch.ExecContext(ctx) })
	}
	return group.Wait()
}
