package faults_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/test/faults"
)

func shape(brokers, cassandra int, clocks bool) faults.Shape {
	return faults.Shape{
		Sizes: map[faults.Role]int{
			faults.API: 2, faults.Gateway: 2, faults.Archiver: 2, faults.Broker: brokers, faults.Cassandra: cassandra,
		},
		Clocks: clocks, Outage: 20 * time.Second, Stall: 15 * time.Second,
	}
}

func planOf(seed uint64, rounds int, shape faults.Shape) []faults.Round {
	var plan []faults.Round
	for r := range faults.Plan(seed, shape) {
		if len(plan) == rounds {
			break
		}
		plan = append(plan, r)
	}
	return plan
}

func TestPlanRepeats(t *testing.T) {
	const rounds = 60 // three laps
	first, again := planOf(7, rounds, shape(3, 3, true)), planOf(7, rounds, shape(3, 3, true))
	if !reflect.DeepEqual(first, again) {
		t.Errorf("one seed gave %v and %v", first, again)
	}
	if other := planOf(8, rounds, shape(3, 3, true)); reflect.DeepEqual(first, other) {
		t.Errorf("two seeds gave the same plan: %v", first)
	}
}

// everything is each fault that a lap must have, whichever process it is about.
func everything(s faults.Shape) map[string]bool {
	want := map[string]bool{"stall archiver": true, "add archiver": true}
	for _, role := range []string{"api", "gateway", "archiver", "broker", "cassandra"} {
		want["kill "+role], want["pause "+role] = true, true
		for _, act := range []string{"cut the line of", "slow the line of", "half-open the line of", "lose the answers of"} {
			want[act+" "+role] = role != "archiver"
		}
		for _, act := range []string{"set ahead the clock of", "set back the clock of"} {
			want[act+" "+role] = s.Clocks && role != "broker" && role != "cassandra"
		}
	}
	want["kill two brokers from broker"] = s.Sizes[faults.Broker] >= 3
	maps.DeleteFunc(want, func(_ string, wanted bool) bool { return !wanted })
	return want
}

func TestPlanBreaksEverything(t *testing.T) {
	for _, tt := range []struct {
		name  string
		shape faults.Shape
		// rounds is how long a lap is.
		rounds int
	}{
		{"one broker and one Cassandra node", shape(1, 1, false), 2 + 14},
		{"three of each", shape(3, 3, false), 3 + 14},
		{"three of each, with clocks", shape(3, 3, true), 3 + 17},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := everything(tt.shape)
			for seed := range uint64(50) {
				seen, outages := map[string]bool{}, 0
				for _, r := range planOf(seed, tt.rounds, tt.shape) {
					for i, f := range r.Faults {
						if f.Role == faults.AllCassandra {
							outages++
							continue
						}
						kind := fmt.Sprintf("%s %s", f.Act, f.Role)
						if seen[kind] {
							t.Errorf("seed %d: a lap has %q twice", seed, kind)
						}
						seen[kind] = true
						if i > 0 && f.Role == r.Faults[0].Role && f.Index == r.Faults[0].Index {
							t.Errorf("seed %d: %v has a process twice", seed, r)
						}
					}
				}
				if !maps.Equal(seen, want) || outages != 1 {
					t.Fatalf("seed %d: got %d outages of Cassandra and %v in a lap, want one and %v", seed, outages, seen, want)
				}
			}
		})
	}
}

func TestRecoveryOrder(t *testing.T) {
	kill := func(role faults.Role) faults.Fault { return faults.Fault{Act: faults.Kill, Role: role} }
	pause := func(role faults.Role) faults.Fault { return faults.Fault{Act: faults.Pause, Role: role} }
	cut := faults.Fault{Act: faults.Cut, Role: faults.Broker}
	for _, tt := range []struct {
		name         string
		faults, want []faults.Fault
	}{
		{"backends before their users", []faults.Fault{kill(faults.API), kill(faults.Broker)}, []faults.Fault{kill(faults.Broker), kill(faults.API)}},
		{"lines before what is started", []faults.Fault{kill(faults.Gateway), cut}, []faults.Fault{cut, kill(faults.Gateway)}},
		{"the paused before the killed", []faults.Fault{kill(faults.Broker), pause(faults.Gateway)}, []faults.Fault{pause(faults.Gateway), kill(faults.Broker)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := (faults.Round{Faults: tt.faults}).Recovery(); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
