package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// partition is one ordered sequence of records. Its goroutine, run, alone
// writes its files.
type partition struct {
	id        chat.Partition
	epoch     uint32
	dir       string
	options   Options
	synced    bool
	retention time.Duration // 0: until Trim

	// stopped is closed when run has returned.
	stopped chan struct{}

	mu sync.Mutex // guards the fields below
	// work tells run that pending, trims or closing has changed.
	work *sync.Cond
	// pending are the groups that wait to be committed; appends join the last.
	pending []*group
	// queued is the size of all groups, the one in flight included.
	queued int
	// lastBytes is the size of the last batch: the next one is likely as large.
	lastBytes int
	trims     []*trimRequest
	// closing ends run once it has no work left; nothing is taken in any more.
	closing bool
	// broken is why the partition takes no more appends, or nil.
	broken error
	// segments are the files in order; the last one is appended to.
	segments []*segment
	// next is the offset of the next record: all below it is durable.
	next     int64
	recent   cache
	watchers map[*follow]struct{}
}

// group is the appends that become one batch.
type group struct {
	data  []byte // of the batch; its header is filled in when it is written
	count int
	// done is closed when the fields below are set, and data never changes again.
	done chan struct{}
	base int64
	time int64 // Unix milliseconds
	err  error
}

// createPartition makes the folder of a partition and its first segment, as a
// whole or not at all.
func createPartition(dir string, id chat.Partition, options Options) error {
	tmp := dir + tmpSuffix
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return err
	}
	s, err := createSegment(tmp, segmentHeader{
		partition: id,
		epoch:     uint32(options.Now().Unix()),
		previous:  sealed{base: -1},
	}, options.open)
	if err != nil {
		return err
	}
	if err := errors.Join(s.close(), os.Rename(tmp, dir)); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// unsyncedGap is how many offsets are left out when a partition whose records
// are not synced was not closed properly: more than can have been appended and
// lost with the machine. Else new records would get the offsets of lost ones
// that some client has seen.
const unsyncedGap = 1 << 24

// openPartition recovers a partition and starts its goroutine. clean says that
// the log was closed properly.
func openPartition(dir string, id chat.Partition, options Options, clean bool) (*partition, error) {
	p := &partition{
		id:        id,
		dir:       dir,
		options:   options,
		synced:    slices.Contains(options.Sync, id.Topic),
		retention: options.Retention[id.Topic],
		stopped:   make(chan struct{}),
		recent:    cache{limit: options.CacheBytes},
		watchers:  make(map[*follow]struct{}),
	}
	p.work = sync.NewCond(&p.mu)
	var err error
	p.segments, err = recovery{dir: dir, partition: id, options: options, synced: p.synced}.segments()
	if err != nil {
		return nil, err
	}
	p.epoch, p.next = p.active().epoch, p.active().next
	if !p.synced && !clean {
		if err := p.roll(p.next + unsyncedGap); err != nil {
			return nil, errors.Join(err, p.closeFiles())
		}
	}
	go p.run()
	return p, nil
}

func partitionDir(dir string, id chat.Partition) string {
	return filepath.Join(dir, id.Topic.String(), strconv.Itoa(int(id.Number)))
}

// append queues a record and waits until it is durable.
func (p *partition) append(ctx context.Context, key string, value []byte) (chat.Record, error) {
	if err := ctx.Err(); err != nil {
		return chat.Record{}, fmt.Errorf("%w: %w", chat.ErrUnavailable, err)
	}
	if size := len(key) + len(value); size > p.options.MaxRecordBytes {
		return chat.Record{}, fmt.Errorf("%w: %d bytes, at most %d", chat.ErrRecordTooLarge, size, p.options.MaxRecordBytes)
	}
	g, index, valueAt, err := p.enqueue(key, value)
	if err != nil {
		return chat.Record{}, err
	}
	select {
	case <-g.done:
	case <-ctx.Done():
		return chat.Record{}, fmt.Errorf("%w: %w", chat.ErrOutcomeUnknown, ctx.Err())
	}
	if g.err != nil {
		return chat.Record{}, g.err
	}
	end := valueAt + len(value)
	return chat.Record{
		Offset: g.base + int64(index),
		Time:   time.UnixMilli(g.time),
		Key:    key,
		Value:  g.data[valueAt:end:end],
	}, nil
}

