package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/log/kafka"
	"github.com/chatcluster/chatcluster/test/backends"
	kafkago "github.com/segmentio/kafka-go"
)

// TestBrokerLoss appends and tails while brokers of three are killed, paused
// and restarted, one at a time.
func TestBrokerLoss(t *testing.T) {
	const partitions = 6
	cluster := backends.KafkaCluster(t, 3, "broker.session.timeout.ms=3000", "broker.heartbeat.interval.ms=500")
	o := kafka.Options{Brokers: cluster.Addrs(), Epochs: &epochs{}, TopicPrefix: "loss"}
	o.RequestTimeout, o.AppendTimeout = time.Second, 20*time.Second
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	s := settings(partitions)
	s.ReplicationFactor = 3
	l := newLogWith(t, o, s)
	strict := o
	strict.TopicPrefix, strict.Epochs = "strict", &epochs{}
	s.MinInsync = 3
	strictLog := newLogWith(t, strict, s)

	followed := make(chan map[int32][]chat.Record, 1)
	go func() { followed <- followToEnd(ctx, t, l, partitions) }()
	var mu sync.Mutex // guards acknowledged and unknown
	acknowledged := map[string]chat.Record{}
	unknown := map[string]bool{}
	stop := make(chan struct{})
	var group sync.WaitGroup
	for n := range int32(partitions) {
		group.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				value := fmt.Sprintf("%d/%d", n, i)
				r, _, err := l.Append(ctx, partition(n), "room", []byte(value))
				mu.Lock()
				switch {
				case err == nil:
					acknowledged[value] = r
				case errors.Is(err, chat.ErrOutcomeUnknown):
					unknown[value] = true
				case !errors.Is(err, chat.ErrUnavailable):
					t.Errorf("Append(%s): %v", value, err)
				}
				mu.Unlock()
			}
		})
	}
	// progress waits until every partition has taken more.
	progress := func(after string) {
		start := time.Now()
		for n := range int32(partitions) {
			appendUntilDone(ctx, t, l, partition(n), fmt.Sprintf("after %s", after))
		}
		t.Logf("%s: all partitions took an append after %v", after, time.Since(start).Round(time.Millisecond))
	}
	progress("the start")
	cluster.Nodes[0].Kill(t)
	progress("a kill")
	notEnoughReplicas(ctx, t, strictLog)
	cluster.Nodes[0].Restart(t)
	progress("its restart")
	appendUntilDone(ctx, t, strictLog, partition(0), "all are back")
	cluster.Nodes[1].Pause(t)
	progress("a pause")
	cluster.Nodes[1].Resume(t)
	progress("its end")
	cluster.Nodes[2].Restart(t)
	progress("a restart")
	close(stop)
	group.Wait()

	for n := range int32(partitions) {
		appendUntilDone(ctx, t, l, partition(n), lastValue)
	}

	seen := map[string]int{}
	tailed := <-followed
	for n := range int32(partitions) {
		records, err := readAll(ctx, l, partition(n), 0)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := describe(tailed[n]), describe(records); got != want {
			t.Errorf("the tail of %s has %d records, want the %d that it holds:\n%.300s\n%.300s",
				partition(n), len(tailed[n]), len(records), got, want)
		}
		for _, got := range records {
			value := string(got.Value)
			seen[value]++
			if want, ok := acknowledged[value]; ok && (want.Offset != got.Offset || !want.Time.Equal(got.Time)) {
				t.Errorf("%s stands at %d, %v; its append returned %d, %v", value, got.Offset, got.Time, want.Offset, want.Time)
			}
		}
	}
	for value := range acknowledged {
		if seen[value] != 1 {
			t.Errorf("%s was acknowledged and stands in the log %d times", value, seen[value])
		}
	}
	for value := range unknown {
		if seen[value] > 1 {
			t.Errorf("%s is of unknown outcome and stands in the log %d times", value, seen[value])
		}
	}
	t.Logf("%d acknowledged, %d unknown", len(acknowledged), len(unknown))
}

// notEnoughReplicas appends until a broker is known to be missing, and wants to
// be refused then.
func notEnoughReplicas(ctx context.Context, t *testing.T, l *kafka.Log) {
	t.Helper()
	for {
		_, _, err := l.Append(ctx, partition(0), "room", nil)
		switch {
		case errors.Is(err, kafkago.NotEnoughReplicas) && errors.Is(err, chat.ErrUnavailable):
			return
		case err == nil, errors.Is(err, chat.ErrUnavailable), errors.Is(err, chat.ErrOutcomeUnknown):
		default:
			t.Errorf("Append: %v", err)
		}
		if ctx.Err() != nil {
			t.Fatalf("Append: %v, want %v", err, kafkago.NotEnoughReplicas)
		}
	}
}

// lastValue ends a partition for followToEnd.
const lastValue = "the last one"

// followToEnd tails partitions until each has had its last value.
func followToEnd(ctx context.Context, t *testing.T, l *kafka.Log, partitions int32) map[int32][]chat.Record {
	tail := l.Tail()
	defer tail.Close()
	for n := range partitions {
		tail.Add(partition(n), 0)
	}
	all := map[int32][]chat.Record{}
	for ended := int32(0); ended < partitions; {
		batches, err := tail.Next(ctx)
		if err != nil {
			t.Errorf("Next: %v", err)
			return all
		}
		for _, b := range batches {
			if b.Err != nil {
				t.Errorf("the tail of %s: %v", b.Partition, b.Err)
				return all
			}
			all[b.Partition.Number] = append(all[b.Partition.Number], b.Records...)
			if string(b.Records[len(b.Records)-1].Value) == lastValue {
				ended++
			}
		}
	}
	return all
}
