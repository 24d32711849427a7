package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/clean"
	"github.com/chatcluster/chatcluster/internal/config"
	"github.com/chatcluster/chatcluster/internal/control"
	loglocal "github.com/chatcluster/chatcluster/internal/log/local"
)

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
	e, err := openEmbedded(c, logger)
	if errors.Is(err, loglocal.ErrLocked) {
		return f(ctx, control.Dial(c.DataDir))
	}
	if err != nil {
		return err
	}
	archiving, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- e.archiver.Run(archiving) }()
	err = f(ctx, e)
	stop()
	return errors.Join(err, <-done, e.close())
}
