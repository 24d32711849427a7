package kafka_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/log/kafka"
	"github.com/chatcluster/chatcluster/test/backends"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, backends.IgnoreNodes()) }

// epochs is a kafka.Epochs in memory.
type epochs struct {
	mu  sync.Mutex // guards ids
	ids map[string][]string
}

func (e *epochs) Epoch(_ context.Context, topic, id string) (uint32, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ids == nil {
		e.ids = map[string][]string{}
	}
	for i, known := range e.ids[topic] {
		if known == id {
			return uint32(i + 1), nil
		}
	}
	e.ids[topic] = append(e.ids[topic], id)
	return uint32(len(e.ids[topic])), nil
}

// options are those of a log of this test alone.
func options(t testing.TB) kafka.Options {
	t.Helper()
	return kafka.Options{
		Brokers:     backends.Kafka(t),
		Epochs:      &epochs{},
		TopicPrefix: "test-" + strings.ToLower(rand.Text()[:10]),
	}
}

func settings(partitions int32) kafka.TopicSettings {
	s := kafka.TopicSettings{Partitions: map[chat.Topic]int32{}, ReplicationFactor: 1}
	for _, t := range chat.Topics() {
		s.Partitions[t] = partitions
	}
	return s
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// newLog makes topics of n partitions and opens a log over them.
func newLog(t testing.TB, o kafka.Options, n int32) *kafka.Log {
	t.Helper()
	return newLogWith(t, o, settings(n))
}

func newLogWith(t testing.TB, o kafka.Options, s kafka.TopicSettings) *kafka.Log {
	t.Helper()
	if err := kafka.Migrate(testContext(t), o, s); err != nil {
		t.Fatal(err)
	}
	return openLog(t, o)
}

func openLog(t testing.TB, o kafka.Options) *kafka.Log {
	t.Helper()
	l, err := kafka.Open(testContext(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func partition(n int32) chat.Partition {
	return chat.Partition{Topic: chat.TopicMessages, Number: n}
}

// readAll reads a partition from an offset to its end.
func readAll(ctx context.Context, l chat.Log, p chat.Partition, from int64) ([]chat.Record, error) {
	bounds, err := l.Bounds(ctx, p)
	if err != nil {
		return nil, err
	}
	var records []chat.Record
	for from = max(from, bounds.First); from < bounds.Next; {
		batch, err := l.Read(ctx, p, from, 1<<20)
		if err != nil {
			return records, err
		}
		if batch.Next <= from {
			return records, fmt.Errorf("read %s from %d goes on at %d", p, from, batch.Next)
		}
		records = append(records, batch.Records...)
		from = batch.Next
	}
	return records, nil
}
