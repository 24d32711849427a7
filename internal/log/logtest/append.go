package logtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

func appendThenRead(t *testing.T, f fixture) {
	values := [][]byte{[]byte("hello"), {}, {0, 0xff, '\n'}, bytes.Repeat([]byte("x"), 100_000)}
	for _, p := range f.partitions(t, chat.Topics()...) {
		from := f.bounds(t, p).Next
		var want []chat.Record
		for _, value := range values {
			before := time.Now()
			r, epoch, err := f.Append(f.ctx, p, f.key, value)
			if err != nil {
				t.Fatalf("Append(%s): %v", p, err)
			}
			if r.Key != f.key || !bytes.Equal(r.Value, value) {
				t.Errorf("Append(%s) returned %s, want key %q and value %.60q", p, text(r), f.key, value)
			}
			if got := r.Time.Truncate(time.Millisecond); !got.Equal(r.Time) {
				t.Errorf("Append(%s) at %v, want whole milliseconds", p, r.Time)
			}
			// A broker's clock may differ from ours, but not by hours.
			if d := r.Time.Sub(before).Abs(); d > time.Hour {
				t.Errorf("Append(%s) at %v, want about %v", p, r.Time, before)
			}
			if want := f.bounds(t, p).Epoch; epoch != want {
				t.Errorf("Append(%s) in epoch %d, want that of Bounds, %d", p, epoch, want)
			}
			want = append(want, r)
		}
		checkEqual(t, p.String(), f.readAll(t, p, from), want)
	}
}

