package kafka_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/log/kafka"
	"github.com/chatcluster/chatcluster/test/backends"
	kafkago "github.com/segmentio/kafka-go"
)

// admin is a plain client, to do what an operator does behind our back.
func admin(t *testing.T) *kafkago.Client {
	transport := &kafkago.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &kafkago.Client{Addr: kafkago.TCP(backends.Kafka(t)...), Transport: transport, Timeout: 20 * time.Second}
}

func deleteTopics(t *testing.T, o kafka.Options) {
	t.Helper()
	var names []string
	for _, topic := range chat.Topics() {
		names = append(names, o.TopicPrefix+"."+topic.String())
	}
	answer, err := admin(t).DeleteTopics(testContext(t), &kafkago.DeleteTopicsRequest{Topics: names})
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range answer.Errors {
		if err != nil {
			t.Fatalf("delete %s: %v", name, err)
		}
	}
	// The controller has deleted them; the broker hears of it a little later.
	for {
		problems, err := kafka.Check(testContext(t), o)
		if err != nil {
			t.Fatal(err)
		}
		if len(problems) == len(names) {
			return
		}
	}
}

func TestRecreatedTopic(t *testing.T) {
	o := options(t)
	l := newLog(t, o, 2)
	ctx := testContext(t)
	for range 3 {
		if _, epoch, err := l.Append(ctx, partition(0), "room", []byte("old")); err != nil || epoch != 1 {
			t.Fatalf("Append: epoch %d, %v, want 1", epoch, err)
		}
	}
	tail := l.Tail()
	defer tail.Close()
	tail.Add(partition(0), 3)

	deleteTopics(t, o)
	if err := kafka.Migrate(ctx, o, settings(2)); err != nil {
		t.Fatal(err)
	}

	batches, err := tail.Next(ctx)
	if err != nil || len(batches) != 1 || !errors.Is(batches[0].Err, chat.ErrEpochChanged) {
		t.Errorf("Next: %+v, %v, want %v", batches, err, chat.ErrEpochChanged)
	}
	r, epoch, err := l.Append(ctx, partition(0), "room", []byte("new"))
	if err != nil || epoch != 2 || r.Offset != 0 {
		t.Errorf("Append: offset %d, epoch %d, %v, want 0 and 2", r.Offset, epoch, err)
	}
	bounds, err := l.Bounds(ctx, partition(0))
	if want := (chat.Bounds{Epoch: 2, First: 0, Next: 1}); err != nil || bounds != want {
		t.Errorf("Bounds: %+v, %v, want %+v", bounds, err, want)
	}
	batch, err := l.Read(ctx, partition(0), 0, 1)
	if err != nil || batch.Epoch != 2 || len(batch.Records) != 1 {
		t.Errorf("Read: %+v, %v, want one record in epoch 2", batch, err)
	}
	tail.Add(partition(0), 0)
	if got := nextRecord(ctx, t, tail); string(got.Value) != "new" {
		t.Errorf("the tail has %q, want %q", got.Value, "new")
	}
}

// TestRecreatedUnnoticed asks a log for nothing else while its topic is
// recreated.
func TestRecreatedUnnoticed(t *testing.T) {
	tests := []struct {
		name string
		ask  func(context.Context, *kafka.Log) (uint32, error)
	}{
		{"append", func(ctx context.Context, l *kafka.Log) (uint32, error) {
			_, epoch, err := l.Append(ctx, partition(1), "room", []byte("x"))
			return epoch, err
		}},
		{"bounds", func(ctx context.Context, l *kafka.Log) (uint32, error) {
			b, err := l.Bounds(ctx, partition(1))
			return b.Epoch, err
		}},
		{"read", func(ctx context.Context, l *kafka.Log) (uint32, error) {
			b, err := l.Read(ctx, partition(1), 0, 1)
			return b.Epoch, err
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := options(t)
			l := newLog(t, o, 2)
			ctx := testContext(t)
			deleteTopics(t, o)
			if err := kafka.Migrate(ctx, o, settings(2)); err != nil {
				t.Fatal(err)
			}
			if epoch, err := test.ask(ctx, l); err != nil || epoch != 2 {
				t.Errorf("epoch %d, %v, want 2", epoch, err)
			}
		})
	}
}

