package feed

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// Options are the settings of a Feed; all are required.
type Options struct {
	// RingBytes bounds the memory of recent messages of one partition.
	RingBytes int
	// Linger is how long a partition without subscribers is followed.
	Linger time.Duration
	// Observe gets each event of a room that has subscribers, before they do.
	// It is called with the partition locked: it must not block.
	Observe func(*Event)
	// Cutoff is the time before which no message may be read. It is asked when
	// a partition is warmed up; later cutoffs come by ForgetMessages.
	Cutoff func(context.Context) (time.Time, error)
	// Changed is told of each event that changes who may read a room, before
	// anyone can subscribe behind it. It must not block.
	Changed func(*chat.Event)
	Now     func() time.Time
	Logger  *slog.Logger
}

const (
	// tidyEvery is how often partitions that nobody needs are looked for.
	tidyEvery = time.Second
	// warmTimeout bounds how long a partition takes to be followed.
	warmTimeout = 20 * time.Second
	// retryAfter is the pause after a tail has failed.
	retryAfter = 200 * time.Millisecond
	// workerQueue is how many batches wait for each worker. When it is full
	// the log is read no further: subscribers never block, so it empties.
	workerQueue = 16
)

// Feed follows the partitions that are needed.
type Feed struct {
	log     chat.Log
	tail    chat.Tail
	options Options

	mu         sync.Mutex // guards the rest; comes before Partition.mu
	partitions map[chat.Partition]*Partition
	// leaving are the partitions that the tail has been told to leave: the
	// channel is closed when none of their batches can arrive any more.
	leaving map[chat.Partition]chan struct{}
	// tidied is when unneeded partitions were last looked for.
	tidied time.Time
}

// New returns a Feed of the log. It must be Run.
func New(log chat.Log, o Options) *Feed {
	return &Feed{
		log: log, tail: log.Tail(), options: o,
		partitions: map[chat.Partition]*Partition{}, leaving: map[chat.Partition]chan struct{}{},
	}
}

// Acquire returns the partition once it is followed. It stays so for at least
// Options.Linger. Errors are those of the log and of ctx.
func (f *Feed) Acquire(ctx context.Context, id chat.Partition) (*Partition, error) {
	for {
		f.mu.Lock()
		gone := f.leaving[id]
		p := f.partitions[id]
		first := gone == nil && p == nil
		if first {
			p = &Partition{feed: f, id: id, ready: make(chan struct{})}
			f.partitions[id] = p
		}
		f.mu.Unlock()
		switch {
		case gone != nil:
			select {
			case <-gone:
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		case first:
			f.follow(ctx, p)
		}
		select {
		case <-p.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if p.err != nil {
			return nil, p.err
		}
		if p.use() {
			return p, nil
		}
	}
}

// use renews the time until which the partition is kept; false if it was
// given up.
func (p *Partition) use() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idleSince = p.feed.options.Now()
	return !p.lost
}

// follow warms the partition up and adds it to the tail. Others wait for it
// too, so the end of the first caller's ctx does not end it.
func (f *Feed) follow(ctx context.Context, p *Partition) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), warmTimeout)
	defer cancel()
	p.err = p.warm(ctx, f.log)
	f.mu.Lock()
	if p.err != nil {
		delete(f.partitions, p.id)
	} else {
		f.tail.Add(p.id, p.next)
	}
	f.mu.Unlock()
	close(p.ready)
}

// work is a batch and the partition it is for.
type work struct {
	partition *Partition
	batch     chat.Batch
}

// Run hands what is new to the subscribers until ctx ends.
func (f *Feed) Run(ctx context.Context) error {
	workers := make([]chan work, runtime.GOMAXPROCS(0))
	var running sync.WaitGroup
	for i := range workers {
		queue := make(chan work, workerQueue)
		workers[i] = queue
		running.Go(func() {
			for w := range queue {
				f.process(w)
			}
		})
	}
	defer func() {
		for _, queue := range workers {
			close(queue)
		}
		running.Wait()
		f.tail.Close()
	}()
	for ctx.Err() == nil {
		batches, err := f.next(ctx)
		for _, b := range batches {
			// Found here rather than by the worker: by then the partition may
			// have been left and acquired anew, and the batch be a stale one.
			if p := f.followed(b.Partition); p != nil {
				workers[worker(b.Partition, len(workers))] <- work{p, b}
			}
		}
		f.tidy()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			f.options.Logger.Warn("tail failed", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(retryAfter):
			}
		}
	}
	return ctx.Err()
}

// next waits for new batches, but not for longer than it takes for partitions
// to become unneeded.
func (f *Feed) next(ctx context.Context) ([]chat.Batch, error) {
	ctx, cancel := context.WithTimeout(ctx, tidyEvery)
	defer cancel()
	return f.tail.Next(ctx)
}

// worker shares the partitions out: all batches of one go to the same worker.
func worker(p chat.Partition, workers int) int {
	return (int(p.Number)*3 + int(p.Topic)) % workers
}

func (f *Feed) followed(id chat.Partition) *Partition {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.partitions[id]
}

func (f *Feed) process(w work) {
	<-w.partition.ready
	if w.partition.process(w.batch) {
		return
	}
	f.options.Logger.Warn("partition lost", "partition", w.partition.id.String(), "error", w.batch.Err)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.partitions[w.partition.id] == w.partition {
		f.leave(w.partition)
	}
}

// tidy gives up the partitions that nobody has needed for a while. It runs
// between two calls of the tail's Next, after which nothing can arrive any
// more of those that were removed before the first.
func (f *Feed) tidy() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, gone := range f.leaving {
		close(gone)
		delete(f.leaving, id)
	}
	now := f.options.Now()
	if now.Sub(f.tidied) < tidyEvery {
		return
	}
	f.tidied = now
	for _, p := range f.partitions {
		if p.abandon(now, f.options.Linger) {
			f.leave(p)
		}
	}
}

// leave stops following a partition. Feed.mu is held.
func (f *Feed) leave(p *Partition) {
	f.tail.Remove(p.id)
	delete(f.partitions, p.id)
	f.leaving[p.id] = make(chan struct{})
}

// abandon marks an idle partition as lost, and reports whether it did.
func (p *Partition) abandon(now time.Time, linger time.Duration) bool {
	select {
	case <-p.ready:
	default:
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.subscribers > 0 || now.Sub(p.idleSince) < linger {
		return false
	}
	p.lost = true
	return true
}

// ForgetMessages empties the memory of the sessions' recent messages. It is for
// when messages have been cleaned away: those that are left are read from
// history. Rooms keep nothing that could be cleaned.
func (f *Feed) ForgetMessages() {
	f.mu.Lock()
	var followed []*Partition
	for id, p := range f.partitions {
		if id.Topic == chat.TopicMessages {
			followed = append(followed, p)
		}
	}
	f.mu.Unlock()
	for _, p := range followed {
		<-p.ready
		if p.err == nil {
			p.forget()
		}
	}
}
