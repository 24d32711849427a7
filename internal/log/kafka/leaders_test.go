package kafka_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/log/kafka"
	"github.com/chatcluster/chatcluster/test/backends"
	kafkago "github.com/segmentio/kafka-go"
)

// fetches notes which broker was the last to be asked for records.
type fetches struct {
	mu   sync.Mutex // guards last
	last string
}

func (f *fetches) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &fetchingConn{Conn: c, fetches: f, address: address}, nil
}

func (f *fetches) lastFrom() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

type fetchingConn struct {
	net.Conn
	fetches *fetches
	address string
}

func (c *fetchingConn) Write(b []byte) (int, error) {
	const fetchKey = 1
	if len(b) > 6 && binary.BigEndian.Uint16(b[4:]) == fetchKey {
		c.fetches.mu.Lock()
		c.fetches.last = c.address
		c.fetches.mu.Unlock()
	}
	return c.Conn.Write(b)
}

// TestTailMovesWithItsLeader moves a partition's leader while nothing fails: the
// old one, a follower then, would serve the tail further, but late, and not all.
func TestTailMovesWithItsLeader(t *testing.T) {
	cluster := backends.KafkaCluster(t, 3)
	ctx := testContext(t)
	var f fetches
	o := kafka.Options{Brokers: cluster.Addrs(), Epochs: &epochs{}, TopicPrefix: "moved", Dial: f.dial}
	s := settings(1)
	s.ReplicationFactor = 3
	l := newLogWith(t, o, s)
	tail := l.Tail()
	defer tail.Close()
	tail.Add(partition(0), 0)

	for move := range 2 {
		value := fmt.Sprintf("before move %d", move)
		appendUntilDone(ctx, t, l, partition(0), value)
		if got := string(nextRecord(ctx, t, tail).Value); got != value {
			t.Fatalf("the tail has %q, want %q", got, value)
		}
		leader := moveLeader(ctx, t, cluster.Addrs(), "moved.messages")
		for f.lastFrom() != leader {
			if ctx.Err() != nil {
				t.Fatalf("the tail fetches from %s, want the new leader, %s", f.lastFrom(), leader)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// TestNewestLeaders tells of partitions anew, also by a broker that is behind.
func TestNewestLeaders(t *testing.T) {
	type leaders = [][2]int32 // broker and epoch
	tests := []struct {
		name              string
		known, told, want leaders
	}{
		{"the first", nil, leaders{{1, 4}}, leaders{{1, 4}}},
		{"the same", leaders{{1, 4}}, leaders{{1, 4}}, leaders{{1, 4}}},
		{"a new one", leaders{{1, 4}}, leaders{{2, 5}}, leaders{{2, 5}}},
		{"none", leaders{{1, 4}}, leaders{{-1, 5}}, leaders{{-1, 5}}},
		{"an old one", leaders{{2, 5}}, leaders{{1, 4}}, leaders{{2, 5}}},
		{"an old one after none", leaders{{-1, 5}}, leaders{{1, 4}}, leaders{{-1, 5}}},
		{"of each what is newer", leaders{{1, 4}, {2, 5}}, leaders{{2, 5}, {1, 4}}, leaders{{2, 5}, {2, 5}}},
		{"more partitions", leaders{{1, 4}}, leaders{{1, 3}, {2, 0}}, leaders{{1, 4}, {2, 0}}},
		{"fewer, of a broker that is behind", leaders{{1, 4}, {2, 0}}, leaders{{1, 3}}, leaders{{1, 4}, {2, 0}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := kafka.Newest(test.known, test.told); !slices.Equal(got, test.want) {
				t.Errorf("Newest: %v, want %v", got, test.want)
			}
		})
	}
}

// moveLeader makes another replica the leader of a topic's partition 0, and
// returns the address of that one.
func moveLeader(ctx context.Context, t *testing.T, brokers []string, topic string) string {
	t.Helper()
	transport := &kafkago.Transport{MetadataTTL: 100 * time.Millisecond}
	defer transport.CloseIdleConnections()
	client := &kafkago.Client{Addr: kafkago.TCP(brokers...), Transport: transport, Timeout: 20 * time.Second}
	before := partitionOf(ctx, t, client, topic)
	var ids []int // the leader last
	for _, b := range before.Replicas {
		if b.ID != before.Leader.ID {
			ids = append(ids, b.ID)
		}
	}
	ids = append(ids, before.Leader.ID)
	moved, err := client.AlterPartitionReassignments(ctx, &kafkago.AlterPartitionReassignmentsRequest{
		Topic:       topic,
		Assignments: []kafkago.AlterPartitionReassignmentsRequestAssignment{{BrokerIDs: ids}},
		Timeout:     20 * time.Second,
	})
	if err != nil || moved.Error != nil {
		t.Fatalf("reassign: %+v, %v", moved, err)
	}
	for {
		answer, err := client.ElectLeaders(ctx, &kafkago.ElectLeadersRequest{Topic: topic, Partitions: []int{0}, Timeout: 20 * time.Second})
		if leader := partitionOf(ctx, t, client, topic).Leader; leader.ID == ids[0] {
			return net.JoinHostPort(leader.Host, fmt.Sprint(leader.Port))
		}
		if ctx.Err() != nil {
			t.Fatalf("the leader stays; elect leaders: %+v, %v", answer, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// partitionOf is partition 0 of a topic.
func partitionOf(ctx context.Context, t *testing.T, client *kafkago.Client, topic string) kafkago.Partition {
	t.Helper()
	m, err := client.Metadata(ctx, &kafkago.MetadataRequest{Topics: []string{topic}})
	if err != nil || len(m.Topics) != 1 || len(m.Topics[0].Partitions) != 1 {
		t.Fatalf("metadata of %s: %+v, %v", topic, m, err)
	}
	return m.Topics[0].Partitions[0]
}
