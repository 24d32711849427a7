package faults

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Role is a kind of process of the cluster.
type Role string

// The roles. Cluster-wide faults of Cassandra have a role of their own.
const (
	API          Role = "api"
	Gateway      Role = "gateway"
	Archiver     Role = "archiver"
	Broker       Role = "broker"
	Cassandra    Role = "cassandra"
	AllCassandra Role = "all of cassandra"
)

// Act is what is done to a process.
type Act string

const (
	// Kill is SIGKILL, and a start on the same data at the end.
	Kill Act = "kill"
	// Pause is SIGSTOP, and SIGCONT at the end.
	Pause Act = "pause"
)

// Fault is an act on one process of a role, or on all if the role says so.
type Fault struct {
	Act   Act
	Role  Role
	Index int
}

func (f Fault) String() string {
	if f.Role == AllCassandra {
		return fmt.Sprintf("%s %s", f.Act, f.Role)
	}
	return fmt.Sprintf("%s %s-%d", f.Act, f.Role, f.Index+1)
}

// Round is what breaks together: the second fault begins Gap after the first,
// both last for Hold, and nothing breaks for Calm after that.
type Round struct {
	Faults          []Fault
	Gap, Hold, Calm time.Duration
}

func (r Round) String() string {
	names := make([]string, len(r.Faults))
	for i, f := range r.Faults {
		names[i] = f.String()
	}
	return strings.Join(names, " and ")
}

// Recovery is the order in which the faults end: what is paused goes on before
// anything is started, and the backends start before their users, since a start
// may need the others.
func (r Round) Recovery() []Fault {
	rank := func(f Fault) int {
		switch {
		case f.Act == Pause:
			return 0
		case f.Role == Broker || f.Role == Cassandra || f.Role == AllCassandra:
			return 1
		default:
			return 2
		}
	}
	return slices.SortedStableFunc(slices.Values(r.Faults), func(a, b Fault) int { return rank(a) - rank(b) })
}

// Plan is the schedule of a seed over as many processes of each role as sizes
// says; it has no end. Every lap has each fault once: first all of Cassandra
// goes away for outage, then the others come in pairs and in random order. A
// pair never has the same process twice.
func Plan(seed uint64, sizes map[Role]int, outage time.Duration) iter.Seq[Round] {
	random := rand.New(rand.NewPCG(seed, 0))
	between := func(least, most time.Duration) time.Duration {
		return least + time.Duration(random.Int64N(int64(most-least)))
	}
	return func(yield func(Round) bool) {
		for {
			act := []Act{Kill, Pause}[random.IntN(2)]
			rounds := []Round{{Faults: []Fault{{act, AllCassandra, 0}}, Hold: outage}}
			for pair := range slices.Chunk(lap(random, sizes), 2) {
				rounds = append(rounds, Round{Faults: pair, Gap: between(0, 2*time.Second), Hold: between(3*time.Second, 8*time.Second)})
			}
			for _, r := range rounds {
				r.Calm = between(time.Second, 3*time.Second)
				if !yield(r) {
					return
				}
			}
		}
	}
}

// lap is each act on each role, so that no pair has the same process twice.
func lap(random *rand.Rand, sizes map[Role]int) []Fault {
	var faults []Fault
	for _, role := range []Role{API, Gateway, Archiver, Broker, Cassandra} {
		for _, act := range []Act{Kill, Pause} {
			faults = append(faults, Fault{act, role, random.IntN(sizes[role])})
		}
	}
	for {
		random.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
		twice := false
		for pair := range slices.Chunk(faults, 2) {
			twice = twice || pair[0].Role == pair[1].Role && pair[0].Index == pair[1].Index
		}
		if !twice {
			return faults
		}
	}
}
