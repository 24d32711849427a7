package chat_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/chatcluster/chatcluster/internal/chat"
)

func keyed(room string, sender int64, key string) *chat.Event {
	return &chat.Event{Kind: chat.EventMessage, Room: room, Sender: chat.Profile{ID: sender}, Key: key}
}

func TestFold(t *testing.T) {
	type step struct {
		offset int64
		event  *chat.Event
		want   int64
	}
	for _, tc := range []struct {
		name  string
		steps []step
	}{
		{"a repeat is the first", []step{
			{10, keyed("r", 1, "k"), 10}, {12, keyed("r", 1, "k"), 10}, {15, keyed("r", 1, "k"), 10},
		}},
		{"another room, sender or key is no repeat", []step{
			{1, keyed("r", 1, "k"), 1}, {2, keyed("s", 1, "k"), 2}, {3, keyed("r", 2, "k"), 3}, {4, keyed("r", 1, "l"), 4},
		}},
		{"no key is no repeat", []step{
			{1, keyed("r", 1, ""), 1}, {2, keyed("r", 1, ""), 2},
		}},
		{"only messages repeat", []step{
			{1, &chat.Event{Kind: chat.EventEnter, Room: "r", Key: "k"}, 1},
			{2, &chat.Event{Kind: chat.EventEnter, Room: "r", Key: "k"}, 2},
		}},
		{"the window's last offset still counts", []step{
			{0, keyed("r", 1, "k"), 0}, {chat.FoldWindow, keyed("r", 1, "k"), 0},
		}},
		{"beyond the window it is new", []step{
			{0, keyed("r", 1, "k"), 0}, {chat.FoldWindow + 1, keyed("r", 1, "k"), chat.FoldWindow + 1},
		}},
		{"a repeat is seen too, and carries the window on", []step{
			{0, keyed("r", 1, "k"), 0}, {20_000, keyed("r", 1, "k"), 0}, {40_000, keyed("r", 1, "k"), 0},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fold := chat.NewFold()
			for _, s := range tc.steps {
				if got := fold.Apply(s.offset, s.event); got != s.want {
					t.Errorf("Apply(%d): got first %d, want %d", s.offset, got, s.want)
				}
			}
		})
	}
}

// Every reader decides alike, wherever it starts: the promise that Fold makes.
func TestFoldDecidesAlikeFromAnyStart(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	type record struct {
		offset int64
		event  *chat.Event
	}
	var records []record
	for offset := int64(0); offset < 4*chat.FoldWindow; offset += 1 + random.Int64N(64) {
		records = append(records, record{offset, keyed("r", 1, fmt.Sprint(random.IntN(300)))})
	}
	repeats := map[int64]bool{}
	whole := chat.NewFold()
	for _, r := range records {
		repeats[r.offset] = whole.Apply(r.offset, r.event) != r.offset
	}
	for range 20 {
		start := random.Int64N(4 * chat.FoldWindow)
		fold := chat.NewFold()
		for _, r := range records {
			if r.offset < chat.WarmFrom(start, 0) {
				continue
			}
			if got := fold.Apply(r.offset, r.event) != r.offset; r.offset >= start && got != repeats[r.offset] {
				t.Fatalf("reader from %d: offset %d is a repeat: got %t, want %t", start, r.offset, got, repeats[r.offset])
			}
		}
	}
}

// What a fold said of a message it can say again, also where the key has been
// used anew since.
func TestFoldFirstAt(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 0))
	fold := chat.NewFold()
	said := map[int64]int64{}
	keys := map[int64]*chat.Event{}
	var last int64
	for offset := int64(0); offset < 6*chat.FoldWindow; offset += 1 + random.Int64N(512) {
		keys[offset] = keyed("r", 1, fmt.Sprint(random.IntN(200)))
		said[offset], last = fold.Apply(offset, keys[offset]), offset
	}
	for offset, first := range said {
		if offset < last-3*chat.FoldWindow {
			continue
		}
		got := fold.FirstAt(offset, "r", 1, keys[offset].Key)
		if (got == offset) != (first == offset) {
			t.Fatalf("offset %d: got first %d, want %d as Apply said", offset, got, first)
		}
	}
}
