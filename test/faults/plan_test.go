package faults_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/test/faults"
)

// lapRounds is how many rounds a lap has.
const lapRounds = 6

func planOf(seed uint64, rounds, cassandra int) []faults.Round {
	sizes := map[faults.Role]int{faults.API: 2, faults.Gateway: 2, faults.Archiver: 2, faults.Broker: 3, faults.Cassandra: cassandra}
	var plan []faults.Round
	for r := range faults.Plan(seed, sizes, 20*time.Second) {
		if len(plan) == rounds {
			break
		}
		plan = append(plan, r)
	}
	return plan
}

func TestPlanRepeats(t *testing.T) {
	first, again := planOf(7, 3*lapRounds, 3), planOf(7, 3*lapRounds, 3)
	if !reflect.DeepEqual(first, again) {
		t.Errorf("one seed gave %v and %v", first, again)
	}
	if other := planOf(8, 3*lapRounds, 3); reflect.DeepEqual(first, other) {
		t.Errorf("two seeds gave the same plan: %v", first)
	}
}

func TestPlanBreaksEverything(t *testing.T) {
	for _, tt := range []struct {
		name      string
		cassandra int
	}{{"one Cassandra node", 1}, {"three", 3}} {
		t.Run(tt.name, func(t *testing.T) {
			for seed := range uint64(50) {
				seen := map[string]bool{}
				for _, r := range planOf(seed, lapRounds, tt.cassandra) {
					for i, f := range r.Faults {
						seen[string(f.Act)+string(f.Role)] = true
						if i > 0 && f.Role == r.Faults[0].Role && f.Index == r.Faults[0].Index {
							t.Errorf("seed %d: %v has a process twice", seed, r)
						}
					}
				}
				if want := 11; len(seen) != want {
					t.Errorf("seed %d: got %d kinds of faults in a lap, want %d: %v", seed, len(seen), want, seen)
				}
			}
		})
	}
}

func TestRecoveryOrder(t *testing.T) {
	kill := func(role faults.Role) faults.Fault { return faults.Fault{Act: faults.Kill, Role: role} }
	pause := func(role faults.Role) faults.Fault { return faults.Fault{Act: faults.Pause, Role: role} }
	for _, tt := range []struct {
		name         string
		faults, want []faults.Fault
	}{
		{"backends before their users", []faults.Fault{kill(faults.API), kill(faults.Broker)}, []faults.Fault{kill(faults.Broker), kill(faults.API)}},
		{"the paused before the killed", []faults.Fault{kill(faults.Broker), pause(faults.Gateway)}, []faults.Fault{pause(faults.Gateway), kill(faults.Broker)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := (faults.Round{Faults: tt.faults}).Recovery(); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
