package logtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/chatcluster/chatcluster/internal/chat"
)

func tailFromTheMiddle(t *testing.T, f fixture) {
	for _, p := range f.partitions(t, chat.Topics()...) {
		want := f.appendMany(t, p, 10)[4:]
		tail := f.Tail()
		tail.Add(p, want[0].Offset)
		got, err := follow(f.ctx, tail, p, len(want))
		if err != nil {
			t.Errorf("%s: %v", p, err)
		}
		checkEqual(t, p.String(), got, want)
		tail.Close()
	}
}

func tailWaits(t *testing.T, f fixture) {
	tail := f.Tail()
	defer tail.Close()
	all := f.partitions(t, chat.Topics()...)
	for _, p := range all {
		tail.Add(p, f.bounds(t, p).Next)
	}
	for _, p := range all {
		appended := make(chan chat.Record, 1)
		go func() {
			r, _, err := f.Append(f.ctx, p, f.key, []byte("wake up"))
			if err != nil {
				t.Errorf("Append(%s): %v", p, err)
			}
			appended <- r
		}()
		got, err := follow(f.ctx, tail, p, 1)
		if err != nil {
			t.Errorf("%s: %v", p, err)
		}
		checkEqual(t, p.String(), got, []chat.Record{<-appended})
	}
}

func tailOutOfRange(t *testing.T, f fixture) {
	p := f.partitions(t, chat.TopicMessages)[0]
	f.append(t, p, "one")
	bounds := f.bounds(t, p)
	for _, from := range []int64{bounds.First - 1, bounds.Next + 1<<40} {
		tail := f.Tail()
		tail.Add(p, from)
		batches, err := tail.Next(f.ctx)
		if err != nil || len(batches) != 1 {
			t.Fatalf("Next from %d: %d batches, %v, want 1", from, len(batches), err)
		}
		if b := batches[0]; b.Partition != p || len(b.Records) > 0 || !errors.Is(b.Err, chat.ErrOffsetOutOfRange) {
			t.Errorf("Next from %d: batch of %s, %d records, error %v, want %v",
				from, b.Partition, len(b.Records), b.Err, chat.ErrOffsetOutOfRange)
		}
		// It was removed by that, and may be added again.
		want := f.append(t, p, "again")
		tail.Add(p, want.Offset)
		got, err := follow(f.ctx, tail, p, 1)
		if err != nil {
			t.Error(err)
		}
		checkEqual(t, p.String(), got, []chat.Record{want})
		tail.Close()
	}
}

func cancelledNext(t *testing.T, f fixture) {
	tail := f.Tail()
	defer tail.Close()
	p := f.partitions(t, chat.TopicMessages)[0]
	tail.Add(p, f.bounds(t, p).Next)
	ctx, cancel := context.WithCancel(f.ctx)
	failed := make(chan error, 1)
	go func() {
		_, err := tail.Next(ctx)
		failed <- err
	}()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("Next: %v, want %v", err, context.Canceled)
	}
	want := f.append(t, p, "after it")
	got, err := follow(f.ctx, tail, p, 1)
	if err != nil {
		t.Error(err)
	}
	checkEqual(t, p.String(), got, []chat.Record{want})
}

// appendAside appends n records to each partition from several goroutines and
// returns a function that waits for them.
func appendAside(t *testing.T, f fixture, all []chat.Partition, n int) (wait func()) {
	const writers = 4
	var group sync.WaitGroup
	for _, p := range all {
		for w := range writers {
			group.Go(func() {
				for i := range n / writers {
					if _, _, err := f.Append(f.ctx, p, f.key, fmt.Appendf(nil, "%d/%d", w, i)); err != nil {
						t.Errorf("Append(%s): %v", p, err)
						return
					}
				}
			})
		}
	}
	return group.Wait
}

func tailsAgree(t *testing.T, f fixture) {
	const n, tails = 200, 3
	all := f.partitions(t, chat.Topics()...)
	from := make(map[chat.Partition]int64)
	for _, p := range all {
		from[p] = f.bounds(t, p).Next
	}
	wait := appendAside(t, f, all, n)
	seen := make([]map[chat.Partition][]chat.Record, tails)
	var group sync.WaitGroup
	for i := range tails {
		group.Go(func() {
			tail := f.Tail()
			defer tail.Close()
			for _, p := range all {
				tail.Add(p, from[p])
			}
			seen[i] = followAll(t, f, tail, n*len(all))
		})
	}
	group.Wait()
	wait()
	for _, p := range all {
		want := f.readAll(t, p, from[p])
		for i := range tails {
			checkEqual(t, fmt.Sprintf("tail %d of %s", i, p), seen[i][p], want)
		}
	}
}

// followAll reads a tail until it has brought n records in all.
func followAll(t *testing.T, f fixture, tail chat.Tail, n int) map[chat.Partition][]chat.Record {
	seen := make(map[chat.Partition][]chat.Record)
	for total := 0; total < n; {
		batches, err := tail.Next(f.ctx)
		if err != nil {
			t.Errorf("Next after %d of %d records: %v", total, n, err)
			return seen
		}
		for _, b := range batches {
			if b.Err != nil {
				t.Errorf("batch of %s: %v", b.Partition, b.Err)
				return seen
			}
			seen[b.Partition] = append(seen[b.Partition], b.Records...)
			total += len(b.Records)
		}
	}
	return seen
}

// addRemoveDuringNext adds and removes partitions while another goroutine is
// in Next, and goes on where it left off each time: what comes then has no gap.
func addRemoveDuringNext(t *testing.T, f fixture) {
	const n = 200
	all := f.partitions(t, chat.TopicMessages, chat.TopicRooms)
	from := make(map[chat.Partition]int64)
	for _, p := range all {
		from[p] = f.bounds(t, p).Next
	}
	tail := f.Tail()
	defer tail.Close()
	// The churned partition is the last; the others must not be disturbed.
	churned, steady := all[len(all)-1], all[:len(all)-1]
	for _, p := range steady {
		tail.Add(p, from[p])
	}
	wait := appendAside(t, f, all, n)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				tail.Add(churned, from[churned])
				tail.Remove(churned)
			}
		}
	}()
	seen := make(map[chat.Partition][]chat.Record)
	for total := 0; total < n*len(steady); {
		batches, err := tail.Next(f.ctx)
		if err != nil {
			t.Fatalf("Next after %d of %d records: %v", total, n*len(steady), err)
		}
		for _, b := range batches {
			if b.Err != nil {
				t.Fatalf("batch of %s: %v", b.Partition, b.Err)
			}
			if b.Partition != churned {
				seen[b.Partition] = append(seen[b.Partition], b.Records...)
				total += len(b.Records)
			}
		}
	}
	close(stop)
	<-stopped
	wait()
	for _, p := range steady {
		checkEqual(t, p.String(), seen[p], f.readAll(t, p, from[p]))
	}

	// Added once more, the churned one comes as a whole. A batch from before
	// its last Remove may come first.
	want := f.readAll(t, churned, from[churned])
	tail.Add(churned, from[churned])
	var got []chat.Record
	for len(got) < len(want) {
		batches, err := tail.Next(f.ctx)
		if err != nil {
			t.Fatalf("Next after %d of %d records: %v", len(got), len(want), err)
		}
		for _, b := range batches {
			if len(b.Records) > 0 && b.Partition == churned {
				if b.Records[0].Offset == want[0].Offset {
					got = nil
				}
				got = append(got, b.Records...)
			}
		}
	}
	checkEqual(t, churned.String(), got, want)
}
