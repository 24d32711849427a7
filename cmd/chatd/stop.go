package main

import (
	"context"
	"fmt"
	"time"
)

// stopWithin runs f, and gives up on it if it has not returned when ctx ended
// that long ago: a backend that hangs must not make the process be killed
// without a word.
func stopWithin(ctx context.Context, limit time.Duration, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("has not stopped in %s, and is given up", limit)
	}
}
