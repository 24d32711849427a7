package readiness

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
)

const (
	// interval is the pause between two checks of a dependency.
	interval = 2 * time.Second
	// timeout is how long a check may take.
	timeout = 2 * time.Second
)

// Dependency is something outside of the process.
type Dependency struct {
	Name string
	// Check asks for a sign of life. It must end with its ctx.
	Check func(context.Context) error
	// Tolerated is for what the process can serve without, for a while or in
	// part.
	Tolerated bool
}

// Options are the settings of a Watch; all are required.
type Options struct {
	// Grace is how long a dependency may be away unnoticed.
	Grace time.Duration
	// Up is 1 for each dependency that answered its last check, else 0.
	Up     *prometheus.GaugeVec // dependency
	Now    func() time.Time
	Logger *slog.Logger
}

// Watch checks dependencies in the background, so that a probe costs nothing
// and never waits.
type Watch struct {
	options      Options
	dependencies []Dependency

	mu sync.Mutex // guards lost
	// lost has, for each dependency, since when its checks fail and why.
	lost []loss
}

type loss struct {
	since time.Time // zero while it answers
	err   error
}

// NewWatch returns a Watch, to which all dependencies are there until Run has
// found otherwise.
func NewWatch(o Options, dependencies ...Dependency) *Watch {
	for _, d := range dependencies {
		o.Up.WithLabelValues(d.Name).Set(1)
	}
	return &Watch{options: o, dependencies: dependencies, lost: make([]loss, len(dependencies))}
}

// Run checks until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	var group errgroup.Group
	for i := range w.dependencies {
		group.Go(func() error {
			w.follow(ctx, i)
			return nil
		})
	}
	return group.Wait()
}

// follow checks one dependency, apart from the others: one that hangs must not
// hide how they are.
func (w *Watch) follow(ctx context.Context, i int) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		began := w.options.Now()
		limited, cancel := context.WithTimeout(ctx, timeout)
		err := w.dependencies[i].Check(limited)
		cancel()
		if ctx.Err() != nil {
			return
		}
		w.learn(i, began, err)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (w *Watch) learn(i int, began time.Time, err error) {
	name := w.dependencies[i].Name
	w.mu.Lock()
	before := w.lost[i]
	switch {
	case err == nil:
		w.lost[i] = loss{}
	case before.since.IsZero():
		w.lost[i] = loss{began, err}
	default:
		w.lost[i].err = err
	}
	w.mu.Unlock()

	switch {
	case err == nil && !before.since.IsZero():
		w.options.Logger.Info("dependency is back", "dependency", name, "away", w.options.Now().Sub(before.since).Round(time.Second))
	case err != nil && before.since.IsZero():
		w.options.Logger.Warn("dependency does not answer", "dependency", name, "error", err)
	}
	up := 1.0
	if err != nil {
		up = 0
	}
	w.options.Up.WithLabelValues(name).Set(up)
}

// Checks is how the dependencies are: one that has been away for less than the
// grace counts as there.
func (w *Watch) Checks() []Check {
	now := w.options.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	checks := make([]Check, len(w.dependencies))
	for i, d := range w.dependencies {
		checks[i] = Check{Name: d.Name, Tolerated: d.Tolerated}
		if l := w.lost[i]; !l.since.IsZero() && now.Sub(l.since) >= w.options.Grace {
			checks[i].Err = l.err
		}
	}
	return checks
}
