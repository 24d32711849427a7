package backends

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/chatcluster/chatcluster/test/proxy"
)

// The environment variables that name nodes that run already, as host:port
// separated by commas.
const (
	KafkaVariable     = "KAFKA_BROKERS"
	CassandraVariable = "CASSANDRA_HOSTS"
)

// The nodes of this process. They are package variables because they belong to
// the process: to every test in it, and to none.
var (
	sharedKafka     = sync.OnceValues(func() (*Cluster, error) { return startKafka(context.Background(), 1, false, nil) })
	sharedCassandra = sync.OnceValues(func() (*Cluster, error) { return startCassandra(context.Background(), 1, false, nil) })
)

// Kafka returns the addresses of brokers that answer: those that KAFKA_BROKERS
// names, or one that this process starts. Tests share it: they name their
// topics and groups so that nobody else does. It makes no topics by itself.
func Kafka(t testing.TB) []string {
	t.Helper()
	return addrs(t, KafkaVariable, sharedKafka)
}

// Cassandra returns the addresses of nodes that answer CQL without a log-in:
// those that CASSANDRA_HOSTS names, or one that this process starts. Tests
// share it: they name their keyspaces so that nobody else does.
func Cassandra(t testing.TB) []string {
	t.Helper()
	return addrs(t, CassandraVariable, sharedCassandra)
}

func addrs(t testing.TB, variable string, shared func() (*Cluster, error)) []string {
	t.Helper()
	if list := os.Getenv(variable); list != "" {
		return strings.Split(list, ",")
	}
	c, err := shared()
	if err != nil {
		t.Fatalf("start a backend (%s is not set): %v", variable, err)
	}
	return c.Addrs()
}

// KafkaCluster starts n brokers, each of them a controller too, and stops them
// when the test ends. Topics have three replicas, of which two must be in sync,
// or fewer where n is less. settings are lines of server.properties, key=value,
// which take the place of the usual ones.
func KafkaCluster(t testing.TB, n int, settings ...string) *Cluster {
	t.Helper()
	c, err := startKafka(t.Context(), n, false, settings)
	return owned(t, c, err)
}

// CassandraCluster starts n nodes at 127.0.0.1, 127.0.0.2 and so on, and stops
// them when the test ends. settings are lines of cassandra.yaml, "key: value",
// which take the place of the usual ones.
func CassandraCluster(t testing.TB, n int, settings ...string) *Cluster {
	t.Helper()
	c, err := startCassandra(t.Context(), n, false, settings)
	return owned(t, c, err)
}

// KafkaBehindLines is KafkaCluster with a line between clients and each broker,
// which a test can break: see Node.Line.
func KafkaBehindLines(t testing.TB, n int, settings ...string) *Cluster {
	t.Helper()
	c, err := startKafka(t.Context(), n, true, settings)
	return owned(t, c, err)
}

// CassandraBehindLines is CassandraCluster with a line between clients and each
// node.
func CassandraBehindLines(t testing.TB, n int, settings ...string) *Cluster {
	t.Helper()
	c, err := startCassandra(t.Context(), n, true, settings)
	return owned(t, c, err)
}

// newLine is a line from addr to target, or nil where there are to be none.
func newLine(lines bool, addr, target string) (*proxy.Proxy, error) {
	if !lines {
		return nil, nil
	}
	return proxy.Listen(addr, target)
}

func owned(t testing.TB, c *Cluster, err error) *Cluster {
	t.Helper()
	if err != nil {
		t.Fatalf("start a cluster: %v", err)
	}
	t.Cleanup(func() {
		if err := c.stop(); err != nil {
			t.Errorf("stop the cluster: %v", err)
		}
	})
	return c
}

// Both starts a Kafka broker and a Cassandra node, for programs that are no
// tests. stop ends them and removes their data.
func Both(ctx context.Context) (kafka, cassandra []string, stop func() error, err error) {
	var clusters [2]*Cluster
	var errs [2]error
	var starts sync.WaitGroup
	starts.Go(func() { clusters[0], errs[0] = startKafka(ctx, 1, false, nil) })
	starts.Go(func() { clusters[1], errs[1] = startCassandra(ctx, 1, false, nil) })
	starts.Wait()
	stop = func() error {
		var stops []error
		for _, c := range clusters {
			if c != nil {
				stops = append(stops, c.stop())
			}
		}
		return errors.Join(stops...)
	}
	if err := errors.Join(errs[:]...); err != nil {
		return nil, nil, nil, errors.Join(err, stop())
	}
	return clusters[0].Addrs(), clusters[1].Addrs(), stop, nil
}
