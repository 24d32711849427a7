//go:build faults

package faults_test

import (
	"flag"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/test/backends"
	"github.com/chatcluster/chatcluster/test/chatdtest"
	"github.com/chatcluster/chatcluster/test/faults"
	"github.com/chatcluster/chatcluster/test/load"
)

var (
	duration  = flag.Duration("faults.duration", time.Minute, "how long to go on breaking things; the round that runs then is the last")
	seed      = flag.Uint64("faults.seed", 0, "seed of the schedule; 0 for a random one")
	cassandra = flag.Int("faults.cassandra", 3, "Cassandra nodes: 1 or 3")
	outage    = flag.Duration("faults.outage", 15*time.Second, "how long all of Cassandra is away")
)

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	chatdtest.RemoveBinaries()
	os.Exit(code)
}

func TestFaults(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("seed %d (repeat with: make test-faults FAULTS_FLAGS=-faults.seed=%[1]d)", *seed)
	s := newSystem(t, *cassandra)
	l := load.New(t, s.loadOptions())
	sizes := map[faults.Role]int{}
	for role, processes := range s.processes {
		sizes[role] = len(processes)
	}
	// Every cache has seen everyone, and every client has received something.
	l.During(func() { time.Sleep(3 * time.Second) })
	l.Check(t, "before any fault")
	rounds, began := 0, time.Now()
	for round := range faults.Plan(*seed, sizes, *outage) {
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
	if want := 20 * rounds; done.Acked < want || done.Received < want || done.Reads < want/4 {
		t.Errorf("got %d acknowledged, %d received and %d reads in %d rounds, want at least %d, %[5]d and %[6]d", done.Acked, done.Received, done.Reads, rounds, want, want/4)
	}
	if t.Failed() {
		s.dump(t)
	}
}

// system is everything that can break.
type system struct {
	cluster   *chatdtest.Cluster
	processes map[faults.Role][]process
	began     time.Time
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

func newSystem(t *testing.T, cassandraNodes int) *system {
	// A dead broker is found out within the time that a round takes.
	kafka := backends.KafkaCluster(t, 3, "broker.session.timeout.ms=3000", "broker.heartbeat.interval.ms=500", "replica.lag.time.max.ms=3000")
	store := backends.CassandraCluster(t, cassandraNodes)
	s := &system{began: time.Now(), cluster: chatdtest.NewCluster(t, kafka.Addrs(), store.Addrs())}
	for range replicas {
		s.cluster.AddAPI()
		s.cluster.AddGateway()
		s.cluster.AddArchiver()
	}
	s.processes = map[faults.Role][]process{
		faults.API:       servers(s.cluster.APIs),
		faults.Gateway:   servers(s.cluster.Gateways),
		faults.Archiver:  servers(s.cluster.Archivers),
		faults.Broker:    nodes(kafka),
		faults.Cassandra: nodes(store),
	}
	return s
}

// loadOptions have the clients go from each replica to the next.
func (s *system) loadOptions() load.Options {
	o := load.Options{Stay: 6 * time.Second, SettleTimeout: 90 * time.Second}
	for _, a := range s.cluster.APIs {
		o.APIs = append(o.APIs, a.API)
	}
	for _, g := range s.cluster.Gateways {
		o.Gateways = append(o.Gateways, g.Gateway)
	}
	return o
}

func servers(list []*chatdtest.Server) []process {
	var processes []process
	for i := range list {
		processes = append(processes, server{&list[i]})
	}
	return processes
}

func nodes(c *backends.Cluster) []process {
	var processes []process
	for _, n := range c.Nodes {
		processes = append(processes, n)
	}
	return processes
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

// victims are the processes that a fault is about.
func (s *system) victims(f faults.Fault) []process {
	if f.Role == faults.AllCassandra {
		return s.processes[faults.Cassandra]
	}
	return s.processes[f.Role][f.Index : f.Index+1]
}

func (s *system) begin(t *testing.T, f faults.Fault) {
	for _, p := range s.victims(f) {
		switch f.Act {
		case faults.Kill:
			p.Kill(t)
		case faults.Pause:
			p.Pause(t)
		}
	}
}

func (s *system) end(t *testing.T, f faults.Fault) {
	for _, p := range s.victims(f) {
		switch f.Act {
		case faults.Kill:
			p.Restart(t)
		case faults.Pause:
			p.Resume(t)
		}
	}
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
