package kafka_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/log/kafka"
	kafkago "github.com/segmentio/kafka-go"
)

const (
	benchPartitions = 8
	benchBytes      = 200
)

// BenchmarkAppend measures appends of 200 bytes to 8 partitions, each call
// waiting for its acknowledgement, beside kafka-go's bare Client.Produce with
// acks=all: "bare" gives each call a request of its own; "bare batches" is told
// 64 records at a time, and so shows what 512 callers could have at most.
func BenchmarkAppend(b *testing.B) {
	o := options(b)
	l := newLog(b, o, benchPartitions)
	transport := &kafkago.Transport{}
	defer transport.CloseIdleConnections()
	bare := &kafkago.Client{Addr: kafkago.TCP(o.Brokers...), Transport: transport, Timeout: 10 * time.Second}
	ctx := context.Background()
	value := make([]byte, benchBytes)
	appendOne := func(n int32) error {
		_, _, err := l.Append(ctx, partition(n), "room", value)
		return err
	}
	bareOne := func(n int32) error { return produceBare(ctx, bare, o, n, value, 1) }
	for _, callers := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("append/%d", callers), func(b *testing.B) { benchCallers(b, callers, 1, appendOne) })
		b.Run(fmt.Sprintf("bare/%d", callers), func(b *testing.B) { benchCallers(b, callers, 1, bareOne) })
	}
	b.Run("bare batches", func(b *testing.B) {
		benchCallers(b, benchPartitions, 64, func(n int32) error { return produceBare(ctx, bare, o, n, value, 64) })
	})
}

func produceBare(ctx context.Context, c *kafkago.Client, o kafka.Options, n int32, value []byte, count int) error {
	records := make([]kafkago.Record, count)
	for i := range records {
		records[i] = kafkago.Record{Key: kafkago.NewBytes([]byte("room")), Value: kafkago.NewBytes(value)}
	}
	answer, err := c.Produce(ctx, &kafkago.ProduceRequest{
		Topic: o.TopicPrefix + ".messages", Partition: int(n), RequiredAcks: kafkago.RequireAll,
		Records: kafkago.NewRecordReader(records...),
	})
	if err == nil {
		err = answer.Error
	}
	return err
}

// benchCallers has so many callers make b.N records, each call being of size
// records.
func benchCallers(b *testing.B, callers, size int, call func(partition int32) error) {
	var left atomic.Int64
	left.Store(int64(b.N))
	times := make([][]time.Duration, callers)
	var group sync.WaitGroup
	b.ResetTimer()
	for caller := range callers {
		group.Go(func() {
			for left.Add(-int64(size)) > -int64(size) {
				start := time.Now()
				if err := call(int32(caller % benchPartitions)); err != nil {
					b.Error(err)
					return
				}
				times[caller] = append(times[caller], time.Since(start))
			}
		})
	}
	group.Wait()
	b.StopTimer()
	all := slices.Sorted(slices.Values(slices.Concat(times...)))
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkDelivery measures from before an append until a tail over all
// partitions has returned the record, one at a time, beside the same by
// kafka-go's bare Client.Produce and Client.Fetch of one partition.
func BenchmarkDelivery(b *testing.B) {
	const partitions = 64
	o := options(b)
	l := newLog(b, o, partitions)
	ctx := context.Background()
	value := make([]byte, benchBytes)

	b.Run("tail", func(b *testing.B) {
		tail := l.Tail()
		defer tail.Close()
		for n := range int32(partitions) {
			// The first append to a partition makes files, and the first beyond
			// 4 KiB an index.
			for range 3 {
				if _, _, err := l.Append(ctx, partition(n), "room", make([]byte, 5000)); err != nil {
					b.Fatal(err)
				}
			}
			bounds, err := l.Bounds(ctx, partition(n))
			if err != nil {
				b.Fatal(err)
			}
			tail.Add(partition(n), bounds.Next)
		}
		n := int32(0)
		benchCallers(b, 1, 1, func(int32) error {
			n = (n + 1) % partitions
			if _, _, err := l.Append(ctx, partition(n), "room", value); err != nil {
				return err
			}
			_, err := tail.Next(ctx)
			return err
		})
	})
	b.Run("bare", func(b *testing.B) {
		transport := &kafkago.Transport{}
		defer transport.CloseIdleConnections()
		bare := &kafkago.Client{Addr: kafkago.TCP(o.Brokers...), Transport: transport, Timeout: 10 * time.Second}
		bounds, err := l.Bounds(ctx, partition(0))
		if err != nil {
			b.Fatal(err)
		}
		offset := bounds.Next
		benchCallers(b, 1, 1, func(int32) error {
			if err := produceBare(ctx, bare, o, 0, value, 1); err != nil {
				return err
			}
			answer, err := bare.Fetch(ctx, &kafkago.FetchRequest{
				Topic: o.TopicPrefix + ".messages", Partition: 0, Offset: offset,
				MinBytes: 1, MaxBytes: 1 << 20, MaxWait: 500 * time.Millisecond,
			})
			offset++
			if err == nil {
				err = answer.Error
			}
			return err
		})
	})
}
