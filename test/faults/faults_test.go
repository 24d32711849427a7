//go:build faults

package faults_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/test/backends"
	"github.com/chatcluster/chatcluster/test/chatdtest"
	"github.com/chatcluster/chatcluster/test/faults"
	"github.com/chatcluster/chatcluster/test/load"
	"github.com/chatcluster/chatcluster/test/proxy"
)

var (
	duration  = flag.Duration("faults.duration", time.Minute, "how long to go on breaking things; the round that runs then is the last")
	seed      = flag.Uint64("faults.seed", 0, "seed of the schedule; 0 for a random one")
	brokers   = flag.Int("faults.brokers", 3, "Kafka brokers: 1 or 3")
	cassandra = flag.Int("faults.cassandra", 3, "Cassandra nodes: 1 or 3")
	outage    = flag.Duration("faults.outage", 15*time.Second, "how long all of Cassandra is away")
	clocks    = flag.Bool("faults.clocks", true, "set clocks too; this builds a chatd, and the standard library for it, whose clock can be set")
)

// stall is longer than the archivers' group waits for one of them: 10 s.
const stall = 15 * time.Second

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "chatd-clock-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := buildWithClock(dir); err != nil {
		fmt.Fprintln(os.Stderr, "build with a clock that can be set:", err)
		return 1
	}
	defer chatdtest.RemoveBinaries()
	return m.Run()
}

// buildWithClock lets the binaries of this run be built with clocks that can be
// set.
func buildWithClock(dir string) error {
	if !*clocks {
		return nil
	}
	module, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return err
	}
	overlay, err := faults.ClockOverlay(dir, strings.TrimSpace(string(goroot)), module)
	if err != nil {
		return err
	}
	return os.Setenv("GOFLAGS", os.Getenv("GOFLAGS")+" -overlay="+overlay)
}

func TestFaults(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("seed %d (repeat with: make test-faults FAULTS_FLAGS=-faults.seed=%[1]d)", *seed)
	s := newSystem(t)
	l := load.New(t, s.loadOptions())
	shape := faults.Shape{Sizes: map[faults.Role]int{}, Clocks: *clocks, Outage: *outage, Stall: stall}
	for role, members := range s.members {
		shape.Sizes[role] = len(members)
	}
	// Afterwards every receiver has been at every gateway, so that each knows them
	// all: who is not known cannot come while Cassandra is away.
	l.During(func() { time.Sleep(replicas * stay) })
	l.Check(t, "before any fault")
	rounds, began := 0, time.Now()
	for round := range faults.Plan(*seed, shape) {
		if time.Since(began) >= *duration {
			break
		}
		rounds++
		s.log(t, "round %d: %v", rounds, round)
		before := l.Counts()
		l.During(func() { s.breakThings(t, l, round) })
		s.log(t, "%v", l.Counts().Sub(before))
		s.mustRun(t)
		l.Check(t, round.String())
		if t.Failed() {
			break // the next rounds would only repeat it
		}
	}
	done := l.Counts()
	t.Logf("%d rounds in %s; %v", rounds, time.Since(began).Round(time.Second), done)
	// A run in which nothing happened proves nothing. Histories need Cassandra,
	// which is away in some rounds.
	if want := 20 * rounds; done.Acked < want || done.Received < want || done.Reads < want/4 || done.Removed < rounds/4 {
		t.Errorf("got %v in %d rounds, want at least %d sends and messages, %d histories and %d removals", done, rounds, want, want/4, rounds/4)
	}
	if t.Failed() {
		s.dump(t)
	}
}

// system is everything that can break.
type system struct {
	cluster *chatdtest.Cluster
	members map[faults.Role][]member
	began   time.Time
	// added is the archiver of a fault of the kind Add.
	added *chatdtest.Server
}

// member is a process, and the line between it and its clients: nil if it has
// none.
type member struct {
	process
	line *proxy.Proxy
}

// process is one that can break; *backends.Node is one.
type process interface {
	Kill(testing.TB)
	Pause(testing.TB)
	Resume(testing.TB)
	Restart(testing.TB)
}

