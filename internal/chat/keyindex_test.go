package chat

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// sliceLog is one partition in memory, read in batches of a thousand.
type sliceLog struct {
	LogReader
	records []Record
}

func (l *sliceLog) Bounds(context.Context, Partition) (Bounds, error) {
	return Bounds{Epoch: 1, Next: l.records[len(l.records)-1].Offset + 1}, nil
}

func (l *sliceLog) Read(_ context.Context, p Partition, from int64, _ int) (Batch, error) {
	i, _ := slices.BinarySearchFunc(l.records, from, func(r Record, from int64) int { return int(r.Offset - from) })
	records := l.records[i:min(i+1000, len(l.records))]
	return Batch{Partition: p, Epoch: 1, Records: records, Next: records[len(records)-1].Offset + 1}, nil
}

// The key index tells a repeat as a fold of the whole log does, in whatever
// order it is asked, or says that it has forgotten.
func TestKeyIndexInAnyOrder(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	log := &sliceLog{}
	repeats := map[int64]bool{}
	var events []Event
	whole := NewFold()
	for offset := int64(0); offset < 8*FoldWindow; offset += 1 + random.Int64N(64) {
		ev := Event{Kind: EventMessage, Room: "r", Key: fmt.Sprint(random.IntN(600))}
		log.records = append(log.records, Record{Offset: offset, Key: "r", Value: AppendEvent(nil, ev)})
		events = append(events, ev)
		repeats[offset] = whole.Apply(offset, &ev) != offset
	}
	end := log.records[len(log.records)-1].Offset
	index := newKeyIndex(log)
	answered := 0
	for range 500 {
		i := random.IntN(len(log.records))
		offset := log.records[i].Offset
		first, err := index.first(t.Context(), Partition{}, 1, offset, events[i])
		if errors.Is(err, errForgotten) {
			if offset >= end-foldReach {
				t.Fatalf("offset %d is forgotten, and the end is %d", offset, end)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		answered++
		if got := first != offset; got != repeats[offset] {
			t.Fatalf("offset %d is a repeat: got %t, want %t", offset, got, repeats[offset])
		}
	}
	if answered < 100 {
		t.Errorf("got %d answers of 500, want more", answered)
	}
}