// enqueue adds a record to the group that is committed next, and says where in
// it the record is and where its value begins.
func (p *partition) enqueue(key string, value []byte) (_ *group, index, valueAt int, _ error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	size := len(key) + len(value) + maxRecordOverhead
	switch {
	case p.closing:
		return nil, 0, 0, errClosed
	case p.broken != nil:
		return nil, 0, 0, p.broken
	case p.queued+size+batchHeaderBytes > p.options.QueueBytes:
		return nil, 0, 0, fmt.Errorf("%w: %d bytes wait to be committed to %s", chat.ErrUnavailable, p.queued, p.id)
	}
	var g *group
	if n := len(p.pending); n > 0 && len(p.pending[n-1].data)+size <= maxBatchBytes {
		g = p.pending[n-1]
	} else {
		g = &group{
			data: make([]byte, batchHeaderBytes, max(batchHeaderBytes+size, p.lastBytes)),
			done: make(chan struct{}),
		}
		p.pending = append(p.pending, g)
		p.queued += batchHeaderBytes
		p.work.Signal()
	}
	before := len(g.data)
	g.data, valueAt = appendRecord(g.data, key, value)
	p.queued += len(g.data) - before
	g.count++
	return g, g.count - 1, valueAt, nil
}

// run commits groups and trims until the partition is closed and both are done.
func (p *partition) run() {
	defer close(p.stopped)
	for {
		g, trims, ok := p.take()
		if !ok {
			return
		}
		if g != nil {
			p.commit(g)
		}
		for _, t := range trims {
			t.done <- p.trim(t.below, t.olderThan)
		}
	}
}

// take waits for work; ok is false once there will be none.
func (p *partition) take() (g *group, trims []*trimRequest, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.pending) == 0 && len(p.trims) == 0 {
		if p.closing {
			return nil, nil, false
		}
		p.work.Wait()
	}
	p.gather()
	if len(p.pending) > 0 {
		g = p.pending[0]
		p.pending = slices.Delete(p.pending, 0, 1)
	}
	trims, p.trims = p.trims, nil
	return g, trims, true
}

// gather lets callers that can run join the first group while it grows. Those
// of the batch before have just been woken: without this the fastest of them
// would get a batch of its own, and the others a sync later than need be. It is
// no timer: a lone append costs one yield. The caller holds mu.
func (p *partition) gather() {
	for before := 0; len(p.pending) == 1 && p.pending[0].count > before; {
		before = p.pending[0].count
		p.mu.Unlock()
		runtime.Gosched()
		p.mu.Lock()
	}
}

// commit makes a group durable and then visible, and tells its callers.
func (p *partition) commit(g *group) {
	b, err := p.write(g)
	p.mu.Lock()
	p.queued -= len(g.data)
	p.lastBytes = len(g.data)
	if err == nil {
		p.active().grow(b)
		p.next = b.next()
		p.recent.add(b)
		p.wakeWatchers()
	}
	p.mu.Unlock()
	g.base, g.time, g.err = b.base, b.time, err
	close(g.done)
}

// write puts a group at the end of the active segment. On an error that
// segment is as it was before, or the partition is broken.
func (p *partition) write(g *group) (batch, error) {
	if p.broken != nil { // only this goroutine sets it
		return batch{}, p.broken
	}
	s := p.active()
	if !s.empty() && s.size+int64(len(g.data)) > p.options.SegmentBytes {
		if err := p.roll(p.next); err != nil {
			return batch{}, failure(chat.ErrUnavailable, "begin segment", err)
		}
		p.expire()
		s = p.active()
	}
	now := max(p.options.Now().UnixMilli(), s.newest)
	b := sealBatch(g.data, s.marker, p.next, now, g.count)
	if _, err := s.file.WriteAt(b.data, s.size); err != nil {
		return batch{}, p.cutBack(failure(chat.ErrUnavailable, "write batch", err))
	}
	if p.synced {
		if err := s.file.Sync(); err != nil {
			return batch{}, p.cutBack(failure(chat.ErrOutcomeUnknown, "sync batch", err))
		}
	}
	return b, nil
}

