package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// sendersPerBroker is how many produce requests a broker gets at once. With one,
// a slow partition would hold up all others; with one for each partition there
// would be no batching across partitions.
const sendersPerBroker = 2

var errClosed = errors.New("the log is closed")

// producer appends: callers put items into lanes, senders take them out.
type producer struct {
	ctx     context.Context
	options Options
	cluster *cluster
	group   *sync.WaitGroup

	mu    sync.Mutex // guards what follows
	lanes map[chat.Partition]*lane
	lines map[int32]*line
	// bytes are those of all lanes.
	bytes int
	// shared numbers the first batch of each lane; nil before the first.
	shared *producerState
	closed bool
}

// line is where lanes wait for a sender of their broker.
type line struct {
	lanes   []*lane
	ready   *sync.Cond
	senders int
	// idle is how many senders are waiting.
	idle int
}

func newProducer(ctx context.Context, o Options, c *cluster, group *sync.WaitGroup) *producer {
	return &producer{
		ctx: ctx, options: o, cluster: c, group: group,
		lanes: map[chat.Partition]*lane{}, lines: map[int32]*line{},
	}
}

// Append adds a record to the partition; see chat.Appender.
//
// No attempt begins later than Options.AppendTimeout after the call. An append
// whose outcome is unknown by then answers ErrOutcomeUnknown; it is the only
// one that may be repeated by the caller and stand in the log twice.
func (l *Log) Append(ctx context.Context, p chat.Partition, key string, value []byte) (chat.Record, uint32, error) {
	if n := len(key) + len(value); n > l.options.MaxRecordBytes {
		return chat.Record{}, 0, fmt.Errorf("%d bytes, of at most %d: %w", n, l.options.MaxRecordBytes, chat.ErrRecordTooLarge)
	}
	if err := l.known(ctx, p); err != nil {
		return chat.Record{}, 0, err
	}
	a := &pending{
		record:   chat.Record{Key: key, Value: bytes.Clone(value)},
		deadline: time.Now().Add(l.options.AppendTimeout),
		done:     make(chan outcome, 1),
	}
	if err := l.producer.enqueue(p, a); err != nil {
		return chat.Record{}, 0, err
	}
	select {
	case o := <-a.done:
		if o.err == nil {
			l.highs.raise(p, o.epoch, o.record.Offset+1)
		}
		return o.record, o.epoch, o.err
	case <-ctx.Done():
		return chat.Record{}, 0, fmt.Errorf("%w: %w", chat.ErrOutcomeUnknown, ctx.Err())
	}
}

// known checks that the partition exists; if not, it looks again.
func (l *Log) known(ctx context.Context, p chat.Partition) error {
	exists := func() bool {
		n, err := l.cluster.partitions(p.Topic)
		return err == nil && p.Number >= 0 && p.Number < n
	}
	if exists() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, l.options.ReadTimeout)
	defer cancel()
	if err := l.cluster.await(ctx); err != nil {
		return unavailable(err)
	}
	if !exists() {
		return fmt.Errorf("no partition %s: %w", p, chat.ErrUnavailable)
	}
	return nil
}

func (p *producer) enqueue(partition chat.Partition, a *pending) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return unavailable(errClosed)
	}
	l := p.lanes[partition]
	if l == nil {
		l = &lane{partition: partition}
		p.lanes[partition] = l
	}
	if size := a.size(); l.bytes+size > p.options.QueueBytes || p.bytes+size > p.options.TotalQueueBytes {
		return fmt.Errorf("%d bytes wait for %s, %d in all: %w", l.bytes, partition, p.bytes, chat.ErrUnavailable)
	}
	l.bytes += a.size()
	p.bytes += a.size()
	l.waiting = append(l.waiting, a)
	if !l.busy {
		l.busy = true
		p.schedule(l)
	}
	return nil
}

// schedule puts a busy lane into the line of its leader. The mutex is held.
func (p *producer) schedule(l *lane) {
	if p.closed {
		p.failLane(l)
		return
	}
	at, err := p.cluster.find(l.partition)
	if err != nil {
		p.cluster.refreshSoon()
		p.later(l, err)
		return
	}
	q := p.lines[at.leader.broker]
	if q == nil {
		q = &line{ready: sync.NewCond(&p.mu)}
		p.lines[at.leader.broker] = q
	}
	q.lanes = append(q.lanes, l)
	if q.idle == 0 && q.senders < sendersPerBroker {
		q.senders++
		p.group.Go(func() { p.send(at.leader.broker, q) })
	}
	q.ready.Signal()
}

// later schedules a busy lane after a pause, unless its time is over. The
// mutex is held.
func (p *producer) later(l *lane, cause error) {
	now := time.Now()
	switch {
	case l.batch == nil:
	case !l.batch.maybe:
		l.uncut()
	case now.After(l.batch.items[0].deadline):
		p.failBatch(l, fmt.Errorf("%w: %w", chat.ErrOutcomeUnknown, cause))
		// What comes next must not be mistaken for it.
		l.renumber = true
	}
	if l.batch == nil {
		p.failItems(l, l.expire(now), unavailable(cause))
		if len(l.waiting) == 0 {
			l.busy = false
			return
		}
	}
	if p.closed {
		p.failLane(l)
		return
	}
	l.timer = time.AfterFunc(retryPause(l.attempts), func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.resume(l)
	})
	l.attempts++
}

// resume schedules a lane that has a timer. The mutex is held.
func (p *producer) resume(l *lane) {
	if l.timer == nil {
		return // someone else was faster
	}
	l.timer.Stop()
	l.timer = nil
	p.schedule(l)
}

// leadersChanged tries again at once what waits for a leader.
func (p *producer) leadersChanged() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lanes {
		if _, err := p.cluster.find(l.partition); err == nil {
			p.resume(l)
		}
	}
}

// failBatch, failItems and failLane give items their failure. The mutex is held.
func (p *producer) failBatch(l *lane, err error) {
	p.failItems(l, l.batch.items, err)
	l.batch = nil
}

func (p *producer) failItems(l *lane, items []*pending, err error) {
	for _, a := range items {
		p.release(l, a)
		a.done <- outcome{err: err}
	}
}

func (p *producer) failLane(l *lane) {
	if l.batch != nil && l.batch.maybe {
		p.failBatch(l, fmt.Errorf("%w: %w", chat.ErrOutcomeUnknown, errClosed))
	} else if l.batch != nil {
		l.uncut()
	}
	p.failItems(l, l.waiting, unavailable(errClosed))
	l.waiting = nil
	l.busy = false
}

func (p *producer) release(l *lane, a *pending) {
	l.bytes -= a.size()
	p.bytes -= a.size()
}

// close fails what waits. What is in a sender's hands fails when its request
// does, which the end of p.ctx brings about.
func (p *producer) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, l := range p.lanes {
		if l.timer != nil {
			l.timer.Stop()
			l.timer = nil
			p.failLane(l)
		}
	}
	for _, q := range p.lines {
		for _, l := range q.lanes {
			p.failLane(l)
		}
		q.lanes = nil
		q.ready.Broadcast()
	}
}
