package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
)

// send is a sender: it sends what stands in the line until the producer is
// closed, one request at a time.
func (p *producer) send(broker int32, q *line) {
	s := sender{p, link{cluster: p.cluster, broker: broker}}
	defer s.link.release()
	for {
		lanes := p.take(q)
		if lanes == nil {
			return
		}
		s.round(lanes)
	}
}

// take waits for lanes and cuts their batches, or returns nil after close. The
// lanes it returns have a batch and belong to the caller.
func (p *producer) take(q *line) []*lane {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		for len(q.lanes) == 0 && !p.closed {
			q.idle++
			q.ready.Wait()
			q.idle--
		}
		if p.closed {
			return nil
		}
		var taken []*lane
		now, size, n := time.Now(), 0, 0
		for _, l := range q.lanes {
			if size >= requestBytes {
				break
			}
			n++
			if l.batch == nil {
				p.failItems(l, l.expire(now), unavailable(context.DeadlineExceeded))
				l.cut()
			}
			if l.batch == nil {
				l.busy = false
				continue
			}
			taken = append(taken, l)
			for _, a := range l.batch.items {
				size += a.size()
			}
		}
		q.lanes = append(q.lanes[:0], q.lanes[n:]...)
		if len(q.lanes) > 0 {
			q.ready.Signal()
		}
		if len(taken) > 0 {
			return taken
		}
	}
}

// sender sends to one broker.
type sender struct {
	*producer
	link link
}

// round makes one attempt for the batches of the lanes.
func (s *sender) round(lanes []*lane) {
	err := s.link.connect(s.ctx)
	for i := 0; err == nil && i < len(lanes); i++ {
		err = s.number(lanes[i])
	}
	if err != nil {
		s.settleAll(lanes, verdict{again, err})
		return
	}
	lanes, topics := s.request(lanes)
	if len(lanes) == 0 {
		return
	}
	version := s.link.produceVersion
	timeout := s.options.RequestTimeout
	d, sent, err := s.link.call(s.ctx, timeout, protocol.Produce, version, func(e *encoder) {
		encodeProduceRequest(e, version, int32(timeout.Milliseconds()), topics)
	})
	var answers []produced
	if err == nil {
		answers = decodeProduceResponse(d, version)
		err = d.err
	}
	if err != nil {
		v := verdict{doubtful, fmt.Errorf("produce to broker %s: %w", s.link.address, err)}
		if !sent {
			v.kind = again
		}
		s.cluster.pool.discard(s.link.address)
		s.settleAll(lanes, v)
		return
	}
	s.settleEach(lanes, answers)
}

// number sees to it that the lane has numbers for its batch.
func (s *sender) number(l *lane) error {
	if l.batch.encoded != nil || l.numbered && !l.renumber {
		return nil
	}
	if !l.numbered {
		s.mu.Lock()
		shared := s.shared
		s.mu.Unlock()
		if shared != nil {
			l.state, l.numbered = *shared, true
			return nil
		}
	}
	answer, err := exchange[*initproducerid.Response](s.ctx, s.link.conn, s.options.RequestTimeout,
		&initproducerid.Request{ProducerID: -1, ProducerEpoch: -1})
	if err == nil {
		err = brokerError(answer.ErrorCode, "")
	}
	if err != nil {
		return fmt.Errorf("get a producer id: %w", err)
	}
	state := producerState{id: answer.ProducerID, epoch: answer.ProducerEpoch}
	if !l.renumber {
		s.mu.Lock()
		s.shared = &state
		s.mu.Unlock()
	}
	l.state, l.numbered, l.renumber = state, true, false
	return nil
}

// request makes the produce request of the lanes, without those whose batch
// went to a topic that is gone since.
func (s *sender) request(lanes []*lane) ([]*lane, []produceTopic) {
	now := time.Now()
	var going, gone []*lane
	byTopic := map[chat.Topic]int{}
	var topics []produceTopic
	for _, l := range lanes {
		b := l.batch
		topic, _ := s.cluster.topic(l.partition.Topic)
		if b.maybe && b.topic.id != topic.id {
			gone = append(gone, l)
			continue
		}
		l.encode(now)
		b.topic = topic
		i, ok := byTopic[l.partition.Topic]
		if !ok {
			i = len(topics)
			byTopic[l.partition.Topic] = i
			topics = append(topics, produceTopic{topicKey: topicKey{topic.name, topic.id}})
		}
		topics[i].partitions = append(topics[i].partitions, producePartition{l.partition.Number, b.encoded})
		going = append(going, l)
	}
	s.settleAll(gone, verdict{lost, chat.ErrEpochChanged})
	return going, topics
}

var errNoAnswer = errors.New("the broker did not answer about the partition")

func (s *sender) settleEach(lanes []*lane, answers []produced) {
	type key struct {
		topic  topicKey
		number int32
	}
	byKey := make(map[key]produced, len(answers))
	for _, a := range answers {
		byKey[key{a.topic, a.number}] = a
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range lanes {
		b := l.batch
		a, ok := byKey[key{topicKey{id: b.topic.id}, l.partition.Number}]
		if !ok {
			a, ok = byKey[key{topicKey{name: b.topic.name}, l.partition.Number}]
		}
		v := verdict{doubtful, errNoAnswer}
		if ok {
			v = judge(a.code, a.message, len(b.items), b.maybe)
		}
		if v.kind == accepted && l.returned(a.base) {
			v = verdict{lost, chat.ErrEpochChanged}
		}
		if v.kind == accepted {
			s.accept(l, a)
		}
		s.settle(l, v)
	}
}

func (s *sender) settleAll(lanes []*lane, v verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range lanes {
		v := v
		switch {
		case v.kind == again && l.batch.maybe:
			v.kind = doubtful
		case v.kind == again && isDenied(v.err):
			v.kind = refused
		}
		s.settle(l, v)
	}
}

// accept gives the items of the lane's batch their places. The mutex is held.
func (p *producer) accept(l *lane, a produced) {
	if a.time < 0 {
		// The topic keeps the producer's time, against its required settings.
		a.time = batchTime(l.batch.encoded).UnixMilli()
	}
	l.accepted, l.next = l.batch.topic.id, a.base+int64(len(l.batch.items))
	for i, item := range l.batch.items {
		p.release(l, item)
		item.record.Offset = a.base + int64(i)
		item.record.Time = time.UnixMilli(a.time)
		item.done <- outcome{record: item.record, epoch: l.batch.topic.epoch}
	}
}

// settle does what the verdict says and goes on with the lane. The mutex is
// held.
func (p *producer) settle(l *lane, v verdict) {
	switch v.kind {
	case accepted:
		l.state.advance(len(l.batch.items))
		l.batch = nil
	case refused:
		p.failBatch(l, v.err)
	case lost:
		p.failBatch(l, fmt.Errorf("%w: %w", chat.ErrOutcomeUnknown, v.err))
		l.renumber = true
		p.cluster.refreshSoon()
	case again, doubtful:
		l.batch.maybe = l.batch.maybe || v.kind == doubtful
		p.cluster.refreshSoon()
		p.later(l, v.err)
		return
	case renumber:
		l.renumber = true
		p.later(l, v.err)
		return
	case halve:
		l.limit = len(l.batch.items) / 2
		l.uncut()
		p.schedule(l)
		return
	}
	l.attempts, l.limit = 0, 0
	switch {
	case p.closed:
		p.failLane(l)
	case len(l.waiting) == 0:
		l.busy = false
	default:
		p.schedule(l)
	}
}