// server is a chatd in its place in the cluster: a restart puts another there.
type server struct{ place **chatdtest.Server }

func (s server) Kill(testing.TB)      { (*s.place).Kill() }
func (s server) Pause(t testing.TB)   { (*s.place).Pause(t) }
func (s server) Resume(t testing.TB)  { (*s.place).Resume(t) }
func (s server) Restart(t testing.TB) { *s.place = (*s.place).Restart(t) }

// replicas is how many there are of each role of chatd.
const replicas = 2

func newSystem(t *testing.T) *system {
	// A dead broker is found out within the time that a round takes, and leads again
	// soon after it is back: leaders also move while nothing fails.
	kafka := backends.KafkaBehindLines(t, *brokers, "broker.session.timeout.ms=3000", "broker.heartbeat.interval.ms=500", "replica.lag.time.max.ms=3000",
		"leader.imbalance.check.interval.seconds=5", "leader.imbalance.per.broker.percentage=0")
	store := backends.CassandraBehindLines(t, *cassandra)
	s := &system{began: time.Now(), cluster: chatdtest.NewCluster(t, kafka.Addrs(), store.Addrs())}
	for range replicas {
		s.cluster.AddAPI()
		s.cluster.AddGateway()
		s.cluster.AddArchiver()
	}
	s.members = map[faults.Role][]member{
		faults.API:       servers(t, s.cluster.APIs, func(s *chatdtest.Server) string { return s.API }),
		faults.Gateway:   servers(t, s.cluster.Gateways, func(s *chatdtest.Server) string { return s.Gateway }),
		faults.Archiver:  servers(t, s.cluster.Archivers, nil),
		faults.Broker:    nodes(kafka),
		faults.Cassandra: nodes(store),
	}
	return s
}

// stay is how long a receiver stays at a gateway, at most.
const stay = 6 * time.Second

// settleTimeout is how long everything may take to come back once nothing is
// broken any more.
const settleTimeout = 90 * time.Second

// loadOptions have the clients go from each replica to the next, by its line.
func (s *system) loadOptions() load.Options {
	o := load.Options{Stay: stay, SettleTimeout: settleTimeout}
	for _, m := range s.members[faults.API] {
		o.APIs = append(o.APIs, m.line.Addr())
	}
	for _, m := range s.members[faults.Gateway] {
		o.Gateways = append(o.Gateways, m.line.Addr())
	}
	return o
}

// servers are the members for a list of servers; addr says where clients find
// one, if they do, and is the same after a restart.
func servers(t *testing.T, list []*chatdtest.Server, addr func(*chatdtest.Server) string) []member {
	t.Helper()
	var members []member
	for i := range list {
		m := member{process: server{&list[i]}}
		if addr != nil {
			m.line = newLine(t, addr(list[i]))
		}
		members = append(members, m)
	}
	return members
}

func newLine(t *testing.T, target string) *proxy.Proxy {
	t.Helper()
	line, err := proxy.Listen("127.0.0.1:0", target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := line.Close(); err != nil {
			t.Errorf("close the line to %s: %v", target, err)
		}
	})
	return line
}

func nodes(c *backends.Cluster) []member {
	var members []member
	for _, n := range c.Nodes {
		members = append(members, member{process: n, line: n.Line})
	}
	return members
}

// log logs with the time since the start.
func (s *system) log(t *testing.T, format string, args ...any) {
	t.Helper()
	t.Logf("%7.2f s: "+format, append([]any{time.Since(s.began).Seconds()}, args...)...)
}

// breakThings lets the faults of a round happen and end.
func (s *system) breakThings(t *testing.T, l *load.Load, round faults.Round) {
	for i, f := range round.Faults {
		if i > 0 {
			time.Sleep(round.Gap)
		}
		s.log(t, "%v", f)
		s.begin(t, f)
	}
	if round.Faults[0].Role == faults.AllCassandra {
		l.MustGoOn(t, round.Hold)
	} else {
		time.Sleep(round.Hold)
	}
	for _, f := range round.Recovery() {
		s.end(t, f)
		s.log(t, "end of: %v", f)
	}
	time.Sleep(round.Calm)
}