// cutBack removes what a failed write left behind its durable end. If that
// fails too, the next batch would follow half a batch: no more is written, and
// the next Open decides.
func (p *partition) cutBack(cause error) error {
	s := p.active()
	err := s.file.Truncate(s.size)
	if err == nil && p.synced {
		err = s.file.Sync()
	}
	if err == nil {
		return cause
	}
	p.options.Logger.Error("partition takes no more appends",
		"partition", p.id.String(), "file", s.path, "position", s.size, "error", err)
	p.mu.Lock()
	p.broken = fmt.Errorf("%w: %s could not be cut back to byte %d: %w", chat.ErrUnavailable, s.path, s.size, err)
	p.mu.Unlock()
	return fmt.Errorf("%w: cut back: %w", chat.ErrOutcomeUnknown, err)
}

// failure says how a failed act is answered: by ErrNoSpace if the disk is
// full, else by kind. The cause stays readable but is no longer matched, since
// callers branch on chat's errors alone.
func failure(kind error, act string, cause error) error {
	if isNoSpace(cause) {
		kind = chat.ErrNoSpace
	}
	return fmt.Errorf("%w: %s: %v", kind, act, cause)
}

// roll begins a segment at an offset. Only run and openPartition call it.
func (p *partition) roll(base int64) error {
	old := p.active()
	// A sealed segment is never scanned for a torn end, so it must not get one.
	if !p.synced {
		if err := old.file.Sync(); err != nil {
			return err
		}
	}
	s, err := createSegment(p.dir, segmentHeader{
		partition: p.id,
		epoch:     p.epoch,
		base:      base,
		previous:  old.summary(),
	}, p.options.open)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.segments = append(p.segments, s)
	p.next = base
	return nil
}

// active is the segment that is appended to.
func (p *partition) active() *segment { return p.segments[len(p.segments)-1] }

// bounds says what the partition holds.
func (p *partition) bounds() (chat.Bounds, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		return chat.Bounds{}, errClosed
	}
	return chat.Bounds{Epoch: p.epoch, First: p.segments[0].base, Next: p.next}, nil
}

// read returns records from offset from on.
func (p *partition) read(from int64, maxBytes int) (chat.Batch, error) {
	var few [8]*cachedBatch
	p.mu.Lock()
	first, next := p.segments[0].base, p.next
	switch {
	case p.closing:
		p.mu.Unlock()
		return chat.Batch{}, errClosed
	case from < first || from > next:
		p.mu.Unlock()
		return chat.Batch{}, fmt.Errorf("%w: %d, %s holds %d to %d", chat.ErrOffsetOutOfRange, from, p.id, first, next)
	}
	cached := p.recent.from(few[:0], from, maxBytes)
	s := p.segmentOf(from)
	size, isEmpty := s.size, s.next <= from
	p.mu.Unlock()

	var records []chat.Record
	var err error
	switch {
	case len(cached) > 0:
		records, err = readCached(cached, from, maxBytes)
	case !isEmpty:
		records, err = s.read(max(from, s.base), maxBytes, size)
	}
	switch {
	case errors.Is(err, os.ErrClosed):
		// Trim or Close came between; the second look tells which.
		return p.read(from, maxBytes)
	case errors.Is(err, ErrCorrupt):
		return chat.Batch{}, err
	case err != nil:
		return chat.Batch{}, fmt.Errorf("%w: read %s: %v", chat.ErrUnavailable, s.path, err)
	}
	// Without records there is nothing up to next: from was there or in a gap.
	b := chat.Batch{Partition: p.id, Epoch: p.epoch, Records: records, Next: next, End: next}
	if len(records) > 0 {
		b.Next = records[len(records)-1].Offset + 1
	}
	return b, nil
}

// segmentOf is the segment that holds the first record at or above the offset;
// the active one if there is none. The caller holds mu.
func (p *partition) segmentOf(offset int64) *segment {
	i, found := slices.BinarySearchFunc(p.segments, offset, func(s *segment, offset int64) int {
		return int(min(max(s.base-offset, -1), 1))
	})
	if !found {
		i--
	}
	for i < len(p.segments)-1 && p.segments[i].next <= offset {
		i++
	}
	return p.segments[i]
}

// close lets the queue run empty, stops the goroutine and closes the files.
func (p *partition) close() error {
	p.mu.Lock()
	p.closing = true
	p.work.Signal()
	p.mu.Unlock()
	<-p.stopped
	var err error
	if !p.synced {
		err = p.active().file.Sync()
	}
	return errors.Join(err, p.closeFiles())
}

func (p *partition) closeFiles() error {
	var errs []error
	for _, s := range p.segments {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}
