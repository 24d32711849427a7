package local_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/log/local"
)

func TestLock(t *testing.T) {
	dir := t.TempDir()
	openLog(t, dir, local.Options{})
	if _, err := local.Open(dir, local.Options{}); !errors.Is(err, local.ErrLocked) {
		t.Errorf("second Open in the process: %v, want %v", err, local.ErrLocked)
	}
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), killDir+"="+dir)
	out, err := child.CombinedOutput()
	if err != nil || !strings.Contains(string(out), local.ErrLocked.Error()) {
		t.Errorf("Open in another process: %q, %v, want %q", out, err, local.ErrLocked)
	}
}

func TestPartitionsGrow(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, local.Options{})
	appendTo(t, l, messages, "value 0")
	closeLog(t, l)
	l = openLog(t, dir, local.Options{Partitions: map[chat.Topic]int32{chat.TopicMessages: 3}})
	if n, err := l.Partitions(context.Background(), chat.TopicMessages); n != 3 || err != nil {
		t.Errorf("Partitions: %d, %v, want 3", n, err)
	}
	checkPrefix(t, values(t, l, messages), 1)
	appendTo(t, l, chat.Partition{Topic: chat.TopicMessages, Number: 2}, "value 0")
	closeLog(t, l)
	_, err := local.Open(dir, local.Options{Partitions: map[chat.Topic]int32{chat.TopicMessages: 2}})
	if err == nil || !strings.Contains(err.Error(), "has 3 partitions, which cannot shrink to 2") {
		t.Errorf("Open with fewer partitions: %v, want an error that names 3 and 2", err)
	}
	if err := os.RemoveAll(dir + "/messages/2"); err != nil {
		t.Fatal(err)
	}
	_, err = local.Open(dir, local.Options{Partitions: partitions(3)})
	if !errors.Is(err, local.ErrCorrupt) || !strings.Contains(err.Error(), "2 partitions, want 3") {
		t.Errorf("Open without a partition: %v, want %v that names 2 and 3", err, local.ErrCorrupt)
	}
}

func TestOptions(t *testing.T) {
	tests := []struct {
		name    string
		options local.Options
		want    string
	}{
		{"no partitions", local.Options{Partitions: map[chat.Topic]int32{chat.TopicRooms: 0}}, "0 partitions of topic rooms"},
		{"unknown topic", local.Options{Partitions: map[chat.Topic]int32{9: 1}}, "unknown topic-9"},
		{"negative", local.Options{SegmentBytes: -1}, "negative"},
		{"queue smaller than a record", local.Options{QueueBytes: 1 << 20}, "a queue of 1048576 bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := local.Open(t.TempDir(), test.options)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Open: %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestClosed(t *testing.T) {
	ctx := context.Background()
	l := openLog(t, t.TempDir(), local.Options{})
	tail := l.Tail()
	defer tail.Close()
	tail.Add(messages, 0)
	next := make(chan error, 1)
	go func() {
		_, err := tail.Next(ctx)
		next <- err
	}()
	closeLog(t, l)
	if err := <-next; !errors.Is(err, chat.ErrUnavailable) {
		t.Errorf("Next that was waiting: %v, want %v", err, chat.ErrUnavailable)
	}
	calls := map[string]func() error{
		"Append":     func() error { _, _, err := l.Append(ctx, messages, "room", nil); return err },
		"Bounds":     func() error { _, err := l.Bounds(ctx, messages); return err },
		"Read":       func() error { _, err := l.Read(ctx, messages, 0, 1); return err },
		"Partitions": func() error { _, err := l.Partitions(ctx, chat.TopicMessages); return err },
		"Trim":       func() error { return l.Trim(ctx, messages, 0, time.Now()) },
		"Next":       func() error { _, err := tail.Next(ctx); return err },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, chat.ErrUnavailable) {
			t.Errorf("%s of a closed log: %v, want %v", name, err, chat.ErrUnavailable)
		}
	}
}

func TestUnknownPartition(t *testing.T) {
	ctx := context.Background()
	l := openLog(t, t.TempDir(), local.Options{})
	unknown := chat.Partition{Topic: chat.TopicMessages, Number: 1}
	if _, err := l.Bounds(ctx, unknown); !errors.Is(err, chat.ErrUnavailable) {
		t.Errorf("Bounds: %v, want %v", err, chat.ErrUnavailable)
	}
	tail := l.Tail()
	defer tail.Close()
	tail.Add(unknown, 0)
	batches, err := tail.Next(ctx)
	if err != nil || len(batches) != 1 || !errors.Is(batches[0].Err, chat.ErrUnavailable) {
		t.Errorf("Next: %v, %v, want one batch with %v", batches, err, chat.ErrUnavailable)
	}
}

// Closing while appends come in from everywhere: what was acknowledged is there.
func TestCloseDuringAppends(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, local.Options{})
	acknowledged := make(chan int, 8)
	started := make(chan struct{}, 8)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for n := 0; ; n++ {
				if _, _, err := l.Append(context.Background(), messages, "room", []byte("x")); err != nil {
					if !errors.Is(err, chat.ErrUnavailable) {
						t.Errorf("Append: %v, want %v", err, chat.ErrUnavailable)
					}
					acknowledged <- n
					return
				}
				if n == 3 {
					started <- struct{}{}
				}
			}
		})
	}
	for range 8 {
		<-started
	}
	closeLog(t, l)
	group.Wait()
	want := 0
	for range 8 {
		want += <-acknowledged
	}
	if got := len(values(t, openLog(t, dir, local.Options{}), messages)); got != want {
		t.Errorf("log holds %d records, want the %d acknowledged ones", got, want)
	}
}

