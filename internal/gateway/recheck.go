package gateway

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// recheckers is how many rights are looked up at a time.
	recheckers = 8
	// recheckRetry is the pause after a look-up that failed.
	recheckRetry = 500 * time.Millisecond
)

// rechecker is someone whose rights may have changed. It is comparable, so that
// it waits only once.
type rechecker interface {
	// recheck looks the rights up and acts on them; an error means that it
	// could not, and has to be called again.
	recheck(ctx context.Context) error
}

// rechecks looks rights up again, apart from the fan-out, which must not wait
// for the store. What waits is bounded by the sockets and their rooms.
type rechecks struct {
	mu      sync.Mutex // guards waiting
	waiting map[rechecker]struct{}
	wake    chan struct{}
}

func newRechecks() *rechecks {
	return &rechecks{waiting: map[rechecker]struct{}{}, wake: make(chan struct{}, 1)}
}

// add never blocks.
func (r *rechecks) add(who rechecker) {
	r.mu.Lock()
	r.waiting[who] = struct{}{}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *rechecks) take() map[rechecker]struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.waiting
	r.waiting = map[rechecker]struct{}{}
	return taken
}

func (r *rechecks) run(ctx context.Context, logger *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		}
		if !r.round(ctx, logger) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(recheckRetry):
			}
		}
	}
}

// round looks at all that wait, and reports false if some have to wait on.
func (r *rechecks) round(ctx context.Context, logger *slog.Logger) bool {
	var group errgroup.Group
	group.SetLimit(recheckers)
	for who := range r.take() {
		group.Go(func() error {
			limited, cancel := context.WithTimeout(ctx, backendTimeout)
			defer cancel()
			err := who.recheck(limited)
			if err != nil {
				r.add(who)
			}
			return err
		})
	}
	err := group.Wait()
	if err != nil && ctx.Err() == nil {
		logger.Warn("rights could not be looked up", "error", err)
	}
	return err == nil
}
