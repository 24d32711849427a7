package doctor_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/doctor"
	"github.com/chatcluster/chatcluster/internal/log/kafka"
	"github.com/chatcluster/chatcluster/test/backends"
)

// TestBrokerDown kills one of three brokers: what it had is named.
func TestBrokerDown(t *testing.T) {
	c := backends.KafkaCluster(t, 3)
	o := kafka.Options{Brokers: c.Addrs(), Logger: slog.New(slog.DiscardHandler)}
	partitions := map[chat.Topic]int32{chat.TopicMessages: 2, chat.TopicRooms: 1}
	if err := kafka.Migrate(t.Context(), o, kafka.TopicSettings{Partitions: partitions, ReplicationFactor: 3}); err != nil {
		t.Fatal(err)
	}
	examine := func() []doctor.Finding {
		return bad(doctor.Examine(t.Context(), doctor.Options{Kafka: o}))
	}
	if findings := examine(); len(findings) > 0 {
		t.Errorf("three brokers: got %q, want nothing bad", findings)
	}
	c.Nodes[2].Kill(t)
	// The others notice once its session has ended.
	deadline := time.Now().Add(time.Minute)
	for len(examine()) < 4 && time.Now().Before(deadline) {
		time.Sleep(100 * time.Millisecond)
	}
	wantFindings(t, examine(), "FAIL kafka broker "+c.Nodes[2].Addr+"|refused",
		"warn chat.messages|partition 0, 1|not in sync: broker 3", "warn chat.rooms|broker 3", "warn chat.signals|broker 3")
}
