package main

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/log/kafka"
	"github.com/chatcluster/chatcluster/internal/store/cassandra"
)

// backendError is why one of a cluster's backends could not be opened.
type backendError struct {
	// name is that of the check that fails meanwhile.
	name string
	err  error
}

func (e *backendError) Error() string { return "open " + e.name + ": " + e.err.Error() }

func (e *backendError) Unwrap() error { return e.err }

// lacking says what a start has to wait for after this error; empty where to
// wait does not help: credentials stay wrong, and a schema does not get older.
func lacking(err error) string {
	var (
		schema  *cassandra.SchemaError
		denied  *kafka.DeniedError
		backend *backendError
	)
	switch {
	case errors.As(err, &schema):
		if schema.Found < schema.Want {
			return "schema"
		}
	case errors.As(err, &denied):
	case errors.As(err, &backend) && errors.Is(err, chat.ErrUnavailable):
		return backend.name
	}
	return ""
}

// awaitBackends calls open until it succeeds, until its error is one that
// stays, or until ctx ends. What is lacking goes to the log, and to lacks, when
// it changes.
func awaitBackends(ctx context.Context, open func(context.Context) error, logger *slog.Logger, lacks func(string)) error {
	began, last := time.Now(), ""
	for attempt := 0; ; attempt++ {
		err := open(ctx)
		if err == nil {
			if last != "" {
				logger.Info("backends are there", "waited", time.Since(began).Round(time.Millisecond))
			}
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		missing := lacking(err)
		if missing == "" {
			return err
		}
		if missing != last {
			logger.Warn("waiting to start", "for", missing, "error", err)
			lacks(missing)
			last = missing
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(startPause(attempt)):
		}
	}
}

// startPause grows from 250 ms to 15 s, with up to half of it at random so that
// replicas do not come in step.
func startPause(attempt int) time.Duration {
	d := min(250*time.Millisecond<<min(attempt, 10), 15*time.Second)
	return d/2 + rand.N(d/2)
}
