package archive_test

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/archive"
	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// awaitGauge waits until the gauge shows a value.
func awaitGauge(t *testing.T, what string, g prometheus.Gauge, want float64) {
	t.Helper()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	deadline := time.After(10 * time.Second)
	for testutil.ToFloat64(g) != want {
		select {
		case <-deadline:
			t.Fatalf("%s: got a gauge of %v, want %v", what, testutil.ToFloat64(g), want)
		case <-poll.C:
		}
	}
}

// slowStore puts messages when it is let.
type slowStore struct {
	*flakyStore
	let chan struct{}
}

func (s *slowStore) PutMessages(ctx context.Context, messages []chat.Message) error {
	select {
	case <-s.let:
		return s.flakyStore.PutMessages(ctx, messages)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestLagIsShown(t *testing.T) {
	r := newRig(t)
	slow := &slowStore{r.store, make(chan struct{})}
	archiver := archive.New(r.log, slow, r.options())
	appendSome := func(n int) {
		for range n {
			r.appendEvent(t, message("a", ""))
		}
	}
	awaitLag := func(what string, want float64) {
		t.Helper()
		awaitGauge(t, what, r.metrics.ArchiveLag, want)
	}
	archiving := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- archiver.ArchivePartition(ctx, partition) }()
		return func() {
			t.Helper()
			cancel()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
	}

	appendSome(5)
	stop := archiving()
	awaitLag("from before the start", 5)
	awaitGauge(t, "while it runs", r.metrics.ArchivePartitions, 1)
	slow.let <- struct{}{}
	awaitLag("caught up", 0)
	appendSome(1)
	awaitLag("from the batch that is being put", 1)

	r.store.putFailures.Store(math.MaxInt64)
	close(slow.let)
	appendSome(4)
	awaitLag("from while the store is down", 5)
	r.store.putFailures.Store(0)
	awaitLag("caught up with what the store missed", 0)

	r.store.putFailures.Store(math.MaxInt64)
	appendSome(2)
	awaitLag("from before it is given away", 2)
	stop()
	awaitLag("given away", 0)
	awaitGauge(t, "given away", r.metrics.ArchivePartitions, 0)
}
