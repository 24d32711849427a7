// Package archive rewrites the log for reading: it moves the messages of the
// log's partitions into the store and the watermark after them.
//
// A partition has one writer at a time, but two of them do no harm: rows are
// keyed by their place in the log, and the watermark only moves forward.
//
// A store may lose its last writes, and with them the watermark or not. So an
// archiver does not trust its memory of what it wrote: see rewind.go.
package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/metrics"
	"golang.org/x/sync/errgroup"
)

// Linger is how long messages wait in a log that can let them gather, to be
// archived together, see ADR 0010: until then readers find them there.
const Linger = 200 * time.Millisecond

// Options are the settings of an Archiver.
type Options struct {
	Metrics *metrics.Metrics
	Logger  *slog.Logger
	// Now is the clock.
	Now func() time.Time
	// LossWindow is for how long before a crash of the whole store rows may be
	// lost although the watermark above them is not; 0 for a store that only
	// ever loses what was written last.
	LossWindow time.Duration
	// CheckEvery (5 s) is how often an idle partition asks whether the store
	// still has what was written.
	CheckEvery time.Duration
}

// Archiver archives partitions of the log.
type Archiver struct {
	log     chat.Log
	store   chat.MessageStore
	options Options
}

// New returns an Archiver from the log to the store.
func New(log chat.Log, store chat.MessageStore, o Options) *Archiver {
	o.CheckEvery = cmp.Or(o.CheckEvery, 5*time.Second)
	return &Archiver{log: log, store: store, options: o}
}

// Run archives all partitions until ctx ends.
func (a *Archiver) Run(ctx context.Context) error {
	count, err := a.log.Partitions(ctx, chat.TopicMessages)
	if err != nil {
		return fmt.Errorf("count partitions: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	for n := range count {
		group.Go(func() error {
			return a.ArchivePartition(ctx, chat.Partition{Topic: chat.TopicMessages, Number: n})
		})
	}
	return group.Wait()
}

// ArchivePartition archives one partition until ctx ends. Failures of the log
// or the store are retried for ever: nothing is lost meanwhile, for the log
// keeps what is not archived.
func (a *Archiver) ArchivePartition(ctx context.Context, p chat.Partition) error {
	written, lag := &memory{window: a.options.LossWindow}, newLag(a.options.Metrics)
	defer lag.gone()
	for attempt := 0; ; attempt++ {
		archived, err := a.follow(ctx, p, written, lag)
		if ctx.Err() != nil {
			return nil
		}
		if archived {
			attempt = 0
		}
		a.options.Logger.Warn("archiver interrupted", "partition", p.String(), "error", err, "attempt", attempt)
		a.askEnd(ctx, p, lag)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(backoff(attempt)):
		}
	}
}

// backoff grows from 50 ms to 5 s, with up to half of it at random so that
// archivers do not come back in step.
func backoff(attempt int) time.Duration {
	d := min(50*time.Millisecond<<min(attempt, 10), 5*time.Second)
	return d/2 + rand.N(d/2)
}

// follow archives from the watermark on, or from a little before, until
// something fails, and reports whether anything was archived before.
func (a *Archiver) follow(ctx context.Context, p chat.Partition, written *memory, lag *lag) (archived bool, err error) {
	run, err := a.start(ctx, p, written, lag)
	if err != nil {
		return false, err
	}
	tail := a.log.Tail()
	defer tail.Close()
	tail.Add(p, run.warmFrom)
	for {
		batches, err := a.next(ctx, tail)
		if err != nil {
			return archived, fmt.Errorf("follow log: %w", err)
		}
		// Before anything is put on top of it, and now and then while nothing is.
		if len(batches) == 0 || a.options.Now().Sub(written.heard) >= quickestRestart {
			if err := a.confirm(ctx, run); err != nil {
				return archived, err
			}
		}
		for _, batch := range batches {
			if batch.Err != nil {
				return archived, fmt.Errorf("follow log: %w", batch.Err)
			}
			lag.grown(batch.End)
			if err := a.archive(ctx, run, batch); err != nil {
				return archived, err
			}
			archived = true
		}
	}
}

// next waits for new batches, but not for longer than CheckEvery: there are
// then none.
func (a *Archiver) next(ctx context.Context, tail chat.Tail) ([]chat.Batch, error) {
	limited, cancel := context.WithTimeout(ctx, a.options.CheckEvery)
	defer cancel()
	batches, err := tail.Next(limited)
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return nil, nil
	}
	return batches, err
}

// run is the state of following one partition.
type run struct {
	partition chat.Partition
	// from is the first offset to archive; what lies before it only feeds the
	// fold, unless it is not older than replay.
	from, warmFrom int64
	replay         time.Time
	fold           *chat.Fold
	// stored is the watermark that the store has, as far as is known.
	stored  chat.Watermark
	written *memory
	lag     *lag
}

