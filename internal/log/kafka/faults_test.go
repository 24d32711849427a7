package kafka_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/log/kafka"
)

// faults makes connections that fail on purpose.
type faults struct {
	mu sync.Mutex // guards what follows
	// every is how many produce requests pass for one that fails; 0 is none.
	every int
	// kinds of failures, which take turns.
	kinds    []fault
	requests int
	failures int
	// unreachable refuses new connections and breaks the others.
	unreachable bool
}

type fault string

const (
	cutBefore  fault = "cut before the request"
	cutWithin  fault = "cut within the request"
	loseAnswer fault = "answer lost, connection closed"
	noAnswer   fault = "answer lost, connection half open"
)

func (f *faults) set(every int, kinds ...fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.every, f.kinds = every, kinds
}

func (f *faults) setUnreachable(unreachable bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unreachable = unreachable
}

func (f *faults) isUnreachable() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.unreachable
}

func (f *faults) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failures
}

// next says how the next produce request fails, or "".
func (f *faults) next() fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests++
	if f.every == 0 || f.requests%f.every != 0 {
		return ""
	}
	f.failures++
	return f.kinds[f.failures%len(f.kinds)]
}

var errUnreachable = errors.New("unreachable on purpose")

func (f *faults) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if f.isUnreachable() {
		return nil, errUnreachable
	}
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &faultyConn{Conn: c, faults: f}, nil
}

// faultyConn carries one request at a time, each in one Write.
type faultyConn struct {
	net.Conn
	faults *faults
	// doomed is how the request on its way fails.
	doomed fault
}

func (c *faultyConn) Write(b []byte) (int, error) {
	if c.faults.isUnreachable() {
		c.Close()
		return 0, errUnreachable
	}
	const produceKey = 0
	if len(b) > 6 && binary.BigEndian.Uint16(b[4:]) == produceKey {
		c.doomed = c.faults.next()
	}
	switch c.doomed {
	case cutBefore:
		c.Close()
		return 0, net.ErrClosed
	case cutWithin:
		n, _ := c.Conn.Write(b[:len(b)/2])
		c.Close()
		return n, net.ErrClosed
	}
	return c.Conn.Write(b)
}

func (c *faultyConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		return n, err
	}
	switch c.doomed {
	case loseAnswer: // the broker has done it by now
		c.Close()
		return 0, net.ErrClosed
	case noAnswer:
		for err == nil {
			_, err = c.Conn.Read(b) // until the deadline
		}
		return 0, err
	}
	return n, nil
}

func TestLostAcknowledgements(t *testing.T) {
	tests := []struct {
		name  string
		kinds []fault
	}{
		{"cut before the request", []fault{cutBefore}},
		{"cut within the request", []fault{cutWithin}},
		{"answer lost", []fault{loseAnswer}},
		{"half open", []fault{noAnswer}},
		{"all of them", []fault{cutBefore, loseAnswer, cutWithin, noAnswer}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			const partitions, callers, each = 4, 8, 20
			var f faults
			o := options(t)
			o.Dial = f.dial
			o.RequestTimeout = 300 * time.Millisecond
			o.AppendTimeout = time.Minute
			l := newLog(t, o, partitions)
			ctx := testContext(t)
			f.set(5, test.kinds...)

			var mu sync.Mutex // guards want
			want := map[string]chat.Record{}
			var group sync.WaitGroup
			for caller := range callers {
				group.Go(func() {
					for i := range each {
						value := fmt.Sprintf("%d/%d", caller, i)
						r, _, err := l.Append(ctx, partition(int32(caller%partitions)), "room", []byte(value))
						if err != nil {
							t.Errorf("Append(%s): %v", value, err)
							return
						}
						mu.Lock()
						want[value] = r
						mu.Unlock()
					}
				})
			}
			group.Wait()
			if f.count() == 0 {
				t.Fatal("no request failed")
			}
			total := 0
			for n := range int32(partitions) {
				records, err := readAll(ctx, l, partition(n), 0)
				if err != nil {
					t.Fatal(err)
				}
				total += len(records)
				for _, got := range records {
					w := want[string(got.Value)]
					if got.Offset != w.Offset || !got.Time.Equal(w.Time) {
						t.Errorf("%s stands at %d, %v; its append returned %d, %v",
							got.Value, got.Offset, got.Time, w.Offset, w.Time)
					}
				}
			}
			if total != callers*each {
				t.Errorf("%d records of %d appends in the log, after %d failures", total, callers*each, f.count())
			}
		})
	}
}

