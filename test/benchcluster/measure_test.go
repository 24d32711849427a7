package benchcluster_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// times are how long calls took.
type times []time.Duration

// percentile is in milliseconds.
func (t times) percentile(p int) float64 {
	slices.Sort(t)
	return milliseconds(t[len(t)*p/100])
}

// report reports the 50th and the 99th percentile.
func (t times) report(b *testing.B, prefix string) {
	b.Helper()
	if len(t) == 0 {
		b.Fatalf("%s: nothing was measured", prefix)
	}
	b.ReportMetric(t.percentile(50), prefix+"p50-ms")
	b.ReportMetric(t.percentile(99), prefix+"p99-ms")
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// pace calls f so often per second for so long, each time in a goroutine of its
// own: whoever is slow does not get fewer calls.
func pace(b *testing.B, perSecond int, d time.Duration, f func(i int) error) times {
	b.Helper()
	calls := make(times, int(float64(perSecond)*d.Seconds()))
	var wait sync.WaitGroup
	start := time.Now()
	for i := range calls {
		time.Sleep(time.Until(start.Add(time.Duration(i) * time.Second / time.Duration(perSecond))))
		wait.Go(func() {
			began := time.Now()
			if err := f(i); err != nil {
				b.Error(err)
			}
			calls[i] = time.Since(began)
		})
	}
	wait.Wait()
	return calls
}

// saturate calls f from so many goroutines for the window, each waiting for its
// last call, and returns the calls per second.
func saturate(b *testing.B, callers int, f func(i int) error) float64 {
	b.Helper()
	var wait sync.WaitGroup
	var calls atomic.Int64
	start := time.Now()
	for i := range callers {
		wait.Go(func() {
			for time.Since(start) < *window {
				if err := f(i); err != nil {
					b.Error(err)
					return
				}
				calls.Add(1)
			}
		})
	}
	wait.Wait()
	return float64(calls.Load()) / time.Since(start).Seconds()
}
