package kafka

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

const (
	// longWait is how long a fetch waits for records.
	longWait = 500 * time.Millisecond
	// shortWait is the same while the partitions are fetched by two pollers,
	// which it takes about twice to merge.
	shortWait = 20 * time.Millisecond
	// fetchBytes bounds an answer, and partitionBytes what it has of one
	// partition. The first batch comes whatever its size.
	fetchBytes, partitionBytes = 8 << 20, 1 << 20
	// lingerBytes ends a linger.
	lingerBytes = 64 << 10
)

// feed fetches one topic's partitions from one broker. All is guarded by the
// mutex of feeds.
//
// It has up to two pollers. The main one fetches all partitions that are
// offered, and waits long. A request cannot be changed once it is on its way,
// so if a partition is offered meanwhile, a second poller fetches that at once,
// with a short wait. As long as there are two, both wait for a short time only;
// then the second leaves its partitions to the main one and ends.
type feed struct {
	feeds  *feeds
	broker int32
	// subs counts the subs that have this feed.
	subs int
	// offered may be fetched now, in order: those that just brought records
	// stand behind the others.
	offered []*sub
	ready   *sync.Cond
	// main and second: the poller runs. mainBusy: the main one is in a request,
	// which waits long if mainLong is set.
	main, second, mainBusy, mainLong bool
}

func newFeed(f *feeds, broker int32) *feed {
	return &feed{feeds: f, broker: broker, ready: sync.NewCond(&f.mu)}
}

// offer puts a sub up for the next request. The mutex is held.
func (f *feed) offer(s *sub) {
	if s.offered {
		return
	}
	s.offered = true
	f.offered = append(f.offered, s)
	switch {
	case f.feeds.closed:
	case !f.main:
		f.main = true
		f.feeds.wg.Go(func() { f.poll(true) })
	case !f.mainBusy:
		f.ready.Signal()
	case f.mainLong && !f.second:
		f.second = true
		f.feeds.wg.Go(func() { f.poll(false) })
	}
}

// drop takes a sub out of the feed. The mutex is held.
func (f *feed) drop(s *sub) {
	s.feed = nil
	f.subs--
	if s.offered {
		s.offered = false
		f.offered = slices.DeleteFunc(f.offered, func(other *sub) bool { return other == s })
	}
	if f.subs == 0 {
		f.ready.Signal()
	}
}

// poll is a poller.
func (f *feed) poll(main bool) {
	p := &poller{f, main, link{cluster: f.feeds.cluster, broker: f.broker}}
	defer p.link.release()
	for {
		subs, request := p.next()
		if subs == nil {
			return
		}
		answers, err := p.fetch(request)
		p.hand(subs, answers, err)
	}
}

type poller struct {
	*feed
	main bool
	link link
}

// next waits for subs and makes the request for them. It returns nil if the
// poller is to end.
func (p *poller) next() ([]*sub, fetchRequest) {
	p.feeds.mu.Lock()
	defer p.feeds.mu.Unlock()
	for p.main && len(p.offered) == 0 && p.subs > 0 && !p.feeds.closed {
		p.ready.Wait()
	}
	// While the main poller waits long, what the second one left to it would
	// wait as long.
	leave := !p.main && p.feed.main && !(p.mainBusy && p.mainLong)
	if len(p.offered) == 0 || p.feeds.closed || leave {
		if p.main {
			p.feed.main = false
		} else {
			p.second = false
			p.ready.Signal()
		}
		return nil, fetchRequest{}
	}
	subs := p.offered
	p.offered = nil
	long := p.main && !p.second
	if p.main {
		p.mainBusy, p.mainLong = true, long
	}
	wait, enough := shortWait, int32(1)
	switch linger := p.feeds.options.FetchLinger; {
	case long && linger > 0:
		wait, enough = min(linger, longWait), lingerBytes
	case long:
		wait = longWait
	}
	request := fetchRequest{maxWaitMillis: int32(wait.Milliseconds()), minBytes: enough, maxBytes: fetchBytes, topic: subs[0].topic.id}
	n := 0
	for _, s := range subs {
		if s.topic.id != request.topic {
			p.offered = append(p.offered, s) // of another life of the topic: next time
			continue
		}
		s.offered, s.polled = false, true
		request.partitions = append(request.partitions, fetchPartition{s.partition.Number, s.leaderEpoch, s.next, partitionBytes})
		subs[n] = s
		n++
	}
	return subs[:n], request
}

