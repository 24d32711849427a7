package cassandra_test

import (
	"sync"
	"testing"

	"github.com/chatcluster/chatcluster/internal/store/cassandra"
)

func epochs(t *testing.T, o cassandra.Options) {
	s := open(t, o)
	known := func(id string, want uint32) {
		t.Helper()
		if got, err := s.KnownEpoch(t.Context(), "messages", id); err != nil || got != want {
			t.Errorf("known epoch of %s: got %d, %v, want %d", id, got, err, want)
		}
	}
	known("b", 0)
	for _, tc := range []struct {
		name, topic, id string
		want            uint32
	}{
		{"first", "messages", "a", 1},
		{"again", "messages", "a", 1},
		{"recreated", "messages", "b", 2},
		{"the first once more", "messages", "a", 1},
		{"another topic", "rooms", "b", 1},
	} {
		if got, err := s.Epoch(t.Context(), tc.topic, tc.id); err != nil || got != tc.want {
			t.Errorf("%s: got %d, %v, want %d", tc.name, got, err, tc.want)
		}
	}
	known("b", 2)
}

// Whoever asks first, all get the same answer, and no two ids the same number.
func epochsOfManyAtOnce(t *testing.T, o cassandra.Options) {
	s := open(t, o)
	const ids, askers = 3, 4
	var (
		asking sync.WaitGroup
		mu     sync.Mutex // guards answers
	)
	answers := map[string]map[uint32]bool{}
	for n := range ids * askers {
		id := string(rune('a' + n%ids))
		asking.Go(func() {
			epoch, err := s.Epoch(t.Context(), "many", id)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if answers[id] == nil {
				answers[id] = map[uint32]bool{}
			}
			answers[id][epoch] = true
		})
	}
	asking.Wait()
	seen := map[uint32]string{}
	for id, epochs := range answers {
		if len(epochs) != 1 {
			t.Errorf("id %s: got epochs %v, want one", id, epochs)
		}
		for epoch := range epochs {
			if other, twice := seen[epoch]; twice {
				t.Errorf("ids %s and %s: got epoch %d for both", id, other, epoch)
			}
			seen[epoch] = id
		}
	}
}
