package backends_test

import (
	"context"
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
	if err := query(hosts[0], time.Second); err != nil {
		t.Errorf("query: got error %v, want none", err)
	}
}

func TestKafkaCluster(t *testing.T) {
	c := backends.KafkaCluster(t, 3)
	addr := c.Nodes[0].Addr
	if got := metadata(t, addr); len(got.Brokers) != 3 {
		t.Fatalf("brokers: got %v, want 3", got.Brokers)
	}
	lost := c.Nodes[2]
	lost.Kill(t)
	if conn, err := kafka.Dial("tcp", lost.Addr); err == nil {
		conn.Close()
		t.Errorf("dial a killed broker: got a connection, want an error")
	}
	lost.Restart(t)
	if got := metadata(t, lost.Addr); len(got.Brokers) != 3 {
		t.Errorf("brokers after a restart: got %v, want 3", got.Brokers)
	}
}

func TestCassandraCluster(t *testing.T) {
	c := backends.CassandraCluster(t, 2)
	second := c.Nodes[1]
	if err := query(second.Addr, time.Second); err != nil {
		t.Errorf("query: got error %v, want none", err)
	}
	second.Pause(t)
	if err := query(second.Addr, time.Second); err == nil {
		t.Errorf("query to a paused node: got an answer, want an error")
	}
	second.Resume(t)
	if err := query(second.Addr, 10*time.Second); err != nil {
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

func query(addr string, timeout time.Duration) error {
	cluster := gocql.NewCluster(addr)
	cluster.DisableInitialHostLookup = true
	cluster.ConnectTimeout, cluster.Timeout = timeout, timeout
	session, err := cluster.CreateSession()
	if err != nil {
		return err
	}
	defer session.Close()
	return session.Query("SELECT release_version FROM system.local").Exec()
}
