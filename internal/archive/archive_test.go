package archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/archive"
	"github.com/chatcluster/chatcluster/internal/chat"
	loglocal "github.com/chatcluster/chatcluster/internal/log/local"
	"github.com/chatcluster/chatcluster/internal/metrics"
	storelocal "github.com/chatcluster/chatcluster/internal/store/local"
	"github.com/chatcluster/chatcluster/test/embedded"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var partition = chat.Partition{Topic: chat.TopicMessages}

const room = "040213b14a02451"

// rig is a log, a store that can be made to fail, and an archiver between.
type rig struct {
	log      *loglocal.Log
	store    *flakyStore
	metrics  *metrics.Metrics
	archiver *archive.Archiver
}

func newRig(t *testing.T) *rig {
	t.Helper()
	log, store := embedded.Open(t, loglocal.Options{})
	r := &rig{log: log, store: &flakyStore{Store: store}, metrics: metrics.New("test")}
	r.archiver = archive.New(log, r.store, r.options())
	return r
}

func (r *rig) options() archive.Options {
	return archive.Options{Metrics: r.metrics, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: time.Now}
}

// flakyStore fails its next calls, as many as it is told to.
type flakyStore struct {
	*storelocal.Store
	putFailures, foreignFailures, watermarkFailures atomic.Int64
}

var errDown = errors.New("store is down")

func (s *flakyStore) PutMessages(ctx context.Context, messages []chat.Message) error {
	if s.putFailures.Add(-1) >= 0 {
		return errDown
	}
	return s.Store.PutMessages(ctx, messages)
}

func (s *flakyStore) PutForeign(ctx context.Context, records []chat.ForeignRecord) error {
	if s.foreignFailures.Add(-1) >= 0 {
		return errDown
	}
	return s.Store.PutForeign(ctx, records)
}

func (s *flakyStore) SetWatermark(ctx context.Context, p chat.Partition, w chat.Watermark) error {
	if s.watermarkFailures.Add(-1) >= 0 {
		return errDown
	}
	return s.Store.SetWatermark(ctx, p, w)
}

func (r *rig) appendEvent(t *testing.T, ev chat.Event) chat.Record {
	t.Helper()
	rec, _, err := r.log.Append(t.Context(), partition, room, chat.AppendEvent(nil, ev))
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func message(text, key string) chat.Event {
	return chat.Event{Kind: chat.EventMessage, Sender: chat.Profile{ID: 1, Username: "amir"}, Text: text, Key: key, TTL: time.Hour}
}

// run archives until everything is in the store.
func (r *rig) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	done := make(chan error, 1)
	go func() { done <- r.archiver.Run(ctx) }()
	if err := r.archiver.Await(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func (r *rig) stored(t *testing.T) []string {
	t.Helper()
	messages, err := r.store.Messages(t.Context(), chat.MessageQuery{RoomURI: room, Limit: 10_000, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, m := range messages {
		texts = append(texts, m.Text)
	}
	return texts
}

func TestArchivesMessagesOnce(t *testing.T) {
	r := newRig(t)
	r.appendEvent(t, message("a", "k"))
	r.appendEvent(t, chat.Event{Kind: chat.EventEnter, Sender: chat.Profile{ID: 1}})
	r.appendEvent(t, message("a", "k")) // a repeat
	expired := message("expired", "")
	expired.TTL = 0
	r.appendEvent(t, expired)
	r.run(t)
	r.appendEvent(t, message("b", ""))
	// The window reaches back over the restart: this is a repeat too.
	r.appendEvent(t, message("a", "k"))
	r.run(t)
	if got, want := r.stored(t), []string{"a", "b"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := testutil.ToFloat64(r.metrics.Archived); got != 2 {
		t.Errorf("archived: got %v, want 2", got)
	}
}

func TestForeignRecordIsSkippedCountedAndKept(t *testing.T) {
	r := newRig(t)
	r.store.foreignFailures.Store(2)
	r.appendEvent(t, message("a", ""))
	value := []byte("I am not an event")
	foreign, _, err := r.log.Append(t.Context(), partition, room, value)
	if err != nil {
		t.Fatal(err)
	}
	r.appendEvent(t, message("b", ""))
	r.run(t)
	if got, want := r.stored(t), []string{"a", "b"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := testutil.ToFloat64(r.metrics.ForeignRecords); got != 1 {
		t.Errorf("foreign records: got %v, want 1", got)
	}
	kept, err := r.store.ForeignOf(t.Context(), partition, 10)
	if err != nil || len(kept) != 1 || kept[0].Offset != foreign.Offset || kept[0].Key != room || !bytes.Equal(kept[0].Value, value) {
		t.Errorf("kept: got %+v, error %v, want the record at %d", kept, err, foreign.Offset)
	}
}

func TestCatchesUpAfterTheStoreWasDown(t *testing.T) {
	for _, tc := range []struct {
		name string
		fail func(*flakyStore)
	}{
		{"before the messages", func(s *flakyStore) { s.putFailures.Store(3) }},
		{"between the messages and the watermark", func(s *flakyStore) { s.watermarkFailures.Store(3) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			tc.fail(r.store)
			var want []string
			for n := range 50 {
				text := fmt.Sprint(n)
				r.appendEvent(t, message(text, text))
				want = append(want, text)
			}
			r.run(t)
			if got := r.stored(t); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestReplayBringsNothingBack(t *testing.T) {
	r := newRig(t)
	r.appendEvent(t, message("a", ""))
	r.run(t)
	now := time.Now()
	if err := r.store.SetCutoff(t.Context(), now.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.store.DeleteMessages(t.Context(), room, now.Add(time.Second), now, false); err != nil {
		t.Fatal(err)
	}
	// An archiver whose watermark was lost reads the log from its beginning.
	forgetful := archive.New(r.log, &forgetfulStore{r.store}, r.options())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	archived := testutil.ToFloat64(r.metrics.Archived)
	go func() { done <- forgetful.ArchivePartition(ctx, partition) }()
	r.appendEvent(t, chat.Event{Kind: chat.EventEnter})
	rec := r.appendEvent(t, chat.Event{Kind: chat.EventEnter})
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for w := (chat.Watermark{}); w.Next <= rec.Offset; <-poll.C {
		var err error
		if w, err = r.store.Watermark(ctx, partition); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := r.stored(t); len(got) != 0 {
		t.Errorf("got %q, want nothing", got)
	}
	if got := testutil.ToFloat64(r.metrics.Archived); got != archived {
		t.Errorf("archived: got %v, want %v as before", got, archived)
	}
}

// forgetfulStore has lost its watermarks.
type forgetfulStore struct{ *flakyStore }

func (s *forgetfulStore) Watermark(context.Context, chat.Partition) (chat.Watermark, error) {
	return chat.Watermark{}, nil
}
