package kafka_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// TestAddIsFetchedAtOnce adds partitions to a tail whose fetch is under way,
// which a broker answers after half a second where nothing comes.
func TestAddIsFetchedAtOnce(t *testing.T) {
	const partitions = 20
	l := newLog(t, options(t), partitions)
	ctx := testContext(t)
	tail := l.Tail()
	defer tail.Close()
	tail.Add(partition(0), 0)
	for n := range int32(partitions) {
		if _, _, err := l.Append(ctx, partition(n), "room", fmt.Append(nil, n)); err != nil {
			t.Fatal(err)
		}
	}
	nextRecord(ctx, t, tail)
	var waited time.Duration
	for n := int32(1); n < partitions; n++ {
		start := time.Now()
		tail.Add(partition(n), 0)
		if got, want := string(nextRecord(ctx, t, tail).Value), fmt.Sprint(n); got != want {
			t.Errorf("the tail has %q, want %q", got, want)
		}
		waited += time.Since(start)
	}
	// A wait for the fetch under way would take 250 ms on average.
	if limit := 100 * time.Millisecond * (partitions - 1); waited > limit {
		t.Errorf("%d partitions took %v to arrive, want at most %v", partitions-1, waited, limit)
	}
}

// TestFetchLinger follows a partition to which a record is added every few
// milliseconds: they come together, in order, and the last one does come.
func TestFetchLinger(t *testing.T) {
	const records = 40
	o := options(t)
	o.FetchLinger = 400 * time.Millisecond
	l := newLog(t, o, 1)
	ctx := testContext(t)
	tail := l.Tail()
	defer tail.Close()
	tail.Add(partition(0), 0)
	go func() {
		for i := range records {
			if _, _, err := l.Append(ctx, partition(0), "room", fmt.Append(nil, i)); err != nil {
				t.Error(err)
			}
		}
	}()
	var got []string
	answers := 0
	for ; len(got) < records; answers++ {
		batches, err := tail.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range batches {
			for _, r := range b.Records {
				got = append(got, string(r.Value))
			}
		}
	}
	for i, value := range got {
		if want := fmt.Sprint(i); value != want {
			t.Fatalf("record %d is %q, want %q", i, value, want)
		}
	}
	// One by one they would be as many as there are records; on a machine that is
	// very busy few come within a linger.
	if answers > records/2 {
		t.Errorf("%d records came in %d answers, want them together", records, answers)
	}
}

// TestSlowTail does not call Next for long: that bounds what is fetched for its
// tail, and does not hold up another one.
func TestSlowTail(t *testing.T) {
	const records, size = 400, 10_000
	o := options(t)
	o.TailBytes = 3 * size
	l := newLog(t, o, 2)
	ctx := testContext(t)
	slow, quick := l.Tail(), l.Tail()
	defer slow.Close()
	defer quick.Close()
	for n := range int32(2) {
		slow.Add(partition(n), 0)
		quick.Add(partition(n), 0)
	}
	for i := range records {
		value := append(fmt.Append(nil, i/2, " "), make([]byte, size)...)
		if _, _, err := l.Append(ctx, partition(int32(i%2)), "room", value); err != nil {
			t.Fatal(err)
		}
		checkInOrder(ctx, t, quick, 1, map[int32]int{int32(i % 2): i / 2})
	}
	checkInOrder(ctx, t, slow, records, map[int32]int{})
}

// checkInOrder reads n records of a tail, whose values count up in each
// partition from next on.
func checkInOrder(ctx context.Context, t *testing.T, tail chat.Tail, n int, next map[int32]int) {
	t.Helper()
	for n > 0 {
		batches, err := tail.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range batches {
			for _, r := range b.Records {
				var got int
				if _, err := fmt.Sscan(string(r.Value[:10]), &got); err != nil {
					t.Fatal(err)
				}
				if want := next[b.Partition.Number]; got != want {
					t.Fatalf("%s has %d, want %d", b.Partition, got, want)
				}
				next[b.Partition.Number]++
				n--
			}
		}
	}
}

// TestManyTails follows one partition with many tails, from different offsets.
func TestManyTails(t *testing.T) {
	const tails = 5
	l := newLog(t, options(t), 1)
	ctx := testContext(t)
	var all []chat.Tail
	for range tails {
		tail := l.Tail()
		defer tail.Close()
		all = append(all, tail)
	}
	for i := range tails {
		if _, _, err := l.Append(ctx, partition(0), "room", fmt.Appendf(nil, "%d          ", i)); err != nil {
			t.Fatal(err)
		}
	}
	for i, tail := range all {
		tail.Add(partition(0), int64(i))
	}
	for i, tail := range all {
		checkInOrder(ctx, t, tail, tails-i, map[int32]int{0: i})
	}
	all[2].Remove(partition(0))
	all[2].Add(partition(0), 0)
	checkInOrder(ctx, t, all[2], tails, map[int32]int{0: 0})
}
