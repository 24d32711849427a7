package client

import (
	"context"
	"time"
)

// backoff is an exponential backoff with full jitter: even the first retry is
// spread over its span, or all clients of a gateway that went away would be
// back in the same instant.
// (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/)
type backoff struct {
	// base is the span of the first wait, max that of the longest.
	base, max time.Duration
}

var (
	callBackoff   = backoff{base: 250 * time.Millisecond, max: 4 * time.Second}
	socketBackoff = backoff{base: 2 * time.Second, max: 30 * time.Second}
)

// delay is how long to wait after failure number n in a row, from 0. The
// server's own wish, asked, is a minimum that the jitter comes on top of.
// random is in [0, 1).
func (b backoff) delay(n int, asked time.Duration, random float64) time.Duration {
	span := b.base
	for range n {
		if span >= b.max {
			break
		}
		span *= 2
	}
	return asked + time.Duration(random*float64(min(span, b.max)))
}

// sleep waits, or answers the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