// victims are the members that a fault is about.
func (s *system) victims(f faults.Fault) []member {
	switch f.Role {
	case faults.AllCassandra:
		return s.members[faults.Cassandra]
	case faults.TwoBrokers:
		all := s.members[faults.Broker]
		return []member{all[f.Index], all[(f.Index+1)%len(all)]}
	default:
		return s.members[f.Role][f.Index : f.Index+1]
	}
}

// What a slow line is like. The rate is less than what the load needs, so that
// it lags, and more than what a request needs to be answered.
const (
	slowDelay = 150 * time.Millisecond
	slowRate  = 64 << 10 // bytes in a second
)

func (s *system) begin(t *testing.T, f faults.Fault) {
	if f.Act == faults.Add {
		s.add(t)
		return
	}
	for _, m := range s.victims(f) {
		switch f.Act {
		case faults.Kill:
			m.Kill(t)
		case faults.Pause, faults.Stall:
			m.Pause(t)
		case faults.Cut:
			m.line.Cut()
		case faults.Slow:
			m.line.Slow(slowDelay, slowRate)
		case faults.HalfOpen:
			m.line.Blackhole()
		case faults.LoseAnswers:
			m.line.LoseAnswers()
		case faults.JumpAhead:
			setClock(t, m, faults.ClockAhead, time.Hour)
		case faults.JumpBack:
			setClock(t, m, faults.ClockBack, -time.Hour)
		}
	}
}

func (s *system) end(t *testing.T, f faults.Fault) {
	if f.Act == faults.Add {
		s.added.Kill()
		return
	}
	for _, m := range s.victims(f) {
		switch f.Act {
		case faults.Kill:
			m.Restart(t)
		case faults.Pause, faults.Stall:
			m.Resume(t)
		case faults.JumpAhead:
			setClock(t, m, faults.ClockBack, 0)
		case faults.JumpBack:
			setClock(t, m, faults.ClockAhead, 0)
		default:
			m.line.Heal()
		}
	}
}

// add starts one more archiver. It is none of the cluster's, whose places stay
// as they are.
func (s *system) add(t *testing.T) {
	places := s.cluster.Archivers
	s.added = s.cluster.AddArchiver()
	s.cluster.Archivers = places
}

// setClock signals a server and waits until its clock is that far ahead of
// this process's.
func setClock(t *testing.T, m member, sig syscall.Signal, ahead time.Duration) {
	t.Helper()
	s := *m.process.(server).place
	s.Signal(t, sig)
	const tolerance = 5 * time.Minute // far less than a jump, and more than an answer takes
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		skew, err := clockOf(s)
		if err == nil && (skew-ahead).Abs() < tolerance {
			return
		}
		if time.Since(began) > settleTimeout {
			t.Fatalf("a clock is %v ahead, error %v, want %v", skew, err, ahead)
		}
	}
}

// clockOf is how far the server's clock is ahead, by the Date of an answer.
func clockOf(s *chatdtest.Server) (time.Duration, error) {
	client := http.Client{Timeout: 4 * time.Second}
	answer, err := client.Get("http://" + s.Metrics + "/metrics")
	if err != nil {
		return 0, err
	}
	answer.Body.Close()
	date, err := http.ParseTime(answer.Header.Get("Date"))
	return time.Until(date), err
}

// chatd is all processes of the server.
func (s *system) chatd() map[faults.Role][]*chatdtest.Server {
	return map[faults.Role][]*chatdtest.Server{
		faults.API: s.cluster.APIs, faults.Gateway: s.cluster.Gateways, faults.Archiver: s.cluster.Archivers,
	}
}

// mustRun fails the test if a server has given up: nothing that the backends
// do is a reason to.
func (s *system) mustRun(t *testing.T) {
	for role, list := range s.chatd() {
		for i, server := range list {
			if !server.Running() {
				t.Errorf("%s-%d ended by itself", role, i+1)
			}
		}
	}
}

// dump shows what the servers printed last.
func (s *system) dump(t *testing.T) {
	for role, list := range s.chatd() {
		for i, server := range list {
			t.Logf("%s-%d printed:\n%s", role, i+1, server.Output())
		}
	}
}
