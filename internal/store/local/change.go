package local

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// mode says how a change is made.
type mode uint8

const (
	// durable: the change has been synced when the call returns.
	durable mode = 1 << iota
	// freeing: the change is made on a full disk, too.
	freeing
)

// change is one atomic change.
type change struct {
	mode mode
	// do reads what it needs and fills the batch. It sees all changes before.
	do      func(*pebble.Batch) error
	batch   *pebble.Batch
	applied chan error
}

// change makes a change: all of it, or nothing if do returns an error. If ctx
// ends first, the error is chat.ErrOutcomeUnknown too; what do writes to must
// then not be read.
func (s *Store) change(ctx context.Context, m mode, do func(*pebble.Batch) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	return s.changeEntered(ctx, m, do)
}

// changeEntered is change for one who has entered.
func (s *Store) changeEntered(ctx context.Context, m mode, do func(*pebble.Batch) error) error {
	c := &change{mode: m, do: do, batch: s.db.NewBatch(), applied: make(chan error, 1)}
	select {
	case s.changes <- c:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.fault.failed:
		return s.fault.err()
	}
	select {
	case err := <-c.applied:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", chat.ErrOutcomeUnknown, ctx.Err())
	case <-s.fault.failed:
		return s.fault.err()
	}
	if m&durable != 0 {
		if err := c.batch.SyncWait(); err != nil {
			s.fault.fail(fmt.Errorf("sync: %w", err))
			return s.fault.err()
		}
	}
	// The batch's memory is used again; that it can be is all that Close says.
	_ = c.batch.Close()
	return nil
}

// makeChanges makes one change after the other until there are no more.
func (s *Store) makeChanges() {
	defer close(s.stopped)
	for c := range s.changes {
		c.applied <- s.apply(c)
	}
}

func (s *Store) apply(c *change) error {
	if err := c.do(c.batch); err != nil {
		return err
	}
	if c.mode&freeing == 0 {
		if err := s.space.check(c.batch.Len()); err != nil {
			return err
		}
	}
	if c.mode&durable == 0 {
		if c.batch.Empty() {
			return nil
		}
		return s.db.Apply(c.batch, pebble.NoSync)
	}
	if c.batch.Empty() {
		// The state that this one found may not be durable yet.
		if err := c.batch.LogData(nil, nil); err != nil {
			return err
		}
	}
	return s.db.ApplyNoSyncWait(c.batch, pebble.Sync)
}

// checkSpaceEvery is how many bytes are written before the free space is looked
// up again: far less than any sensible reserve.
const checkSpaceEvery = 1 << 20

// diskGuard keeps the store from filling the disk to the brim, since the engine
// does not survive that. It belongs to the goroutine of makeChanges.
type diskGuard struct {
	disk    vfs.FS
	dir     string
	reserve uint64
	// unchecked is how much has been written since the last look.
	unchecked int
}

// check is chat.ErrNoSpace if writing n bytes more has to wait for space.
func (g *diskGuard) check(n int) error {
	g.unchecked += n
	if g.unchecked < checkSpaceEvery {
		return nil
	}
	usage, err := g.disk.GetDiskUsage(g.dir)
	if err != nil {
		// Not every file system can tell. The fence is behind this.
		return nil
	}
	if usage.AvailBytes < g.reserve {
		return fmt.Errorf("%w: %d MiB are free on the disk of %s, and %d MiB are kept in reserve",
			chat.ErrNoSpace, usage.AvailBytes>>20, g.dir, g.reserve>>20)
	}
	g.unchecked = 0
	return nil
}
