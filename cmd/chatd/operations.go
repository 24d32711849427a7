package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/chatcluster/chatcluster/internal/archive"
	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/clean"
	"github.com/chatcluster/chatcluster/internal/config"
	"github.com/chatcluster/chatcluster/internal/control"
	loglocal "github.com/chatcluster/chatcluster/internal/log/local"
	"github.com/chatcluster/chatcluster/internal/metrics"
	"github.com/chatcluster/chatcluster/internal/store/cached"
	storelocal "github.com/chatcluster/chatcluster/internal/store/local"
)

// core is what every role of the standalone server stands on.
type core struct {
	config   config.Config
	logger   *slog.Logger
	metrics  *metrics.Metrics
	log      *loglocal.Log
	disk     *storelocal.Store
	store    *cached.Store // of disk
	accounts *chat.Accounts
	rooms    *chat.Rooms
	messages *chat.Messages
	archiver *archive.Archiver
	cleaner  *clean.Cleaner
}

// openCore opens the data directory; the error is loglocal.ErrLocked where
// another process owns it.
func openCore(c config.Config, logger *slog.Logger) (*core, error) {
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	partitions := map[chat.Topic]int32{}
	for _, topic := range chat.Topics() {
		partitions[topic] = c.LogPartitions
	}
	log, err := loglocal.Open(filepath.Join(c.DataDir, "log"), loglocal.Options{Partitions: partitions, Logger: logger})
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	disk, err := storelocal.Open(filepath.Join(c.DataDir, "store"), storelocal.Options{Logger: logger})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store: %w", err), log.Close())
	}
	// Everything is written through the cache by this process alone, so what it
	// knows stays right.
	store := cached.New(disk, cached.Options{Entries: cacheEntries, Fresh: time.Hour, Now: time.Now})
	k := &core{config: c, logger: logger, metrics: metrics.New(version), log: log, disk: disk, store: store}
	k.build()
	return k, nil
}

// cacheEntries bounds each kind of thing that is kept in memory.
const cacheEntries = 100_000

// build makes the services; nothing of it runs yet.
func (k *core) build() {
	c := k.config
	publisher := chat.NewPublisher(k.log)
	k.accounts = chat.NewAccounts(k.store, publisher, chat.AccountsOptions{
		TokenTTL:         c.TokenTTL,
		LoginsPerAccount: perMinute(c.AccountLogins),
		LoginsPerAddress: perMinute(c.AddressLogins),
		Now:              time.Now,
	})
	access, _ := chat.ParseAccess(c.SessionAccess) // the configuration was validated
	limits := chat.Limits{MessageBytes: c.MaxMessageBytes, MinTTL: time.Minute, MaxTTL: c.MessageTTL}
	k.rooms = chat.NewRooms(k.store, k.accounts, publisher, chat.RoomsOptions{
		SessionAccess: access, Limits: limits, Now: time.Now,
	})
	k.messages = chat.NewMessages(k.log, k.store, k.rooms, publisher, chat.MessagesOptions{
		TTL: c.MessageTTL, Limits: limits, SendRate: chat.Rate{PerSecond: c.SendRate, Burst: c.SendBurst},
		MaxLag: maxLag, Now: time.Now,
	})
	k.archiver = archive.New(k.log, k.store, archive.Options{Metrics: k.metrics, Logger: k.logger, Now: time.Now})
	k.cleaner = clean.New(k.store, publisher, time.Now)
}

// maxLag is how many bytes of the log a history read goes through at most.
const maxLag = 16 << 20

func perMinute(n int) chat.Rate { return chat.Rate{PerSecond: float64(n) / 60, Burst: n} }

// close closes the log last: the store is a view of it.
func (k *core) close() error { return errors.Join(k.disk.Close(), k.log.Close()) }

// Clean is control.Operations.Clean in this process.
func (k *core) Clean(ctx context.Context, o clean.Options, progress func(clean.Report)) (clean.Report, error) {
	// What is still in the log only would be hidden by the cutoff, but not
	// counted.
	if err := k.awaitArchiver(ctx); err != nil {
		return clean.Report{}, err
	}
	return k.cleaner.Clean(ctx, o, progress)
}

// archiveWait is how long a clean waits for the archiver.
const archiveWait = 10 * time.Second

func (k *core) awaitArchiver(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, archiveWait)
	defer cancel()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		caught, err := k.archiver.Caught(ctx)
		if caught || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the archiver: %w", ctx.Err())
		case <-poll.C:
		}
	}
}

// CreateSuperuser is control.Operations.CreateSuperuser in this process.
func (k *core) CreateSuperuser(ctx context.Context, n chat.NewUser) (chat.User, error) {
	n.IsStaff = true
	return k.accounts.Register(ctx, n)
}

// withOperations calls f with the operations on the data directory: in this
// process, or where a running server owns the directory, through that server.
func withOperations(ctx context.Context, c config.Config, s streams, f func(context.Context, control.Operations) error) error {
	logger := newLogger(c, s.err)
	k, err := openCore(c, logger)
	if errors.Is(err, loglocal.ErrLocked) {
		return f(ctx, control.Dial(c.DataDir))
	}
	if err != nil {
		return err
	}
	archiving, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- k.archiver.Run(archiving) }()
	err = f(ctx, k)
	stop()
	return errors.Join(err, <-done, k.close())
}