func (a *Archiver) start(ctx context.Context, p chat.Partition, written *memory, lag *lag) (*run, error) {
	watermark, err := a.store.Watermark(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("read watermark: %w", err)
	}
	bounds, err := a.log.Bounds(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("read log bounds: %w", err)
	}
	from := bounds.First
	if watermark.Epoch == bounds.Epoch {
		from = watermark.Next
	}
	switch {
	case from < bounds.First:
		// The log was trimmed before it was archived. Readers find nothing
		// there either way, so going on is all that is left, but not silently.
		a.options.Logger.Error("log trimmed before it was archived", "partition", p.String(), "from", from, "to", bounds.First)
		from = bounds.First
	case from > bounds.Next:
		return nil, fmt.Errorf("watermark %d of %s lies beyond the end of the log, %d: %w", from, p, bounds.Next, chat.ErrOffsetOutOfRange)
	}
	lag.begins(from, bounds.Next)
	r := &run{partition: p, fold: chat.NewFold(), stored: watermark, written: written, lag: lag}
	if err := a.rewind(ctx, r, bounds, from); err != nil {
		return nil, err
	}
	r.warmFrom = chat.WarmFrom(r.from, bounds.First)
	return r, nil
}

func (a *Archiver) archive(ctx context.Context, r *run, batch chat.Batch) error {
	cutoff, err := a.store.Cutoff(ctx)
	if err != nil {
		return fmt.Errorf("read cutoff: %w", err)
	}
	now := a.options.Now()
	fresh, freshForeign := 0, 0
	messages := make([]chat.Message, 0, len(batch.Records))
	var foreign []chat.ForeignRecord
	for _, rec := range batch.Records {
		ev, err := chat.DecodeEvent(rec.Key, rec.Value)
		if err != nil {
			if !r.wants(rec) {
				continue
			}
			foreign = append(foreign, chat.ForeignRecord{Partition: r.partition, Epoch: batch.Epoch, Record: head(rec)})
			if r.isFresh(batch.Epoch, rec) {
				freshForeign++
				a.options.Logger.Warn("foreign record skipped", "partition", r.partition.String(), "offset", rec.Offset, "error", err)
			}
			continue
		}
		repeat := r.fold.Apply(rec.Offset, &ev) != rec.Offset
		if repeat || ev.Kind != chat.EventMessage || !r.wants(rec) {
			continue
		}
		msg := chat.MessageOf(ev, batch.Epoch, rec)
		// What may no longer be read is not brought back by a replay.
		if msg.Expires.After(now) && !msg.Time.Before(cutoff) {
			messages = append(messages, msg)
			if r.isFresh(batch.Epoch, rec) {
				fresh++
			}
		}
	}
	if len(messages) > 0 {
		if err := a.store.PutMessages(ctx, messages); err != nil {
			return fmt.Errorf("put messages: %w", err)
		}
	}
	if len(foreign) > 0 {
		if err := a.store.PutForeign(ctx, foreign); err != nil {
			return fmt.Errorf("keep foreign records: %w", err)
		}
	}
	r.from = max(r.from, batch.Next)
	reached := chat.Watermark{Epoch: batch.Epoch, Next: batch.Next}
	if !below(r.stored, reached) {
		return nil // a replay, the watermark is further
	}
	if err := a.store.SetWatermark(ctx, r.partition, reached); err != nil {
		return fmt.Errorf("set watermark: %w", err)
	}
	a.options.Metrics.Archived.Add(float64(fresh))
	a.options.Metrics.ForeignRecords.Add(float64(freshForeign))
	r.stored = reached
	r.written.note(a.options.Now(), reached)
	r.lag.archived(reached.Next)
	return nil
}

// wants reports whether a record is to be put into the store.
func (r *run) wants(rec chat.Record) bool {
	return rec.Offset >= r.from || !r.replay.IsZero() && !rec.Time.Before(r.replay)
}

// isFresh reports whether a record lies at the watermark or above it: no
// earlier pass has counted it.
func (r *run) isFresh(epoch uint32, rec chat.Record) bool {
	return rec.Offset >= r.stored.Next || epoch != r.stored.Epoch
}

// head is what is kept of a foreign record, whatever its size: none may stop the
// archiver.
func head(r chat.Record) chat.Record {
	r.Key = r.Key[:min(len(r.Key), chat.MaxForeignBytes)]
	r.Value = r.Value[:min(len(r.Value), chat.MaxForeignBytes)]
	return r
}

// awaitPoll is how often Await looks.
const awaitPoll = 5 * time.Millisecond

// Await waits until everything that the log held at the time of the call is
// archived, by whichever archiver.
func (a *Archiver) Await(ctx context.Context) error {
	count, err := a.log.Partitions(ctx, chat.TopicMessages)
	if err != nil {
		return fmt.Errorf("count partitions: %w", err)
	}
	for n := range count {
		p := chat.Partition{Topic: chat.TopicMessages, Number: n}
		bounds, err := a.log.Bounds(ctx, p)
		if err != nil {
			return fmt.Errorf("read log bounds: %w", err)
		}
		if bounds.Next == bounds.First {
			continue
		}
		if err := a.await(ctx, p, chat.Watermark{Epoch: bounds.Epoch, Next: bounds.Next}); err != nil {
			return err
		}
	}
	return nil
}

func (a *Archiver) await(ctx context.Context, p chat.Partition, goal chat.Watermark) error {
	poll := time.NewTicker(awaitPoll)
	defer poll.Stop()
	for {
		watermark, err := a.store.Watermark(ctx, p)
		if err != nil {
			return fmt.Errorf("read watermark: %w", err)
		}
		if watermark.Epoch > goal.Epoch || watermark.Epoch == goal.Epoch && watermark.Next >= goal.Next {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the archiver of %s: %w", p, ctx.Err())
		case <-poll.C:
		}
	}
}
