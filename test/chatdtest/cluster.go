package chatdtest

import (
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/chatcluster/chatcluster/test/backends"
)

// Mode is a way to run the server.
type Mode struct {
	Name string
	// Start starts it with further arguments for each of its processes, and
	// waits until it answers.
	Start func(t testing.TB, args ...string) *Server
	// StartPair starts two replicas of what clients talk to, where there can
	// be two; else they are the same.
	StartPair func(t testing.TB, args ...string) (a, b *Server)
}

// Modes are all ways to run the server: behaviour must be the same in each.
func Modes() []Mode {
	return []Mode{
		{
			Name:  "standalone",
			Start: func(t testing.TB, args ...string) *Server { return Start(t, t.TempDir(), args...) },
			StartPair: func(t testing.TB, args ...string) (a, b *Server) {
				s := Start(t, t.TempDir(), args...)
				return s, s
			},
		},
		{
			Name:  "cluster",
			Start: func(t testing.TB, args ...string) *Server { return StartCluster(t, args...).Server(0) },
			StartPair: func(t testing.TB, args ...string) (a, b *Server) {
				c := StartCluster(t, args...)
				c.AddAPI()
				c.AddGateway()
				return c.Server(0), c.Server(1)
			},
		},
	}
}

// Cluster is a cluster of processes over real backends, with topics and a
// keyspace of its own.
type Cluster struct {
	t    testing.TB
	args []string

	// Data are the flags that name its backends.
	Data []string
	// APIs, Gateways and Archivers are its processes.
	APIs, Gateways, Archivers []*Server
}

// StartCluster starts one process of each role over the shared backends.
func StartCluster(t testing.TB, args ...string) *Cluster {
	t.Helper()
	c := NewCluster(t, backends.Kafka(t), backends.Cassandra(t), args...)
	c.AddAPI()
	c.AddGateway()
	c.AddArchiver()
	return c
}

// NewCluster migrates the backends and starts nothing yet. args are for each of
// the processes to come.
func NewCluster(t testing.TB, brokers, hosts []string, args ...string) *Cluster {
	t.Helper()
	var id [6]byte
	rand.Read(id[:])
	name := "t" + hex.EncodeToString(id[:])
	c := &Cluster{t: t, args: args, Data: []string{
		"--kafka-brokers=" + strings.Join(brokers, ","), "--kafka-topic-prefix=" + name, "--archiver-group=" + name,
		"--cassandra-hosts=" + strings.Join(hosts, ","), "--cassandra-keyspace=" + name,
	}}
	replicas := "3"
	if len(brokers) < 3 {
		replicas = "1"
	}
	settings := []string{
		"migrate", "--kafka-partitions=4", "--kafka-replication-factor=" + replicas, "--kafka-min-insync-replicas=" + map[string]string{"1": "1", "3": "2"}[replicas],
		"--cassandra-replication={'class': 'SimpleStrategy', 'replication_factor': " + map[bool]string{true: "1", false: "3"}[len(hosts) < 3] + "}",
	}
	if stdout, stderr, err := Run(t, "", "chatd", append(settings, c.Data...)...); err != nil {
		t.Fatalf("chatd migrate: %v\n%s%s", err, stdout, stderr)
	}
	return c
}

// AddAPI starts an API replica, AddGateway a gateway, AddArchiver an archiver.
func (c *Cluster) AddAPI() *Server {
	c.t.Helper()
	s := c.add("api", "--api-addr=127.0.0.1:0")
	c.APIs = append(c.APIs, s)
	return s
}

// AddGateway starts a gateway.
func (c *Cluster) AddGateway() *Server {
	c.t.Helper()
	s := c.add("gateway", "--gateway-addr=127.0.0.1:0")
	c.Gateways = append(c.Gateways, s)
	return s
}

// AddArchiver starts an archiver.
func (c *Cluster) AddArchiver() *Server {
	c.t.Helper()
	s := c.add("archive")
	c.Archivers = append(c.Archivers, s)
	return s
}

// BeginAPI starts an API replica at addr that may have to wait for the
// backends; await waits until it answers.
func (c *Cluster) BeginAPI(addr string) (s *Server, await func()) {
	c.t.Helper()
	return c.begin("api", "--api-addr="+addr)
}

func (c *Cluster) add(role string, args ...string) *Server {
	c.t.Helper()
	s, await := c.begin(role, args...)
	await()
	return s
}

func (c *Cluster) begin(role string, args ...string) (s *Server, await func()) {
	c.t.Helper()
	call := slices.Concat([]string{role, "--metrics-addr=127.0.0.1:0"}, args, c.Data, c.args)
	s, ready, err := spawn(c.t, nil, call)
	if err != nil {
		c.t.Fatalf("start %s: %v", role, err)
	}
	s.Data = c.Data
	return s, func() {
		c.t.Helper()
		if err := s.await(ready); err != nil {
			c.t.Fatalf("start %s: %v", role, err)
		}
	}
}

// Server is the cluster as a client of its n-th API replica and gateway sees
// it.
func (c *Cluster) Server(n int) *Server {
	s := *c.APIs[n]
	s.Gateway = c.Gateways[n].Gateway
	return &s
}
