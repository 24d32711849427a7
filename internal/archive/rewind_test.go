package archive_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/archive"
	"github.com/chatcluster/chatcluster/internal/chat"
	loglocal "github.com/chatcluster/chatcluster/internal/log/local"
	"github.com/chatcluster/chatcluster/internal/metrics"
	"github.com/chatcluster/chatcluster/test/embedded"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// lossyStore is a store that can lose what was written after its last sync. It
// has what an archiver needs of one partition.
type lossyStore struct {
	chat.MessageStore

	mu            sync.Mutex // guards the rest
	down          bool
	rows, synced  map[int64]string
	mark, markSaw chat.Watermark
	// asked counts the look-ups of the watermark that were answered, refused
	// those that were not.
	asked, refused int
}

func (s *lossyStore) call() error {
	if s.down {
		return chat.ErrUnavailable
	}
	return nil
}

func (s *lossyStore) Cutoff(context.Context) (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Time{}, s.call()
}

func (s *lossyStore) PutMessages(_ context.Context, messages []chat.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.call(); err != nil {
		return err
	}
	for _, m := range messages {
		s.rows[m.ID.Offset] = m.Text
	}
	return nil
}

func (s *lossyStore) Watermark(context.Context, chat.Partition) (chat.Watermark, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.call(); err != nil {
		s.refused++
		return chat.Watermark{}, err
	}
	s.asked++
	return s.mark, nil
}

func (s *lossyStore) SetWatermark(_ context.Context, _ chat.Partition, w chat.Watermark) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.call(); err != nil {
		return err
	}
	if w.Next > s.mark.Next {
		s.mark = w
	}
	return nil
}

func (s *lossyStore) sync() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.synced, s.markSaw = maps.Clone(s.rows), s.mark
}

// crash loses what was not synced; keepMark spares the watermark, as where it
// lies on other nodes than the rows.
func (s *lossyStore) crash(keepMark bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows = maps.Clone(s.synced)
	if !keepMark {
		s.mark = s.markSaw
	}
}

func (s *lossyStore) setDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *lossyStore) texts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var texts []string
	for _, offset := range slices.Sorted(maps.Keys(s.rows)) {
		texts = append(texts, s.rows[offset])
	}
	return texts
}

func (s *lossyStore) counts() (asked, refused int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked, s.refused
}

// lossyRig is an archiver to a lossyStore that runs while the test does.
type lossyRig struct {
	log     *loglocal.Log
	store   *lossyStore
	metrics *metrics.Metrics
	// stop ends the archiver.
	stop func()
}

const lossWindow = 30 * time.Second

func newLossyRig(t *testing.T) *lossyRig {
	t.Helper()
	log, _ := embedded.Open(t, loglocal.Options{})
	r := &lossyRig{log: log, metrics: metrics.New("test"), store: &lossyStore{rows: map[int64]string{}, synced: map[int64]string{}}}
	r.start(t)
	return r
}

func (r *lossyRig) start(t *testing.T) {
	a := archive.New(r.log, r.store, archive.Options{
		Metrics: r.metrics, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: time.Now,
		LossWindow: lossWindow, CheckEvery: 20 * time.Millisecond,
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.ArchivePartition(ctx, partition) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { r.stop() })
}

func (r *lossyRig) send(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if _, _, err := r.log.Append(t.Context(), partition, room, chat.AppendEvent(nil, message(text, ""))); err != nil {
			t.Fatal(err)
		}
	}
}

func (r *lossyRig) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	poll, limit := time.NewTicker(time.Millisecond), time.After(20*time.Second)
	defer poll.Stop()
	for !holds() {
		select {
		case <-limit:
			t.Fatalf("%s: it did not come to that; the store has %q", what, r.store.texts())
		case <-poll.C:
		}
	}
}

func (r *lossyRig) awaitStored(t *testing.T, what string, want ...string) {
	t.Helper()
	r.await(t, what, func() bool { return slices.Equal(r.store.texts(), want) })
}

// awaitIdle waits until the archiver has confirmed what it wrote last.
func (r *lossyRig) awaitIdle(t *testing.T) {
	t.Helper()
	before, _ := r.store.counts()
	r.await(t, "idle", func() bool { asked, _ := r.store.counts(); return asked > before+1 })
}

// What an idle archiver wrote, and the store lost together with the watermark,
// is written again, also where the archiver has seen no failure.
func TestIdleArchiverNoticesALostWatermark(t *testing.T) {
	r := newLossyRig(t)
	r.send(t, "a")
	r.awaitStored(t, "archived", "a")
	r.awaitIdle(t)
	r.store.sync()
	r.send(t, "b", "c")
	r.awaitStored(t, "archived", "a", "b", "c")
	r.awaitIdle(t)
	r.store.crash(false)
	r.awaitStored(t, "after the crash", "a", "b", "c")
	r.send(t, "d")
	r.awaitStored(t, "later", "a", "b", "c", "d")
}

// Rows that are lost below a watermark that is not are written again after any
// failure of the store.
func TestRowsLostBelowTheWatermark(t *testing.T) {
	for _, tc := range []struct {
		name string
		// end is what happens to the archiver while the store is away.
		end func(*testing.T, *lossyRig)
	}{
		{"the archiver lives on", func(t *testing.T, r *lossyRig) {
			_, before := r.store.counts()
			r.await(t, "failure", func() bool { _, refused := r.store.counts(); return refused > before })
		}},
		{"the archiver ends too", func(t *testing.T, r *lossyRig) { r.stop(); r.start(t) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newLossyRig(t)
			r.send(t, "a")
			r.awaitStored(t, "archived", "a")
			r.awaitIdle(t)
			r.store.sync()
			r.send(t, "b", "c")
			r.awaitStored(t, "archived", "a", "b", "c")
			r.awaitIdle(t)

			r.store.setDown(true)
			r.store.crash(true)
			tc.end(t, r)
			r.store.setDown(false)
			r.awaitStored(t, "after the crash", "a", "b", "c")
			if got := testutil.ToFloat64(r.metrics.Archived); got != 3 {
				t.Errorf("archived: got %v, want 3: what is written again is not counted", got)
			}
		})
	}
}

// The same while many rows are written, again and again.
func TestRowsLostWhileBusy(t *testing.T) {
	r := newLossyRig(t)
	var want []string
	for n := range 5 {
		for i := range 20 {
			text := fmt.Sprint(n, "/", i)
			r.send(t, text)
			want = append(want, text)
			if i == 10 {
				r.store.sync()
			}
		}
		r.store.setDown(true)
		_, before := r.store.counts()
		r.await(t, "failure", func() bool { _, refused := r.store.counts(); return refused > before })
		r.store.crash(n%2 == 0)
		r.store.setDown(false)
		r.awaitStored(t, "after the crash", want...)
	}
}