// TestUnknownOutcome loses all answers for longer than an append may take.
func TestUnknownOutcome(t *testing.T) {
	var f faults
	o := options(t)
	o.Dial = f.dial
	o.RequestTimeout, o.AppendTimeout = 200*time.Millisecond, 500*time.Millisecond
	l := newLog(t, o, 1)
	ctx := testContext(t)
	for _, kind := range []fault{loseAnswer, noAnswer} {
		before, err := readAll(ctx, l, partition(0), 0)
		if err != nil {
			t.Fatal(err)
		}
		f.set(1, kind)
		if _, _, err := l.Append(ctx, partition(0), "room", []byte("unknown")); !errors.Is(err, chat.ErrOutcomeUnknown) {
			t.Fatalf("%s: Append: %v, want %v", kind, err, chat.ErrOutcomeUnknown)
		}
		f.set(0)
		for i := range 3 {
			if _, _, err := l.Append(ctx, partition(0), "room", fmt.Append(nil, i)); err != nil {
				t.Fatalf("%s: Append afterwards: %v", kind, err)
			}
		}
		records, err := readAll(ctx, l, partition(0), 0)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range records[len(before):] {
			got = append(got, string(r.Value))
		}
		if want := "[unknown 0 1 2]"; fmt.Sprint(got) != want {
			t.Errorf("%s: the log has %v, want %s", kind, got, want)
		}
	}
}

func TestUnreachable(t *testing.T) {
	var f faults
	o := options(t)
	o.Dial = f.dial
	o.AppendTimeout, o.ReadTimeout = 2*time.Second, 500*time.Millisecond
	o.MaxRecordBytes = 10_000
	o.QueueBytes = 20_000
	l := newLog(t, o, 2)
	ctx := testContext(t)
	tail := l.Tail()
	defer tail.Close()
	tail.Add(partition(0), 0)

	f.setUnreachable(true)
	// The queue holds two of three.
	var group sync.WaitGroup
	var mu sync.Mutex // guards atOnce
	atOnce := 0
	for range 3 {
		group.Go(func() {
			start := time.Now()
			_, _, err := l.Append(ctx, partition(0), "room", make([]byte, 9_000))
			if !errors.Is(err, chat.ErrUnavailable) {
				t.Errorf("Append: %v, want %v", err, chat.ErrUnavailable)
			}
			mu.Lock()
			defer mu.Unlock()
			switch took := time.Since(start); {
			case took < o.AppendTimeout/2:
				atOnce++
			case took > 4*o.AppendTimeout:
				t.Errorf("Append took %v, want about %v", took, o.AppendTimeout)
			}
		})
	}
	group.Wait()
	if atOnce != 1 {
		t.Errorf("%d of 3 appends to a full queue failed at once, want 1", atOnce)
	}
	if _, err := l.Bounds(ctx, partition(0)); !errors.Is(err, chat.ErrUnavailable) {
		t.Errorf("Bounds: %v, want %v", err, chat.ErrUnavailable)
	}
	if _, err := l.Read(ctx, partition(0), 0, 1); !errors.Is(err, chat.ErrUnavailable) {
		t.Errorf("Read: %v, want %v", err, chat.ErrUnavailable)
	}

	f.setUnreachable(false)
	want := appendUntilDone(ctx, t, l, partition(0), "back")
	if got := nextRecord(ctx, t, tail); string(got.Value) != "back" || got.Offset != want.Offset {
		t.Errorf("the tail has %q at %d, want %q at %d", got.Value, got.Offset, want.Value, want.Offset)
	}
	records, err := readAll(ctx, l, partition(0), 0)
	if err != nil || len(records) != 1 {
		t.Errorf("the log has %d records (%v), want 1", len(records), err)
	}
}

// appendUntilDone appends again for as long as the log is unavailable.
func appendUntilDone(ctx context.Context, t *testing.T, l *kafka.Log, p chat.Partition, value string) chat.Record {
	t.Helper()
	for {
		r, _, err := l.Append(ctx, p, "room", []byte(value))
		if err == nil {
			return r
		}
		if !errors.Is(err, chat.ErrUnavailable) || ctx.Err() != nil {
			t.Fatalf("Append(%s): %v", p, err)
		}
	}
}

func nextRecord(ctx context.Context, t *testing.T, tail chat.Tail) chat.Record {
	t.Helper()
	batches, err := tail.Next(ctx)
	if err != nil {
		t.Fatalf("Next: %v", err)
	}
	if len(batches) == 0 || len(batches[0].Records) == 0 {
		t.Fatalf("Next: %+v, want a record", batches)
	}
	return batches[0].Records[0]
}
