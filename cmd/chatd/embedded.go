package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/clean"
	"github.com/chatcluster/chatcluster/internal/config"
	loglocal "github.com/chatcluster/chatcluster/internal/log/local"
	"github.com/chatcluster/chatcluster/internal/store/cached"
	storelocal "github.com/chatcluster/chatcluster/internal/store/local"
)

// embedded is a core over a data directory.
type embedded struct {
	*core
	segments *loglocal.Log
	disk     *storelocal.Store
}

// openEmbedded opens the data directory; the error is loglocal.ErrLocked where
// another process owns it.
func openEmbedded(c config.Config, logger *slog.Logger) (*embedded, error) {
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	partitions := map[chat.Topic]int32{}
	if c.LogPartitions > 0 {
		for _, topic := range chat.Topics() {
			partitions[topic] = c.LogPartitions
		}
	}
	segments, err := loglocal.Open(filepath.Join(c.DataDir, "log"), loglocal.Options{Partitions: partitions, Logger: logger})
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	disk, err := storelocal.Open(filepath.Join(c.DataDir, "store"), storelocal.Options{Logger: logger})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store: %w", err), segments.Close())
	}
	// Everything is written through the cache by this process alone, so what it
	// knows stays right.
	memory := cached.Options{Fresh: time.Hour}
	return &embedded{core: newCore(c, logger, segments, disk, memory), segments: segments, disk: disk}, nil
}

// close closes the log last: the store is a view of it.
func (e *embedded) close() error {
	e.store.Close()
	return errors.Join(e.disk.Close(), e.segments.Close())
}

const (
	// upkeepInterval is how often the log is trimmed.
	upkeepInterval = time.Minute
	// logRetention is how long archived records stay in the log, for resumes.
	logRetention = time.Hour
	// expiryInterval is how often expired messages and log-ins are deleted from
	// the disk; they cannot be read any more long before.
	expiryInterval = time.Hour
)

// watchDisk ends the process's run when the disk has failed under the store,
// whose engine cannot go on from there: the next start recovers.
func (e *embedded) watchDisk(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-e.disk.Failed():
		return errors.New("the disk failed under the store; see the log, and start again")
	}
}

// upkeep trims the log behind the archiver and deletes what has expired.
func (e *embedded) upkeep(ctx context.Context) error {
	trim, expire := time.NewTicker(upkeepInterval), time.NewTicker(expiryInterval)
	defer trim.Stop()
	defer expire.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-trim.C:
			err = e.trimLog(ctx)
		case <-expire.C:
			_, err = e.cleaner.Clean(ctx, clean.Options{Days: int(e.config.MessageTTL/(24*time.Hour)) + 1}, func(clean.Report) {})
		}
		if err != nil && ctx.Err() == nil {
			e.logger.Warn("upkeep failed", "error", err)
		}
	}
}

// trimLog deletes what is archived and old from the messages, and what is old
// from the topics that nobody archives. The store is flushed between the
// reading of the watermarks and the trimming: until then the log is all that
// would survive a crash of the machine.
func (e *embedded) trimLog(ctx context.Context) error {
	archived, err := e.archived(ctx)
	if err != nil {
		return err
	}
	if err := e.disk.Flush(ctx); err != nil {
		return fmt.Errorf("flush store: %w", err)
	}
	old := time.Now().Add(-logRetention)
	for _, topic := range chat.Topics() {
		count, err := e.segments.Partitions(ctx, topic)
		if err != nil {
			return fmt.Errorf("count partitions: %w", err)
		}
		for n := range count {
			p := chat.Partition{Topic: topic, Number: n}
			// Readers of the log need the window to know a repeat. What nobody
			// archives goes when the topic's own retention ends.
			if err := e.segments.Trim(ctx, p, archived[p]-chat.FoldWindow, old); err != nil {
				return fmt.Errorf("trim log: %w", err)
			}
		}
	}
	return nil
}

// archived is how far the partitions of the messages are archived.
func (e *embedded) archived(ctx context.Context) (map[chat.Partition]int64, error) {
	count, err := e.segments.Partitions(ctx, chat.TopicMessages)
	if err != nil {
		return nil, fmt.Errorf("count partitions: %w", err)
	}
	archived := map[chat.Partition]int64{}
	for n := range count {
		p := chat.Partition{Topic: chat.TopicMessages, Number: n}
		watermark, err := e.store.Watermark(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("read watermark: %w", err)
		}
		archived[p] = watermark.Next
	}
	return archived, nil
}
