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

// The roles. Faults of several processes at once have roles of their own.
const (
	API          Role = "api"
	Gateway      Role = "gateway"
	Archiver     Role = "archiver"
	Broker       Role = "broker"
	Cassandra    Role = "cassandra"
	AllCassandra Role = "all of cassandra"
	// TwoBrokers are the one of the fault's index and the next one: with three,
	// too few are left to accept a message.
	TwoBrokers Role = "two brokers from broker"
)

// Act is what is done to a process, or to the line between it and its clients.
type Act string

const (
	// Kill is SIGKILL, and a start on the same data at the end.
	Kill Act = "kill"
	// Pause is SIGSTOP, and SIGCONT at the end. Stall is a pause after which
	// others have long taken over, of which the process knows nothing.
	Pause Act = "pause"
	Stall Act = "stall"
	// Add starts one more process of the role, which is killed at the end.
	Add Act = "add"

	// Cut resets the connections of a line, and all new ones. Slow delays and
	// throttles them. HalfOpen keeps them and swallows what is sent.
	// LoseAnswers lets requests through: they are done, and nobody hears.
	Cut         Act = "cut the line of"
	Slow        Act = "slow the line of"
	HalfOpen    Act = "half-open the line of"
	LoseAnswers Act = "lose the answers of"

	// JumpAhead and JumpBack set the clock of a process, and set it right at
	// the end.
	JumpAhead Act = "set ahead the clock of"
	JumpBack  Act = "set back the clock of"
)

// LineActs are the acts on a line.
var LineActs = []Act{Cut, Slow, HalfOpen, LoseAnswers}

// Fault is an act on one process of a role, or on those that the role says.
type Fault struct {
	Act   Act
	Role  Role
	Index int
}

func (f Fault) String() string {
	if f.Role == AllCassandra || f.Act == Add {
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

// Recovery is the order in which the faults end: lines heal and what is paused
// goes on before anything is started, and the backends start before their users,
// since a start may need the others.
func (r Round) Recovery() []Fault {
	rank := func(f Fault) int {
		switch {
		case f.Act != Kill:
			return 0
		case f.Role == Broker || f.Role == TwoBrokers || f.Role == Cassandra || f.Role == AllCassandra:
			return 1
		default:
			return 2
		}
	}
	return slices.SortedStableFunc(slices.Values(r.Faults), func(a, b Fault) int { return rank(a) - rank(b) })
}

// Shape is what there is to break.
type Shape struct {
	// Sizes is how many processes there are of each role.
	Sizes map[Role]int
	// Clocks: the clocks of chatd's processes can be set.
	Clocks bool
	// Outage is how long all of Cassandra is away, and Stall how long an
	// archiver is: longer than its group waits for it.
	Outage, Stall time.Duration
}

// Plan is the schedule that follows from a seed; it has no end. Every lap has
// each fault once: first, each by itself, all of Cassandra goes away, two of
// three brokers, and an archiver for long; then the others come in pairs and in
// random order. A pair never has the same process twice.
func Plan(seed uint64, shape Shape) iter.Seq[Round] {
	random := rand.New(rand.NewPCG(seed, 0))
	between := func(least, most time.Duration) time.Duration {
		return least + time.Duration(random.Int64N(int64(most-least)))
	}
	return func(yield func(Round) bool) {
		for {
			act := []Act{Kill, Pause}[random.IntN(2)]
			rounds := []Round{{Faults: []Fault{{act, AllCassandra, 0}}, Hold: shape.Outage}}
			if n := shape.Sizes[Broker]; n >= 3 {
				rounds = append(rounds, Round{Faults: []Fault{{Kill, TwoBrokers, random.IntN(n)}}, Hold: between(3*time.Second, 8*time.Second)})
			}
			rounds = append(rounds, Round{Faults: []Fault{{Stall, Archiver, random.IntN(shape.Sizes[Archiver])}}, Hold: shape.Stall})
			for pair := range slices.Chunk(lap(random, shape), 2) {
				// A process that is added needs its backends to start.
				slices.SortStableFunc(pair, func(a, b Fault) int { return last(a) - last(b) })
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

// last is 0 for what comes first in a pair, and 1 for all else.
func last(f Fault) int {
	if f.Act == Add {
		return 0
	}
	return 1
}

// lap is each act on each role that it can be done to, in an order in which no
// pair has the same process twice.
func lap(random *rand.Rand, shape Shape) []Fault {
	var faults []Fault
	each := func(roles []Role, acts ...Act) {
		for _, role := range roles {
			for _, act := range acts {
				faults = append(faults, Fault{act, role, random.IntN(shape.Sizes[role])})
			}
		}
	}
	each([]Role{API, Gateway, Archiver, Broker, Cassandra}, Kill, Pause)
	each([]Role{API, Gateway, Broker, Cassandra}, LineActs...)
	each([]Role{Archiver}, Add)
	if shape.Clocks {
		each([]Role{API, Gateway, Archiver}, JumpAhead, JumpBack)
	}
	for {
		random.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
		twice := false
		for pair := range slices.Chunk(faults, 2) {
			twice = twice || len(pair) == 2 && pair[0].Role == pair[1].Role && pair[0].Index == pair[1].Index
		}
		if !twice {
			return faults
		}
	}
}