func offsetsRise(t *testing.T, f fixture) {
	for _, p := range f.partitions(t, chat.Topics()...) {
		if err := checkRising(f.appendMany(t, p, 20)); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
}

func boundsAfterAppend(t *testing.T, f fixture) {
	for _, p := range f.partitions(t, chat.Topics()...) {
		before := f.bounds(t, p)
		r := f.append(t, p, "one")
		after := f.bounds(t, p)
		if r.Offset < before.Next || r.Offset >= after.Next {
			t.Errorf("%s: appended at %d, want from %d to below %d", p, r.Offset, before.Next, after.Next)
		}
		if after.First > r.Offset || after.First < before.First {
			t.Errorf("%s: First went from %d to %d with a record at %d", p, before.First, after.First, r.Offset)
		}
	}
}

func notAliased(t *testing.T, f fixture) {
	p := f.partitions(t, chat.TopicMessages)[0]
	buf := []byte("before")
	r, _, err := f.Append(f.ctx, p, f.key, buf)
	if err != nil {
		t.Fatal(err)
	}
	copy(buf, "AFTER!")
	if got := string(r.Value); got != "before" {
		t.Errorf("record of Append has %q once the caller reuses its buffer, want %q", got, "before")
	}
	if got := string(f.readAll(t, p, r.Offset)[0].Value); got != "before" {
		t.Errorf("Read has %q once the caller reuses its buffer, want %q", got, "before")
	}
}

func tooLarge(t *testing.T, f fixture) {
	for _, p := range f.partitions(t, chat.Topics()...) {
		from := f.bounds(t, p).Next
		_, _, err := f.Append(f.ctx, p, f.key, make([]byte, f.backend.TooLarge))
		if !errors.Is(err, chat.ErrRecordTooLarge) {
			t.Errorf("Append(%s) of %d bytes: %v, want %v", p, f.backend.TooLarge, err, chat.ErrRecordTooLarge)
		}
		want := f.append(t, p, "after it")
		checkEqual(t, p.String(), f.readAll(t, p, from), []chat.Record{want})
	}
}

func cancelledAppend(t *testing.T, f fixture) {
	p := f.partitions(t, chat.TopicMessages)[0]
	from := f.bounds(t, p).Next
	cancelled, cancel := context.WithCancel(f.ctx)
	cancel()
	if _, _, err := f.Append(cancelled, p, f.key, []byte("x")); err == nil {
		t.Error("Append with a cancelled context succeeded, want an error")
	}

	// Here the cancellation comes at any moment of the append.
	outcomes := make(map[string]bool) // value: acknowledged
	var mu sync.Mutex                 // guards outcomes
	var group sync.WaitGroup
	for i := range 50 {
		ctx, cancel := context.WithCancel(f.ctx)
		value := fmt.Sprintf("cancelled %d", i)
		group.Go(func() {
			_, _, err := f.Append(ctx, p, f.key, []byte(value))
			if err != nil && !errors.Is(err, chat.ErrOutcomeUnknown) && !errors.Is(err, chat.ErrUnavailable) {
				t.Errorf("Append: %v, want %v", err, chat.ErrOutcomeUnknown)
			}
			mu.Lock()
			defer mu.Unlock()
			outcomes[value] = err == nil
		})
		group.Go(cancel)
	}
	group.Wait()
	last := f.append(t, p, "still usable")

	seen := make(map[string]int)
	records := f.readAll(t, p, from)
	for _, r := range records {
		seen[string(r.Value)]++
	}
	for value, acknowledged := range outcomes {
		if n := seen[value]; n > 1 || acknowledged && n == 0 {
			t.Errorf("%q (acknowledged: %v) stands in the log %d times", value, acknowledged, n)
		}
	}
	if got := records[len(records)-1]; text(got) != text(last) {
		t.Errorf("last record is %s, want %s", text(got), text(last))
	}
}

func concurrentAppends(t *testing.T, f fixture) {
	const writers, each = 8, 25
	all := f.partitions(t, chat.Topics()...)
	from := make(map[chat.Partition]int64)
	appended := make(map[chat.Partition]map[int64]chat.Record)
	for _, p := range all {
		from[p] = f.bounds(t, p).Next
		appended[p] = make(map[int64]chat.Record)
	}
	var mu sync.Mutex // guards the inner maps of appended
	var group sync.WaitGroup
	for _, p := range all {
		for w := range writers {
			group.Go(func() {
				last := int64(-1)
				for i := range each {
					r, _, err := f.Append(f.ctx, p, f.key, fmt.Appendf(nil, "%d/%d", w, i))
					if err != nil {
						t.Errorf("Append(%s): %v", p, err)
						return
					}
					if r.Offset <= last {
						t.Errorf("Append(%s) at %d after one at %d had returned", p, r.Offset, last)
					}
					last = r.Offset
					mu.Lock()
					if other, ok := appended[p][r.Offset]; ok {
						t.Errorf("%s: %s and %s have one offset", p, text(other), text(r))
					}
					appended[p][r.Offset] = r
					mu.Unlock()
				}
			})
		}
	}
	group.Wait()
	for _, p := range all {
		records := f.readAll(t, p, from[p])
		if err := checkRising(records); err != nil {
			t.Errorf("%s: %v", p, err)
		}
		var want []chat.Record
		for _, r := range records {
			want = append(want, appended[p][r.Offset])
		}
		checkEqual(t, p.String(), records, want)
		if got := len(records); got != writers*each {
			t.Errorf("%s: read %d records, want %d", p, got, writers*each)
		}
		checkEqual(t, p.String()+" read again", f.readAll(t, p, from[p]), records)
	}
}

func reopenKeeps(t *testing.T, f fixture) {
	all := f.partitions(t, chat.Topics()...)
	want := make(map[chat.Partition][]chat.Record)
	bounds := make(map[chat.Partition]chat.Bounds)
	for _, p := range all {
		want[p] = f.appendMany(t, p, 10)
		bounds[p] = f.bounds(t, p)
	}
	f.Log = f.backend.Reopen(t, f.Log)
	for _, p := range all {
		if got := f.bounds(t, p); got != bounds[p] {
			t.Errorf("%s: bounds %+v after reopening, want %+v", p, got, bounds[p])
		}
		checkEqual(t, p.String(), f.readAll(t, p, want[p][0].Offset), want[p])
		last := want[p][len(want[p])-1]
		if err := checkRising([]chat.Record{last, f.append(t, p, "after reopening")}); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
}
