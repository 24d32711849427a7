// Package lifecycle runs the long-lived parts of a process and stops them in
// order.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Part is something that runs until its ctx ends. To return is to have
// stopped; a part that returns before its ctx ends stops the whole process.
type Part struct {
	// Name is for errors.
	Name string
	Run  func(ctx context.Context) error
}

// Run starts the parts of all stages. When ctx ends, or any part returns, it
// stops them stage by stage, the first stage first, each only after the parts
// of the stage before have returned. It returns what the parts returned,
// joined.
func Run(ctx context.Context, stages ...[]Part) error {
	failed := make(chan struct{})
	var (
		once sync.Once
		mu   sync.Mutex // guards errs
		errs []error
	)
	type running struct {
		stop context.CancelFunc
		done *sync.WaitGroup
	}
	started := make([]running, 0, len(stages))
	for _, stage := range stages {
		stageCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
		done := &sync.WaitGroup{}
		for _, part := range stage {
			done.Go(func() {
				err := part.Run(stageCtx)
				if stageCtx.Err() == nil && err == nil {
					err = errors.New("stopped by itself")
				}
				if err != nil {
					mu.Lock()
					errs = append(errs, fmt.Errorf("%s: %w", part.Name, err))
					mu.Unlock()
				}
				once.Do(func() { close(failed) })
			})
		}
		started = append(started, running{stop, done})
	}
	select {
	case <-ctx.Done():
	case <-failed:
	}
	for _, stage := range started {
		stage.stop()
		stage.done.Wait()
	}
	return errors.Join(errs...)
}