// fetch makes the request and decodes the answers, by partition.
func (p *poller) fetch(request fetchRequest) (map[int32]answer, error) {
	if err := p.link.connect(p.feeds.ctx); err != nil {
		return nil, err
	}
	timeout := p.feeds.options.RequestTimeout + longWait
	d, _, err := p.link.call(p.feeds.ctx, timeout, protocol.Fetch, fetchVersion, func(e *encoder) {
		encodeFetchRequest(e, request)
	})
	if err != nil {
		p.feeds.cluster.pool.discard(p.link.address)
		return nil, err
	}
	code, all := decodeFetchResponse(d)
	if d.err != nil {
		return nil, d.err
	}
	if err := brokerError(code, ""); err != nil {
		return nil, err
	}
	from := map[int32]int64{}
	for _, part := range request.partitions {
		from[part.number] = part.offset
	}
	answers := make(map[int32]answer, len(all))
	for _, part := range all {
		answers[part.number] = decodeAnswer(part, from[part.number])
	}
	return answers, nil
}

// answer is what a fetch brought of one partition.
type answer struct {
	records []chat.Record
	// next is where to fetch on, high the broker's high watermark.
	next, high int64
	err        error
}

// decodeAnswer copies the records, so that what a tail keeps of a quiet
// partition does not keep the whole response.
func decodeAnswer(part fetched, from int64) answer {
	if err := brokerError(part.code, ""); err != nil {
		return answer{err: err}
	}
	if len(part.records) == 0 {
		return answer{next: from, high: part.high}
	}
	records, next, err := decodeBatches(bytes.Clone(part.records), from)
	if err == nil && next == from {
		err = fmt.Errorf("no whole batch at %d: %w", from, errMalformed)
	}
	return answer{records, next, part.high, err}
}

// hand gives the answers to the subs and offers them again. If err is set
// there are none.
func (p *poller) hand(subs []*sub, answers map[int32]answer, err error) {
	p.feeds.mu.Lock()
	defer p.feeds.mu.Unlock()
	if p.main {
		p.mainBusy = false // what is offered now is for its next request
	}
	var full, empty []*sub
	for _, s := range subs {
		s.polled = false
		a, ok := answers[s.partition.Number]
		switch {
		case s.gone:
			continue
		case err != nil:
			a.err = err
		case !ok:
			a.err = errNoAnswer
		}
		switch {
		case errors.Is(a.err, kafkago.OffsetOutOfRange):
			s.tail.fail(s, chat.ErrOffsetOutOfRange)
		case a.err != nil:
			p.failed(s, a.err)
		case a.next > s.next:
			s.tail.deliver(s, a.records, a.next, a.high)
			full = append(full, s)
		default:
			empty = append(empty, s)
		}
	}
	// An answer is filled from the front, so who has been served stands back.
	for _, s := range append(empty, full...) {
		p.feeds.offer(s)
	}
}

// failed makes a sub homeless until the next refresh, which says where it is
// now, and paces the attempts.
func (p *poller) failed(s *sub, err error) {
	level := slog.LevelDebug // the cluster says it if it cannot be reached
	if errors.Is(err, errMalformed) {
		level = slog.LevelError
	}
	p.feeds.options.Logger.Log(p.feeds.ctx, level, "fetch failed",
		"partition", s.partition.String(), "broker", p.broker, "offset", s.next, "error", err)
	p.feeds.evict(s)
}
