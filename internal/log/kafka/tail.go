package kafka

import (
	"context"
	"sync"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// tail is one reader's set of partitions. What it holds is guarded by the
// mutex of feeds, which it shares with all others.
type tail struct {
	feeds *feeds
	subs  map[chat.Partition]*sub
	// arrived are the batches that Next has not returned, in the order of their
	// first arrival.
	arrived []*chat.Batch
	// bytes are those of arrived.
	bytes int
	// starved: a sub was not offered because the tail was full.
	starved bool
	// notify has a token while there may be something that has arrived.
	notify chan struct{}
}

// sub is one partition in one tail.
type sub struct {
	tail      *tail
	partition chat.Partition
	// next is the offset to fetch from.
	next int64
	// bound is set once the sub is bound to a life of the topic.
	bound bool
	topic topicState
	// leaderEpoch is that of the leader that it is fetched from.
	leaderEpoch int32
	// feed is where it is fetched by, nil while it has no place.
	feed *feed
	// group is which of the parallel sets of feeds it belongs to; see feeds.
	group int
	// offered: it waits to be in a request; polled: it is in one.
	offered, polled bool
	// batch, if set, is in arrived, and grows.
	batch *chat.Batch
	// gone: it was removed from the tail; what arrives for it is dropped.
	gone bool
}

// Tail returns a tail that follows no partition yet; see chat.Tailer.
func (l *Log) Tail() chat.Tail {
	return &tail{feeds: l.feeds, subs: map[chat.Partition]*sub{}, notify: make(chan struct{}, 1)}
}

// Add follows p from offset from on. A partition that is followed already goes
// on from there.
func (t *tail) Add(p chat.Partition, from int64) {
	t.feeds.mu.Lock()
	defer t.feeds.mu.Unlock()
	t.remove(p)
	s := &sub{tail: t, partition: p, next: from}
	t.subs[p] = s
	if from < 0 {
		t.fail(s, chat.ErrOffsetOutOfRange) // a negative one has a meaning of its own in a fetch
		return
	}
	t.feeds.join(s)
}

// Remove stops following p.
func (t *tail) Remove(p chat.Partition) {
	t.feeds.mu.Lock()
	defer t.feeds.mu.Unlock()
	t.remove(p)
}

func (t *tail) remove(p chat.Partition) {
	s := t.subs[p]
	if s == nil {
		return
	}
	delete(t.subs, p)
	t.feeds.leave(s)
	if s.batch != nil {
		for i, b := range t.arrived {
			if b == s.batch {
				t.arrived = append(t.arrived[:i], t.arrived[i+1:]...)
				t.bytes -= batchSize(b.Records)
				break
			}
		}
		t.feed()
	}
}

// Next waits until something has arrived; see chat.Tail.
func (t *tail) Next(ctx context.Context) ([]chat.Batch, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if batches := t.take(); len(batches) > 0 {
			return batches, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-t.notify:
		}
	}
}

func (t *tail) take() []chat.Batch {
	t.feeds.mu.Lock()
	defer t.feeds.mu.Unlock()
	batches := make([]chat.Batch, len(t.arrived))
	for i, b := range t.arrived {
		batches[i] = *b
	}
	t.arrived, t.bytes = nil, 0
	for _, s := range t.subs {
		s.batch = nil
	}
	t.feed()
	return batches
}

// feed offers the subs again once the tail is not full any more. The mutex is
// held.
func (t *tail) feed() {
	if !t.starved || t.full() {
		return
	}
	t.starved = false
	for _, s := range t.subs {
		t.feeds.offer(s)
	}
}

// full: nothing is fetched until Next has been called.
func (t *tail) full() bool { return t.bytes >= t.feeds.options.TailBytes }

// deliver gives records to a sub; high is the end of its partition as the
// broker told it with them. The mutex is held.
func (t *tail) deliver(s *sub, records []chat.Record, next, high int64) {
	s.next = next
	if len(records) == 0 {
		return
	}
	if s.batch == nil {
		s.batch = &chat.Batch{Partition: s.partition, Epoch: s.topic.epoch}
		t.arrived = append(t.arrived, s.batch)
	}
	s.batch.Records = append(s.batch.Records, records...)
	s.batch.Next = next
	// A new leader may not know yet of all that it has shown.
	s.batch.End = max(s.batch.End, high, next)
	t.bytes += batchSize(records)
	t.wake()
}

