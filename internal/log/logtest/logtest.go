package logtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// Backend is an adapter under test.
type Backend struct {
	// Open returns a log, which may be shared by all tests. Cleaning it up is
	// up to t.Cleanup.
	Open func(t *testing.T) chat.Log
	// Reopen closes the log and opens it again with what it held; nil if the
	// log outlives the process under test.
	Reopen func(t *testing.T, log chat.Log) chat.Log
	// TooLarge is the size of a value that is beyond the largest record.
	TooLarge int
}

// patience bounds each test; a test that needs it has failed.
const patience = 60 * time.Second

// Run runs the suite.
func Run(t *testing.T, backend Backend) {
	tests := []struct {
		name string
		run  func(*testing.T, fixture)
	}{
		{"append returns what read returns", appendThenRead},
		{"offsets and times rise", offsetsRise},
		{"bounds after append", boundsAfterAppend},
		{"pages by bytes", pagesByBytes},
		{"out of range", outOfRange},
		{"batches tell the end", batchesTellEnd},
		{"value is not aliased", notAliased},
		{"record too large", tooLarge},
		{"cancelled append", cancelledAppend},
		{"concurrent appends have one order", concurrentAppends},
		{"tail from the middle", tailFromTheMiddle},
		{"tail waits for appends", tailWaits},
		{"tail reports out of range", tailOutOfRange},
		{"cancelled next", cancelledNext},
		{"tails see the same", tailsAgree},
		{"add and remove while next waits", addRemoveDuringNext},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.run(t, newFixture(t, backend))
		})
	}
	if backend.Reopen != nil {
		t.Run("reopen keeps everything", func(t *testing.T) {
			reopenKeeps(t, newFixture(t, backend))
		})
	}
}

// fixture is a log and the helpers that fail its test.
type fixture struct {
	chat.Log
	backend Backend
	ctx     context.Context
	// key is of this test alone.
	key string
}

func newFixture(t *testing.T, backend Backend) fixture {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return fixture{Log: backend.Open(t), backend: backend, ctx: ctx, key: "room-" + rand.Text()}
}

// partitions are all partitions of the topics.
func (f fixture) partitions(t *testing.T, topics ...chat.Topic) []chat.Partition {
	t.Helper()
	var all []chat.Partition
	for _, topic := range topics {
		n, err := f.Partitions(f.ctx, topic)
		if err != nil || n < 1 {
			t.Fatalf("Partitions(%s) = %d, %v, want at least 1", topic, n, err)
		}
		for i := range n {
			all = append(all, chat.Partition{Topic: topic, Number: i})
		}
	}
	return all
}

// append appends a value and fails the test if that fails.
func (f fixture) append(t *testing.T, p chat.Partition, value string) chat.Record {
	t.Helper()
	r, _, err := f.Append(f.ctx, p, f.key, []byte(value))
	if err != nil {
		t.Fatalf("Append(%s, %q): %v", p, value, err)
	}
	return r
}

func (f fixture) appendMany(t *testing.T, p chat.Partition, n int) []chat.Record {
	t.Helper()
	var records []chat.Record
	for i := range n {
		records = append(records, f.append(t, p, fmt.Sprintf("%s %d", p, i)))
	}
	return records
}

func (f fixture) bounds(t *testing.T, p chat.Partition) chat.Bounds {
	t.Helper()
	b, err := f.Bounds(f.ctx, p)
	if err != nil {
		t.Fatalf("Bounds(%s): %v", p, err)
	}
	return b
}

// readAll reads from an offset to the end.
func (f fixture) readAll(t *testing.T, p chat.Partition, from int64) []chat.Record {
	t.Helper()
	var records []chat.Record
	for end := f.bounds(t, p).Next; from < end; {
		b, err := f.Read(f.ctx, p, from, 1<<20)
		if err != nil {
			t.Fatalf("Read(%s, %d): %v", p, from, err)
		}
		if b.Next <= from {
			t.Fatalf("Read(%s, %d) goes on at %d, want beyond: the end is %d", p, from, b.Next, end)
		}
		records = append(records, b.Records...)
		from = b.Next
	}
	return records
}

// follow reads a tail until it has brought n records of the partition, and
// checks that their offsets rise.
func follow(ctx context.Context, tail chat.Tail, p chat.Partition, n int) ([]chat.Record, error) {
	var records []chat.Record
	for len(records) < n {
		batches, err := tail.Next(ctx)
		if err != nil {
			return records, fmt.Errorf("after %d of %d records: %w", len(records), n, err)
		}
		for _, b := range batches {
			if b.Err != nil {
				return records, fmt.Errorf("batch of %s: %w", b.Partition, b.Err)
			}
			if b.Partition == p {
				records = append(records, b.Records...)
			}
		}
	}
	return records, checkRising(records)
}

func checkRising(records []chat.Record) error {
	for i := 1; i < len(records); i++ {
		a, b := records[i-1], records[i]
		if b.Offset <= a.Offset {
			return fmt.Errorf("offset %d follows %d", b.Offset, a.Offset)
		}
		if b.Time.Before(a.Time) {
			return fmt.Errorf("time %v of offset %d follows %v", b.Time, b.Offset, a.Time)
		}
	}
	return nil
}

// checkEqual fails the test if the records are not the same.
func checkEqual(t *testing.T, what string, got, want []chat.Record) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if g, w := text(got[i]), text(want[i]); g != w {
			t.Fatalf("%s: record %d of %d\n got %s\nwant %s", what, i, len(want), g, w)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%s: got %d records, want %d", what, len(got), len(want))
	}
}

func text(r chat.Record) string {
	return fmt.Sprintf("{offset %d time %d key %q value %.60q}", r.Offset, r.Time.UnixMicro(), r.Key, r.Value)
}
