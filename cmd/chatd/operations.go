package main

import (
	"context"
	"errors"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/clean"
	"github.com/chatcluster/chatcluster/internal/config"
	"github.com/chatcluster/chatcluster/internal/control"
	loglocal "github.com/chatcluster/chatcluster/internal/log/local"
)

// archiveWait is how long a clean waits for the archivers.
const archiveWait = 10 * time.Second

// Clean is control.Operations.Clean in this process.
func (k *core) Clean(ctx context.Context, o clean.Options, progress func(clean.Report)) (clean.Report, error) {
	// What is still in the log only is hidden by the cutoff all the same, but
	// is not counted.
	waiting, cancel := context.WithTimeout(ctx, archiveWait)
	defer cancel()
	if err := k.archiver.Await(waiting); err != nil {
		k.logger.Warn("cleaning while archivers are behind", "error", err)
	}
	return k.cleaner.Clean(ctx, o, progress)
}

// CreateSuperuser is control.Operations.CreateSuperuser in this process.
func (k *core) CreateSuperuser(ctx context.Context, n chat.NewUser) (chat.User, error) {
	n.IsStaff = true
	return k.accounts.Register(ctx, n)
}

// withOperations calls f with the operations on the cluster, or on the data
// directory: in this process, or where a running server owns the directory,
// through that server.
func withOperations(ctx context.Context, c config.Config, s streams, f func(context.Context, control.Operations) error) error {
	logger := newLogger(c, s.err)
	if c.Cluster() {
		k, err := openCluster(ctx, c, 0, logger)
		if err != nil {
			return err
		}
		return errors.Join(f(ctx, k), k.close())
	}
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
