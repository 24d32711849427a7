package main

import (
	"context"
	"fmt"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/readiness"
)

// watchBackends watches both. withoutCassandra is for roles that do not need it
// to be of use: if every replica called itself unready, none would serve what
// still works.
func (k *cluster) watchBackends(withoutCassandra bool) *readiness.Watch {
	return readiness.NewWatch(
		readiness.Options{Grace: k.config.ReadyGrace, Up: k.metrics.DependencyUp, Now: time.Now, Logger: k.logger},
		readiness.Dependency{Name: "kafka", Check: k.askKafka},
		readiness.Dependency{Name: "cassandra", Check: k.askCassandra, Tolerated: withoutCassandra},
	)
}

// askKafka asks the leader of the one partition that every process follows for
// its bounds.
func (k *cluster) askKafka(ctx context.Context) error {
	if _, err := k.kafka.Bounds(ctx, chat.Announcements); err != nil {
		return fmt.Errorf("ask Kafka: %w", err)
	}
	return nil
}

// askCassandra reads a row as all reads do, by a quorum, past the cache.
func (k *cluster) askCassandra(ctx context.Context) error {
	if _, err := k.cassandra.Watermark(ctx, chat.Announcements); err != nil {
		return fmt.Errorf("ask Cassandra: %w", err)
	}
	return nil
}