func TestWrongSettings(t *testing.T) {
	o := options(t)
	ctx := testContext(t)
	if _, err := kafka.Open(ctx, o); err == nil || !strings.Contains(err.Error(), "migrate") {
		t.Errorf("Open without topics: %v, want that migrate is needed", err)
	}
	problems, err := kafka.Check(ctx, o)
	if err != nil || len(problems) != 3 {
		t.Errorf("Check without topics: %v, %v, want 3 problems", problems, err)
	}

	name := o.TopicPrefix + ".messages"
	answer, err := admin(t).CreateTopics(ctx, &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{{
		Topic: name, NumPartitions: 2, ReplicationFactor: 1,
		ConfigEntries: []kafkago.ConfigEntry{
			{ConfigName: "cleanup.policy", ConfigValue: "compact"},
			{ConfigName: "unclean.leader.election.enable", ConfigValue: "true"},
			{ConfigName: "max.message.bytes", ConfigValue: "1000"},
			{ConfigName: "retention.ms", ConfigValue: "60000"},
			{ConfigName: "retention.bytes", ConfigValue: "1000"},
		},
	}}})
	if err == nil {
		err = answer.Errors[name]
	}
	if err != nil {
		t.Fatal(err)
	}
	// Make the others.
	for _, topic := range []string{".rooms", ".signals"} {
		answer, err := admin(t).CreateTopics(ctx, &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{{
			Topic: o.TopicPrefix + topic, NumPartitions: 1, ReplicationFactor: 1,
		}}})
		if err == nil {
			err = answer.Errors[o.TopicPrefix+topic]
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	wrong := []string{"message.timestamp.type", "cleanup.policy", "unclean.leader.election.enable",
		"max.message.bytes", "retention.bytes", "retention.ms"}
	_, err = kafka.Open(ctx, o)
	var mismatch *kafka.MismatchError
	if !errors.As(err, &mismatch) {
		t.Fatalf("Open: %v, want a MismatchError", err)
	}
	for _, setting := range wrong {
		i := slices.IndexFunc(mismatch.Problems, func(p kafka.Problem) bool { return p.Topic == name && p.Setting == setting })
		if i < 0 {
			t.Errorf("Open: %v, want a problem with %s", err, setting)
			continue
		}
		if p := mismatch.Problems[i]; p.Got == "" || p.Want == "" || !strings.Contains(err.Error(), p.String()) {
			t.Errorf("problem %+v is not told by %v", p, err)
		}
	}

	if err := kafka.Migrate(ctx, o, settings(2)); err != nil {
		t.Fatal(err)
	}
	if problems, err := kafka.Check(ctx, o); err != nil || len(problems) > 0 {
		t.Errorf("Check after Migrate: %v, %v, want none", problems, err)
	}
	openLog(t, o)
}

func TestMigrate(t *testing.T) {
	o := options(t)
	ctx := testContext(t)
	steps := []struct {
		name           string
		partitions     int32
		at             int // how many at once
		wantPartitions int32
	}{
		{"creates", 2, 3, 2},
		{"grows", 5, 2, 5},
		{"does not shrink", 1, 1, 5},
	}
	var opened *kafka.Log
	for _, step := range steps {
		failed := make(chan error)
		for range step.at {
			go func() { failed <- kafka.Migrate(ctx, o, settings(step.partitions)) }()
		}
		for range step.at {
			if err := <-failed; err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
		}
		if opened == nil {
			opened = openLog(t, o)
		}
		if n, err := openLog(t, o).Partitions(ctx, chat.TopicRooms); err != nil || n != step.wantPartitions {
			t.Errorf("%s: %d partitions, %v, want %d", step.name, n, err, step.wantPartitions)
		}
		// An open log finds a new partition when it is asked for.
		last := partition(step.wantPartitions - 1)
		if _, _, err := opened.Append(ctx, last, "room", []byte("x")); err != nil {
			t.Errorf("%s: Append(%s): %v", step.name, last, err)
		}
	}
	if _, _, err := opened.Append(ctx, partition(99), "room", nil); !errors.Is(err, chat.ErrUnavailable) {
		t.Errorf("Append to no partition: %v, want %v", err, chat.ErrUnavailable)
	}
}

// alter sets a setting of the messages' topic.
func alter(t *testing.T, o kafka.Options, name, value string) {
	t.Helper()
	answer, err := admin(t).IncrementalAlterConfigs(testContext(t), &kafkago.IncrementalAlterConfigsRequest{
		Resources: []kafkago.IncrementalAlterConfigsRequestResource{{
			ResourceType: kafkago.ResourceTypeTopic, ResourceName: o.TopicPrefix + ".messages",
			Configs: []kafkago.IncrementalAlterConfigsRequestConfig{{Name: name, Value: value}},
		}},
	})
	if err == nil {
		err = answer.Resources[0].Error
	}
	if err != nil {
		t.Fatalf("set %s=%s: %v", name, value, err)
	}
}

// TestSmallerMessages lets the broker accept less than the log was told at
// first.
func TestSmallerMessages(t *testing.T) {
	o := options(t)
	l := newLog(t, o, 1)
	ctx := testContext(t)
	alter(t, o, "max.message.bytes", "2000")
	large := make([]byte, 3000)
	for {
		_, _, err := l.Append(ctx, partition(0), "room", large)
		if errors.Is(err, chat.ErrRecordTooLarge) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var group sync.WaitGroup
	for i := range 50 {
		group.Go(func() {
			value, want := make([]byte, 300), error(nil)
			if i%10 == 0 {
				value, want = large, chat.ErrRecordTooLarge
			}
			if _, _, err := l.Append(ctx, partition(0), "room", value); !errors.Is(err, want) {
				t.Errorf("Append of %d bytes: %v, want %v", len(value), err, want)
			}
		})
	}
	group.Wait()
}
