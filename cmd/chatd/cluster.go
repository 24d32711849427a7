package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/config"
	"github.com/chatcluster/chatcluster/internal/connect"
	"github.com/chatcluster/chatcluster/internal/log/kafka"
	"github.com/chatcluster/chatcluster/internal/store/cached"
	"github.com/chatcluster/chatcluster/internal/store/cassandra"
)

const (
	// cacheFresh is how long a replica believes what another may have changed
	// without its knowledge. Sockets hear of changes by the log, and do not depend
	// on it.
	cacheFresh = time.Second
	// cacheFollowed is how long it believes what another can only have changed
	// with its knowledge; see ADR 0011 for when that is not so.
	cacheFollowed = time.Minute
	// cacheStale is how long a replica goes on while Cassandra is down.
	cacheStale = 15 * time.Minute
)

// cluster is a core over Kafka and Cassandra.
type cluster struct {
	*core
	kafka     *kafka.Log
	cassandra *cassandra.Store
}

// openCluster connects to both. What is wrong with either is reported at once,
// as a *backendError.
//
// fetchLinger is that of kafka.Options.
func openCluster(ctx context.Context, c config.Config, fetchLinger time.Duration, logger *slog.Logger) (*cluster, error) {
	logOptions, storeOptions, err := connect.Options(c, processName(), logger)
	if err != nil {
		return nil, err
	}
	store, err := cassandra.Open(ctx, storeOptions)
	if err != nil {
		return nil, &backendError{"cassandra", err}
	}
	logOptions.Epochs, logOptions.FetchLinger = store, fetchLinger
	log, err := kafka.Open(ctx, logOptions)
	if err != nil {
		store.Close()
		return nil, &backendError{"kafka", err}
	}
	memory := cached.Options{
		Fresh: cacheFresh, Followed: cacheFollowed, Stale: cacheStale, Announce: chat.NewPublisher(log).Announce,
	}
	k := &cluster{core: newCore(c, logger, log, store, memory), kafka: log, cassandra: store}
	// From here on history can be read without Cassandra, see ADR 0007.
	if _, err := k.messages.Cutoff(ctx); err != nil {
		return nil, errors.Join(&backendError{"cassandra", err}, k.close())
	}
	return k, nil
}

// awaitCluster is openCluster for what can wait. Meanwhile the probes are
// answered at the listeners.
func awaitCluster(ctx context.Context, c config.Config, fetchLinger time.Duration, logger *slog.Logger, l listeners) (k *cluster, err error) {
	probes := newStarting()
	stop := probes.serve(l, logger)
	defer stop()
	err = awaitBackends(ctx, func(ctx context.Context) (err error) {
		k, err = openCluster(ctx, c, fetchLinger, logger)
		return err
	}, logger, func(what string) { probes.lacks.Store(what) })
	return k, err
}

func (k *cluster) close() error {
	k.store.Close()
	err := k.kafka.Close()
	k.cassandra.Close()
	return err
}

// topicSettings are what migrate makes the topics like.
func topicSettings(c config.Config) kafka.TopicSettings {
	return kafka.TopicSettings{
		Partitions: map[chat.Topic]int32{
			chat.TopicMessages: c.Kafka.Partitions, chat.TopicRooms: c.Kafka.Partitions, chat.TopicSignals: 1,
		},
		ReplicationFactor: int16(c.Kafka.ReplicationFactor),
		MinInsync:         c.Kafka.MinInsync,
		Retention:         map[chat.Topic]time.Duration{chat.TopicMessages: c.Kafka.Retention},
	}
}

// migrate makes the schema and the topics, or brings them up to date.
func migrate(ctx context.Context, c config.Config, logger *slog.Logger) error {
	logOptions, storeOptions, err := connect.Options(c, processName(), logger)
	if err != nil {
		return err
	}
	if err := cassandra.Migrate(ctx, storeOptions); err != nil {
		return fmt.Errorf("migrate Cassandra: %w", err)
	}
	if err := kafka.Migrate(ctx, logOptions, topicSettings(c)); err != nil {
		return fmt.Errorf("migrate Kafka: %w", err)
	}
	return nil
}

// processName names this process among those of the cluster. Two runs on one
// host differ, so that the second does not take over the first one's lease.
func processName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "chatd"
	}
	var suffix [4]byte
	rand.Read(suffix[:])
	return host + "-" + hex.EncodeToString(suffix[:])
}