// fail ends a sub with an error, behind what it has delivered. The mutex is
// held.
func (t *tail) fail(s *sub, err error) {
	if t.subs[s.partition] == s {
		delete(t.subs, s.partition)
	}
	t.feeds.leave(s)
	t.arrived = append(t.arrived, &chat.Batch{Partition: s.partition, Epoch: s.topic.epoch, Next: s.next, Err: err})
	t.wake()
}

func (t *tail) wake() {
	select {
	case t.notify <- struct{}{}:
	default:
	}
}

// Close frees what the tail holds.
func (t *tail) Close() {
	t.feeds.mu.Lock()
	defer t.feeds.mu.Unlock()
	for p := range t.subs {
		t.remove(p)
	}
	t.arrived, t.bytes = nil, 0
}

func batchSize(records []chat.Record) int {
	size := 0
	for _, r := range records {
		size += recordOverhead + len(r.Key) + len(r.Value)
	}
	return size
}

// recordOverhead is what a record costs in memory beyond key and value.
const recordOverhead = 96

// feeds fetch for all tails. There is one feed for each topic and broker, so
// that neither rooms nor signals ever delay a message. A request names a
// partition once; where several tails follow the same one, each further sub
// goes into a further group, which has feeds of its own.
type feeds struct {
	ctx     context.Context
	options Options
	cluster *cluster
	wg      *sync.WaitGroup

	mu    sync.Mutex // guards what follows, and all tails, subs and feeds
	feeds map[feedKey]*feed
	// groups say, for each partition, which groups have a sub of it.
	groups map[chat.Partition][]*sub
	// homeless are the subs without a place: their partition has no leader, or
	// the leader failed them. They are placed after the next refresh.
	homeless map[*sub]struct{}
	closed   bool
}

type feedKey struct {
	group  int
	topic  chat.Topic
	broker int32
}

func newFeeds(ctx context.Context, o Options, c *cluster, wg *sync.WaitGroup) *feeds {
	return &feeds{
		ctx: ctx, options: o, cluster: c, wg: wg,
		feeds: map[feedKey]*feed{}, groups: map[chat.Partition][]*sub{}, homeless: map[*sub]struct{}{},
	}
}

// join takes a new sub in. The mutex is held.
func (f *feeds) join(s *sub) {
	all := f.groups[s.partition]
	for s.group < len(all) && all[s.group] != nil {
		s.group++
	}
	if s.group == len(all) {
		all = append(all, nil)
	}
	all[s.group] = s
	f.groups[s.partition] = all
	f.place(s)
}

// leave drops a sub. The mutex is held.
func (f *feeds) leave(s *sub) {
	if s.gone {
		return
	}
	s.gone = true
	delete(f.homeless, s)
	if all := f.groups[s.partition]; s.group < len(all) && all[s.group] == s {
		all[s.group] = nil
	}
	if s.feed != nil {
		s.feed.drop(s)
	}
}

// place finds the feed of a sub. The mutex is held.
func (f *feeds) place(s *sub) {
	if f.closed {
		return
	}
	at, err := f.cluster.find(s.partition)
	if s.bound && at.topic.id != s.topic.id && at.topic.id != (uuid{}) {
		s.tail.fail(s, chat.ErrEpochChanged)
		return
	}
	if err != nil {
		f.evict(s)
		return
	}
	delete(f.homeless, s)
	s.bound, s.topic, s.leaderEpoch = true, at.topic, at.leader.epoch
	key := feedKey{s.group, s.partition.Topic, at.leader.broker}
	if f.feeds[key] == nil {
		f.feeds[key] = newFeed(f, at.leader.broker)
	}
	s.feed = f.feeds[key]
	s.feed.subs++
	f.offer(s)
}

// evict makes a sub homeless. The mutex is held.
func (f *feeds) evict(s *sub) {
	if s.feed != nil {
		s.feed.drop(s)
	}
	f.homeless[s] = struct{}{}
	f.cluster.refreshSoon()
}

// leadersChanged places who is homeless.
func (f *feeds) leadersChanged() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.homeless {
		f.place(s)
	}
}

// offer lets the sub be fetched, if it can be. The mutex is held.
func (f *feeds) offer(s *sub) {
	switch {
	case s.feed == nil, s.polled, s.gone:
	case s.tail.full():
		s.tail.starved = true
	default:
		s.feed.offer(s)
	}
}

// close ends all pollers, with the end of f.ctx.
func (f *feeds) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for _, feed := range f.feeds {
		feed.ready.Broadcast()
	}
}
