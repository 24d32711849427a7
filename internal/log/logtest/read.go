package logtest

import (
	"errors"
	"testing"

	"github.com/chatcluster/chatcluster/internal/chat"
)

func pagesByBytes(t *testing.T, f fixture) {
	const n, size = 40, 1000
	value := string(make([]byte, size))
	for _, p := range f.partitions(t, chat.Topics()...) {
		var want []chat.Record
		for range n {
			want = append(want, f.append(t, p, value))
		}
		for _, maxBytes := range []int{0, 1, size, 5 * size, 1 << 20} {
			var got []chat.Record
			from, end := want[0].Offset, f.bounds(t, p).Next
			for from < end {
				b, err := f.Read(f.ctx, p, from, maxBytes)
				if err != nil {
					t.Fatalf("Read(%s, %d, %d): %v", p, from, maxBytes, err)
				}
				if b.Partition != p || b.Epoch != f.bounds(t, p).Epoch || b.Err != nil {
					t.Fatalf("Read(%s) is of %s, epoch %d, error %v", p, b.Partition, b.Epoch, b.Err)
				}
				if b.Next <= from {
					t.Fatalf("Read(%s, %d, %d) has %d records and goes on at %d: want at least one",
						p, from, maxBytes, len(b.Records), b.Next)
				}
				// "About" maxBytes leaves room for keys and framing.
				if got, limit := len(b.Records), maxBytes/size+1; got > limit {
					t.Errorf("Read(%s, %d, %d) has %d records of %d bytes, want at most %d",
						p, from, maxBytes, got, size, limit)
				}
				got = append(got, b.Records...)
				from = b.Next
			}
			checkEqual(t, p.String(), got, want)
		}
		for _, i := range []int{1, n / 2, n - 1} {
			checkEqual(t, p.String()+" from the middle", f.readAll(t, p, want[i].Offset), want[i:])
		}
	}
}

func outOfRange(t *testing.T, f fixture) {
	for _, p := range f.partitions(t, chat.Topics()...) {
		f.append(t, p, "one")
		bounds := f.bounds(t, p)
		tests := []struct {
			name string
			from int64
			want error
		}{
			{"at the end", bounds.Next, nil},
			{"above the end", bounds.Next + 1, chat.ErrOffsetOutOfRange},
			{"far above the end", bounds.Next + 1<<40, chat.ErrOffsetOutOfRange},
			{"below the first", bounds.First - 1, chat.ErrOffsetOutOfRange},
		}
		for _, test := range tests {
			b, err := f.Read(f.ctx, p, test.from, 1<<20)
			if !errors.Is(err, test.want) {
				t.Errorf("%s: Read(%s, %d): %v, want %v", test.name, p, test.from, err, test.want)
			}
			if len(b.Records) > 0 || err == nil && b.Next != test.from {
				t.Errorf("%s: Read(%s, %d) has %d records and goes on at %d, want none and the same",
					test.name, p, test.from, len(b.Records), b.Next)
			}
		}
	}
}

// batchesTellEnd reads and follows partitions that do not grow meanwhile.
func batchesTellEnd(t *testing.T, f fixture) {
	for _, p := range f.partitions(t, chat.Topics()...) {
		first := f.appendMany(t, p, 10)[0].Offset
		end := f.bounds(t, p).Next
		for from := first; ; {
			b, err := f.Read(f.ctx, p, from, 1)
			if err != nil {
				t.Fatalf("Read(%s, %d): %v", p, from, err)
			}
			if b.End != end {
				t.Errorf("Read(%s, %d) ends at %d, want %d", p, from, b.End, end)
			}
			if len(b.Records) == 0 {
				break
			}
			from = b.Next
		}
		tail := f.Tail()
		tail.Add(p, first)
		for next := first; next < end; {
			batches, err := tail.Next(f.ctx)
			if err != nil || len(batches) != 1 {
				t.Fatalf("Next of %s: got %d batches, %v, want 1", p, len(batches), err)
			}
			if b := batches[0]; b.End != end {
				t.Errorf("batch of %s from %d ends at %d, want %d", p, next, b.End, end)
			}
			next = batches[0].Next
		}
		tail.Close()
	}
}
