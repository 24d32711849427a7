// Package clean deletes messages that are older than a cutoff, apart from the
// server that took them: by hand or on a schedule. To run it twice, or two at
// once, is harmless.
package clean

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// Options say what to delete.
type Options struct {
	// Days is the age, in days, from which on messages are deleted; 0 to
	// MaxDays.
	Days int `json:"days"`
	// DryRun counts and deletes nothing.
	DryRun bool `json:"dry_run"`
}

// MaxDays is the largest age that Options take: a hundred years.
const MaxDays = 36500

// Validate reports what is wrong with the options.
func (o Options) Validate() error {
	if o.Days < 0 || o.Days > MaxDays {
		return fmt.Errorf("days must be between 0 and %d, not %d", MaxDays, o.Days)
	}
	return nil
}

// Report says what was done.
type Report struct {
	// Cutoff is the time before which messages were deleted.
	Cutoff time.Time `json:"cutoff"`
	// Rooms is how many rooms were looked through, Deleted how many messages
	// were deleted, or would have been in a dry run.
	Rooms   int `json:"rooms"`
	Deleted int `json:"deleted"`
	// OldestKept is the time of the oldest message that is left, if any; a dry
	// run does not tell.
	OldestKept *time.Time `json:"oldest_kept"`
	// Tokens is how many expired log-ins were deleted.
	Tokens int `json:"tokens"`
	// TookSeconds is how long it took.
	TookSeconds float64 `json:"took_seconds"`
	DryRun      bool    `json:"dry_run"`
}

// Store is what the cleaner needs of the store.
type Store interface {
	chat.MessageStore
	DeleteExpiredTokens(ctx context.Context, now time.Time) (int, error)
}

// Cleaner deletes old messages.
type Cleaner struct {
	store     Store
	publisher *chat.Publisher
	settle    time.Duration
	now       func() time.Time
}

// New returns a Cleaner of the store. The publisher tells running gateways of
// the cutoff; settle is how long it may take until all have heard of it and no
// crash of the store can take it back, which a clean lasts at least.
func New(store Store, publisher *chat.Publisher, settle time.Duration, now func() time.Time) *Cleaner {
	return &Cleaner{store: store, publisher: publisher, settle: settle, now: now}
}

// Clean deletes and reports. progress is called after each room with the
// report so far. When it returns nil, no message older than the cutoff can be
// read any more, wherever it may still lie.
func (c *Cleaner) Clean(ctx context.Context, o Options, progress func(Report)) (Report, error) {
	if err := o.Validate(); err != nil {
		return Report{}, err
	}
	start := c.now()
	// Stores keep whole milliseconds, as messages have.
	cutoff := start.Add(-time.Duration(o.Days) * 24 * time.Hour).Truncate(time.Millisecond)
	report := Report{Cutoff: cutoff, DryRun: o.DryRun}
	var settled <-chan time.Time
	if !o.DryRun {
		// The cutoff comes first: from here on readers refuse what is older,
		// also what is still in the log and would be archived later.
		if err := c.store.SetCutoff(ctx, report.Cutoff); err != nil {
			return report, fmt.Errorf("set cutoff: %w", err)
		}
		if err := c.publisher.SignalCutoff(ctx); err != nil {
			return report, fmt.Errorf("tell gateways of the cutoff: %w", err)
		}
		settled = time.After(c.settle)
		tokens, err := c.store.DeleteExpiredTokens(ctx, start)
		if err != nil {
			return report, fmt.Errorf("delete expired tokens: %w", err)
		}
		report.Tokens = tokens
	}
	err := c.store.EachMessageRoom(ctx, "", func(uri string) error {
		if err := c.cleanRoom(ctx, uri, start, o.DryRun, &report); err != nil {
			return err
		}
		report.TookSeconds = c.now().Sub(start).Seconds()
		progress(report)
		return nil
	})
	if err == nil && !o.DryRun {
		err = c.settleCutoff(ctx, settled, cutoff)
	}
	report.TookSeconds = c.now().Sub(start).Seconds()
	return report, err
}

// settleCutoff waits until the cutoff holds for good, and makes sure that it does.
func (c *Cleaner) settleCutoff(ctx context.Context, settled <-chan time.Time, cutoff time.Time) error {
	select {
	case <-settled:
	case <-ctx.Done():
		return ctx.Err()
	}
	kept, err := c.store.Cutoff(ctx)
	if err != nil {
		return fmt.Errorf("read cutoff: %w", err)
	}
	if kept.Before(cutoff) {
		return errors.New("the store has crashed and lost the cutoff: clean once more")
	}
	return nil
}

func (c *Cleaner) cleanRoom(ctx context.Context, uri string, now time.Time, dryRun bool, report *Report) error {
	deleted, err := c.store.DeleteMessages(ctx, uri, report.Cutoff, now, dryRun)
	if err != nil {
		return fmt.Errorf("delete messages of room: %w", err)
	}
	report.Rooms++
	report.Deleted += deleted
	if dryRun {
		return nil
	}
	oldest, err := c.store.OldestMessage(ctx, uri)
	if err != nil {
		return fmt.Errorf("find oldest message of room: %w", err)
	}
	if !oldest.IsZero() && (report.OldestKept == nil || oldest.Before(*report.OldestKept)) {
		report.OldestKept = &oldest
	}
	return nil
}