// clock is a clock that tests set.
type clock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newClock() *clock { return &clock{now: time.Unix(1_700_000_000, 123_456_789)} }

func TestTimeNeverDecreases(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	l := openLog(t, dir, local.Options{Now: c.Now})
	first := appendTo(t, l, messages, "one").Time
	if want := time.UnixMilli(1_700_000_000_123); !first.Equal(want) {
		t.Errorf("time %v, want %v", first, want)
	}
	c.move(-time.Hour)
	if got := appendTo(t, l, messages, "two").Time; !got.Equal(first) {
		t.Errorf("time %v once the clock went back, want %v", got, first)
	}
	closeLog(t, l)
	l = openLog(t, dir, local.Options{Now: c.Now})
	if got := appendTo(t, l, messages, "three").Time; !got.Equal(first) {
		t.Errorf("time %v after opening anew, want %v", got, first)
	}
}

func TestTrim(t *testing.T) {
	rooms := chat.Partition{Topic: chat.TopicRooms}
	start := newClock().now
	tests := []struct {
		name      string
		partition chat.Partition
		below     int64
		olderThan time.Time
		// first is the first offset that stays. Each record is a segment;
		// record i is appended i hours after start, the trim is 10 hours after.
		first int64
	}{
		{"nothing below", messages, 0, start.Add(24 * time.Hour), 0},
		{"below an offset", messages, 4, start.Add(24 * time.Hour), 4},
		{"older than a time", messages, math.MaxInt64, start.Add(3*time.Hour + time.Minute), 4},
		{"both count", messages, 3, start.Add(5 * time.Hour), 3},
		{"all of it", messages, 10, start.Add(24 * time.Hour), 10},
		{"retention alone", rooms, 0, time.Time{}, 8},
		{"retention and an older time", rooms, 2, start.Add(24 * time.Hour), 8},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ctx, c, dir := context.Background(), newClock(), t.TempDir()
			options := local.Options{SegmentBytes: 1, Now: c.Now}
			if test.partition == rooms {
				options.Retention = map[chat.Topic]time.Duration{chat.TopicRooms: 1000 * time.Hour}
			}
			l := openLog(t, dir, options)
			for i := range 10 {
				appendTo(t, l, test.partition, fmt.Sprintf("value %d", i))
				c.move(time.Hour)
			}
			closeLog(t, l)
			options.Retention = map[chat.Topic]time.Duration{chat.TopicRooms: 2*time.Hour + time.Minute}
			l = openLog(t, dir, options)
			tail := l.Tail()
			defer tail.Close()
			tail.Add(test.partition, 10)
			if err := l.Trim(ctx, test.partition, test.below, test.olderThan); err != nil {
				t.Fatal(err)
			}
			b, err := l.Bounds(ctx, test.partition)
			if err != nil || b.First != test.first || b.Next != 10 {
				t.Errorf("Bounds: %+v, %v, want %d to 10", b, err, test.first)
			}
			if _, err := l.Read(ctx, test.partition, test.first-1, 1); !errors.Is(err, chat.ErrOffsetOutOfRange) {
				t.Errorf("Read below: %v, want %v", err, chat.ErrOffsetOutOfRange)
			}
			if got := len(values(t, l, test.partition)); got != int(10-test.first) {
				t.Errorf("%d records stay, want %d", got, 10-test.first)
			}
			closeLog(t, l)
			l = openLog(t, dir, options)
			if r := appendTo(t, l, test.partition, "next"); r.Offset != 10 {
				t.Errorf("append after opening anew at offset %d, want 10", r.Offset)
			}
		})
	}
}

// Rolling applies the retention, and a tail that lags behind it hears of that.
func TestRetentionWhenRolling(t *testing.T) {
	rooms := chat.Partition{Topic: chat.TopicRooms}
	c := newClock()
	l := openLog(t, t.TempDir(), local.Options{SegmentBytes: 1, Now: c.Now})
	tail := l.Tail()
	defer tail.Close()
	appendTo(t, l, rooms, "old")
	tail.Add(rooms, 0)
	c.move(3 * time.Hour)
	appendTo(t, l, rooms, "new")
	if got := values(t, l, rooms); len(got) != 1 || got[0] != "new" {
		t.Errorf("log holds %q, want the new record alone", got)
	}
	batches, err := tail.Next(context.Background())
	if err != nil || len(batches) != 1 || !errors.Is(batches[0].Err, chat.ErrOffsetOutOfRange) {
		t.Errorf("Next: %v, %v, want one batch with %v", batches, err, chat.ErrOffsetOutOfRange)
	}
}

// Trimming under readers: each gets the records, or hears that they are gone.
func TestTrimDuringReads(t *testing.T) {
	ctx := context.Background()
	l := openLog(t, t.TempDir(), local.Options{SegmentBytes: 1, CacheBytes: 1})
	const n = 100
	for i := range n {
		appendTo(t, l, messages, fmt.Sprintf("value %d", i))
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for from := int64(0); from < n; {
				page, err := l.Read(ctx, messages, from, 1)
				switch {
				case errors.Is(err, chat.ErrOffsetOutOfRange):
					from++
				case err != nil:
					t.Errorf("Read(%d): %v, want the record or %v", from, err, chat.ErrOffsetOutOfRange)
					return
				default:
					if got, want := string(page.Records[0].Value), fmt.Sprintf("value %d", from); got != want {
						t.Errorf("Read(%d) is %q, want %q", from, got, want)
					}
					from = page.Next
				}
			}
		})
	}
	for below := range int64(n) {
		if err := l.Trim(ctx, messages, below, time.Now().Add(time.Hour)); err != nil {
			t.Error(err)
		}
	}
	group.Wait()
}
