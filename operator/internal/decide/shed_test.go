package decide_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/operator/internal/decide"
)

func TestShed(t *testing.T) {
	added := map[string]float64{"a": 1000, "b": 1000, "c": 1000, "d": 0}
	tests := []struct {
		name string
		in   decide.Shed
		want map[string]int
	}{
		{"one was added", decide.Shed{Sockets: added}, map[string]int{"a": 25, "b": 25, "c": 25}},
		{"just added", decide.Shed{Sockets: added, Grown: start}, map[string]int{"a": 25, "b": 25, "c": 25}},
		{"added long ago", decide.Shed{Sockets: added, Grown: start.Add(-16 * time.Minute)}, nil},
		{"nobody knows when", decide.Shed{Sockets: added, Grown: time.Unix(0, 0)}, nil},
		{"shed a moment ago", decide.Shed{Sockets: added, Last: start.Add(-9 * time.Second)}, nil},
		{"one unread", decide.Shed{Sockets: added, Unreadable: 1}, nil},
		{"one ends", decide.Shed{Sockets: added, Unsettled: true}, nil},
		{"even enough", decide.Shed{Sockets: map[string]float64{"a": 1090, "b": 1000, "c": 910}}, nil},
		{"only the fuller ones, one of them barely", decide.Shed{Sockets: map[string]float64{"a": 1301, "b": 1004, "c": 695}}, map[string]int{"a": 30, "b": 1}},
		{"no more than the mean allows", decide.Shed{Sockets: map[string]float64{"a": 1200, "b": 1000.9, "c": 799.1}}, map[string]int{"a": 20}},
		{"so few that chance explains it", decide.Shed{Sockets: map[string]float64{"a": 6, "b": 2, "c": 1}}, nil},
		{"few, and all on one", decide.Shed{Sockets: map[string]float64{"a": 12, "b": 0}}, map[string]int{"a": 1}},
		{"one gateway", decide.Shed{Sockets: map[string]float64{"a": 1000}}, nil},
		{"no sockets", decide.Shed{Sockets: map[string]float64{"a": 0, "b": 0}}, nil},
		{"no gateway", decide.Shed{}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			in := test.in
			in.Now = start
			if in.Grown.IsZero() {
				in.Grown = start.Add(-time.Minute)
			}
			if got := in.Decide(); !maps.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// TestShedConverges: what is shed reconnects somewhere, until the gateways are
// even. It ends by itself, and moves little more than it must.
func TestShedConverges(t *testing.T) {
	byChance := func(random *rand.Rand, sockets map[string]float64) string {
		return fmt.Sprint(random.IntN(len(sockets)))
	}
	toTheEmptiest := func(_ *rand.Rand, sockets map[string]float64) string {
		emptiest := "0"
		for pod, n := range sockets {
			if n < sockets[emptiest] {
				emptiest = pod
			}
		}
		return emptiest
	}
	tests := []struct {
		name     string
		old, new int
		each     float64
		land     func(*rand.Rand, map[string]float64) string
		// share is the share of the moved sockets that land on new gateways.
		share float64
	}{
		{"3 and 1 by chance", 3, 1, 1000, byChance, 1. / 4},
		{"1 and 1 by chance", 1, 1, 1000, byChance, 1. / 2},
		{"10 and 10 by chance", 10, 10, 2000, byChance, 1. / 2},
		{"6 and 1 by chance", 6, 1, 5000, byChance, 1. / 7},
		{"3 and 1 to the emptiest", 3, 1, 1000, toTheEmptiest, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for seed := range uint64(20) {
				random := rand.New(rand.NewPCG(seed, 0))
				s := decide.Shed{Sockets: map[string]float64{}, Grown: start, Now: start}
				for i := range test.old + test.new {
					s.Sockets[fmt.Sprint(i)] = 0
					if i < test.old {
						s.Sockets[fmt.Sprint(i)] = test.each
					}
				}
				mean := test.each * float64(test.old) / float64(test.old+test.new)
				// Each old gateway must lose what it has above the tolerance.
				least := (test.each - 1.1*mean) * float64(test.old) / test.share
				moved, ended := 0, time.Duration(0)
				for ; s.Now.Sub(start) < time.Hour; s.Now = s.Now.Add(decide.ShedEvery) {
					shed := s.Decide()
					if len(shed) > 0 {
						s.Last, ended = s.Now, s.Now.Sub(start)
					}
					for pod, n := range shed {
						if s.Sockets[pod]-float64(n) < mean-1 {
							t.Fatalf("seed %d: %s sheds %d of %.0f, below the mean", seed, pod, n, s.Sockets[pod])
						}
						s.Sockets[pod] -= float64(n)
						moved += n
					}
					for range total(shed) {
						s.Sockets[test.land(random, s.Sockets)]++
					}
				}
				for pod, n := range s.Sockets {
					if n > 1.1*mean+1 {
						t.Errorf("seed %d: %s ends with %.0f sockets, the mean is %.0f", seed, pod, n, mean)
					}
				}
				if float64(moved) > 1.25*least+20 {
					t.Errorf("seed %d: moved %d sockets, %.0f had to be", seed, moved, least)
				}
				if ended > 12*time.Minute {
					t.Errorf("seed %d: took %s", seed, ended)
				}
				if seed == 0 {
					t.Logf("moved %d in %s, %.0f had to be; ends with %v", moved, ended, least, s.Sockets)
				}
			}
		})
	}
}

func total(shed map[string]int) (n int) {
	for _, v := range shed {
		n += v
	}
	return n
}
