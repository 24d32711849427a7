package backends_test

import (
	"context"
	"net"
	"strconv"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"github.com/segmentio/kafka-go"
	"go.uber.org/goleak"

	"github.com/chatcluster/chatcluster/test/backends"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, backends.IgnoreNodes()) }

func TestSharedNodesAnswer(t *testing.T) {
	brokers, hosts := backends.Kafka(t), backends.Cassandra(t)
	if again := backends.Kafka(t); again[0] != brokers[0] {
		t.Errorf("a second call of Kafka: got %v, want %v", again, brokers)
	}
	if got := metadata(t, brokers[0]); len(got.Brokers) == 0 {
		t.Errorf("brokers: got none, want some")
	}
	if err := query(hosts[0], time.Second, version); err != nil {
		t.Errorf("query: got error %v, want none", err)
	}
}

func TestKafkaCluster(t *testing.T) {
	c := backends.KafkaCluster(t, 3)
	addr := c.Nodes[0].Addr
	if got := metadata(t, addr); len(got.Brokers) != 3 {
		t.Fatalf("brokers: got %v, want 3", got.Brokers)
	}
	// Two are down, and come back one after the other: a restart waits for
	// nobody else.
	for _, lost := range c.Nodes[1:] {
		lost.Kill(t)
		if conn, err := kafka.Dial("tcp", lost.Addr); err == nil {
			conn.Close()
			t.Errorf("dial a killed broker: got a connection, want an error")
		}
	}
	for i, lost := range c.Nodes[1:] {
		lost.Restart(t)
		if got, least := len(metadata(t, lost.Addr).Brokers), i+1; got < least {
			t.Errorf("brokers after restart %d: got %d, want at least %d", i+1, got, least)
		}
	}
}

// TestLines: clients reach a node by its line only, also those that were sent
// there by another node.
func TestLines(t *testing.T) {
	brokers, nodes := backends.KafkaBehindLines(t, 1), backends.CassandraBehindLines(t, 1)
	broker, node := brokers.Nodes[0], nodes.Nodes[0]
	b := metadata(t, broker.Addr).Brokers[0]
	if got := net.JoinHostPort(b.Host, strconv.Itoa(b.Port)); got != broker.Addr {
		t.Errorf("the broker says that it is at %s, want its line's %s", got, broker.Addr)
	}
	host, _, err := net.SplitHostPort(node.Addr)
	if err != nil {
		t.Fatal(err)
	}
	var told string
	err = query(node.Addr, 10*time.Second, "SELECT rpc_address FROM system.local", &told)
	if err != nil || told != host {
		t.Errorf("the node says that it is at %q, error %v, want its line's %s", told, err, host)
	}
	broker.Line.Cut()
	node.Line.Cut()
	if conn, err := kafka.Dial("tcp", broker.Addr); err == nil {
		_, err = conn.Brokers()
		conn.Close()
		if err == nil {
			t.Errorf("brokers by a line that is cut: got an answer, want an error")
		}
	}
	if err := query(node.Addr, time.Second, version); err == nil {
		t.Errorf("query by a line that is cut: got an answer, want an error")
	}
}

func TestCassandraCluster(t *testing.T) {
	c := backends.CassandraCluster(t, 2)
	second := c.Nodes[1]
	if err := query(second.Addr, time.Second, version); err != nil {
		t.Errorf("query: got error %v, want none", err)
	}
	second.Pause(t)
	if err := query(second.Addr, time.Second, version); err == nil {
		t.Errorf("query to a paused node: got an answer, want an error")
	}
	second.Resume(t)
	if err := query(second.Addr, 10*time.Second, version); err != nil {
		t.Errorf("query after the pause: got error %v, want none", err)
	}
}

func metadata(t *testing.T, addr string) *kafka.MetadataResponse {
	t.Helper()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(addr), Transport: transport}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	got, err := client.Metadata(ctx, &kafka.MetadataRequest{})
	if err != nil {
		t.Fatalf("metadata of %s: got error %v, want none", addr, err)
	}
	return got
}

const version = "SELECT release_version FROM system.local"

// query asks the node at addr and no other; dest is for the columns of one row.
func query(addr string, timeout time.Duration, stmt string, dest ...any) error {
	cluster := gocql.NewCluster(addr)
	cluster.DisableInitialHostLookup = true
	cluster.ConnectTimeout, cluster.Timeout = timeout, timeout
	session, err := cluster.CreateSession()
	if err != nil {
		return err
	}
	defer session.Close()
	if len(dest) == 0 {
		return session.Query(stmt).Exec()
	}
	return session.Query(stmt).Scan(dest...)
}
