package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// A store whose nodes all stop at once loses what their commit logs had not
// synced: of Cassandra's, by default, up to 10 s. There are two ways that this
// could make a hole, below a watermark, which readers do not look for in the
// log.
//
// The store's watermark has gone back too, and the archiver has not noticed: it
// would go on behind what was lost. So the watermark is read before a batch,
// unless the store has answered within quickestRestart, and while there is
// none; one that has gone back ends the run, and the next begins where it is
// now.
//
// The watermark has survived rows that were written before it. On one node
// that cannot be, for both go through one commit log in their order. On
// several nodes, each with its own moment of the last sync, it can. So
// after any failure of the store the archiver begins before the watermark:
// where it was LossWindow before the store was last heard of, for it cannot
// have crashed earlier than that. An archiver that has just been given the
// partition has no such memory; it begins with the records that are at most
// LossWindow older than the last archived one. That is the same but for an
// archiver that was catching up, faster than the records once came, when it
// was lost together with the whole store.
//
// To archive again is harmless: rows are keyed by their place, and carry the
// record's own time.

// errWentBack: the store has lost its last writes.
var errWentBack = errors.New("the watermark has gone back: the store has lost writes")

// quickestRestart is less than any store takes to crash and to answer again.
const quickestRestart = time.Second

// below compares watermarks.
func below(a, b chat.Watermark) bool {
	return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Next, b.Next)) < 0
}

// confirm asks whether the store still has the watermark.
func (a *Archiver) confirm(ctx context.Context, r *run) error {
	asked := a.options.Now()
	watermark, err := a.store.Watermark(ctx, r.partition)
	if err != nil {
		return fmt.Errorf("read watermark: %w", err)
	}
	if below(watermark, r.stored) {
		return fmt.Errorf("%w, from %d to %d", errWentBack, r.stored.Next, watermark.Next)
	}
	r.stored = watermark // another archiver may have moved it on
	r.written.heard = asked
	return nil
}

// rewind decides where the run begins: at from, the watermark, or before it.
func (a *Archiver) rewind(ctx context.Context, r *run, bounds chat.Bounds, from int64) error {
	safe, known := r.written.safe(bounds.Epoch)
	r.from = from
	switch {
	case a.options.LossWindow == 0 || from == bounds.First:
	case known:
		r.from = max(min(from, safe), bounds.First)
	default:
		batch, err := a.log.Read(ctx, r.partition, from-1, 1)
		if err != nil {
			return fmt.Errorf("read the last archived record: %w", err)
		}
		if len(batch.Records) > 0 {
			r.replay = batch.Records[0].Time.Add(-a.options.LossWindow)
		}
		// What is archived again lies within what the fold is fed.
		safe = chat.WarmFrom(from, bounds.First)
		r.written.restart(a.options.Now(), chat.Watermark{Epoch: bounds.Epoch, Next: safe})
		return nil
	}
	r.written.restart(a.options.Now(), chat.Watermark{Epoch: bounds.Epoch, Next: r.from})
	return nil
}

// memory is what an archiver remembers of its writes to one partition. It is
// for one goroutine.
type memory struct {
	window time.Duration
	// marks are watermarks of one epoch and by when what lies below them was
	// written, in order: one that is older than the window, or where the memory
	// begins, and at most one a second since.
	marks []mark
	// heard is when the store was last asked something that it answered.
	heard time.Time
}

type mark struct {
	at        time.Time
	watermark chat.Watermark
}

// markEvery keeps the marks few. A mark that is left out only makes the
// archiver begin earlier.
const markEvery = time.Second

// restart forgets what was written from the watermark on: it will be written
// again.
func (m *memory) restart(now time.Time, from chat.Watermark) {
	m.heard = now
	m.marks = slices.DeleteFunc(m.marks, func(k mark) bool { return k.watermark.Epoch != from.Epoch || k.watermark.Next > from.Next })
	if len(m.marks) == 0 {
		m.marks = append(m.marks, mark{now, from})
	}
}

// note remembers that everything below the watermark was written by now.
func (m *memory) note(now time.Time, w chat.Watermark) {
	m.heard = now
	if n := len(m.marks); now.Sub(m.marks[n-1].at) < markEvery {
		return
	}
	m.marks = append(m.marks, mark{now, w})
	for len(m.marks) > 1 && now.Sub(m.marks[1].at) > m.window {
		m.marks = m.marks[1:]
	}
}

// safe is the offset that everything below was written longer than the window
// before the store was last heard of; false if nothing is remembered. The
// first mark stands for all that is older.
func (m *memory) safe(epoch uint32) (int64, bool) {
	if len(m.marks) == 0 || m.marks[0].watermark.Epoch != epoch {
		return 0, false
	}
	safe := m.marks[0].watermark.Next
	for _, k := range m.marks {
		if m.heard.Sub(k.at) > m.window {
			safe = k.watermark.Next
		}
	}
	return safe, true
}
