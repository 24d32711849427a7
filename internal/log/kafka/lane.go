package kafka

import (
	"fmt"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	kafkago "github.com/segmentio/kafka-go"
)

// pending is an append that waits for its outcome.
type pending struct {
	record   chat.Record
	deadline time.Time
	// done gets the one outcome.
	done chan outcome
}

type outcome struct {
	record chat.Record
	epoch  uint32
	err    error
}

// pendingOverhead is what an append costs in memory beyond key and value.
const pendingOverhead = 256

func (a *pending) size() int { return pendingOverhead + len(a.record.Key) + len(a.record.Value) }

// lane is what is to be appended to one partition. The fields up to busy are
// guarded by the producer's mutex; those after it belong to whoever made the
// lane busy.
type lane struct {
	partition chat.Partition
	waiting   []*pending
	// bytes are those of waiting and of batch.
	bytes int
	// timer, if set, will schedule the busy lane again.
	timer *time.Timer
	// busy: the lane stands in a broker's line, is in a sender's hands, or has
	// a timer. Otherwise nothing is waiting.
	busy bool

	batch *batch
	// limit, if not 0, is the most records of the next batch.
	limit int
	// attempts counts the failures in a row.
	attempts int
	// state numbers the next batch, once numbered is set. A lane that is to be
	// renumbered must never have the same numbers again.
	state              producerState
	numbered, renumber bool
	// accepted is the topic of the last batch that was, and next the offset
	// behind it.
	accepted uuid
	next     int64
}

// returned: the batch went to an offset that the topic had passed, so it is
// another one of that name. Only brokers before 4.1, which do not go by the
// topic's id, can answer so.
func (l *lane) returned(base int64) bool {
	return l.batch.topic.id == l.accepted && base < l.next
}

// batch is what is sent to one partition at once.
type batch struct {
	items []*pending
	// encoded is built before the first attempt and never changes: the broker
	// recognises a batch by its numbers, and these records must be in it.
	encoded []byte
	topic   topicState
	// maybe: an attempt may have been appended, though it was not acknowledged.
	maybe bool
}

// expire removes the waiting items whose time is over. The producer's mutex is
// held.
func (l *lane) expire(now time.Time) (expired []*pending) {
	n := 0
	for n < len(l.waiting) && now.After(l.waiting[n].deadline) {
		n++
	}
	return l.remove(n)
}

// cut moves waiting items into a new batch, unless there is one already. The
// producer's mutex is held.
func (l *lane) cut() {
	if l.batch != nil {
		return
	}
	n, size := 0, 0
	for ; n < len(l.waiting) && (l.limit == 0 || n < l.limit); n++ {
		size += l.waiting[n].size()
		if n > 0 && size > batchBytes {
			break
		}
	}
	if n > 0 {
		l.batch = &batch{items: l.remove(n)}
	}
}

func (l *lane) remove(n int) []*pending {
	removed := l.waiting[:n:n]
	l.waiting = l.waiting[n:]
	if len(l.waiting) == 0 {
		l.waiting = nil // and with it what has been removed
	}
	return removed
}

// uncut undoes cut for a batch that was certainly not appended: its items may
// expire one by one, and go out with others. The producer's mutex is held.
func (l *lane) uncut() {
	l.waiting = append(l.batch.items, l.waiting...)
	l.batch = nil
}

// encode makes the bytes of the batch.
func (l *lane) encode(now time.Time) {
	if l.batch.encoded != nil {
		return
	}
	records := make([]chat.Record, len(l.batch.items))
	size := batchSlack
	for i, a := range l.batch.items {
		records[i] = a.record
		size += a.size()
	}
	l.batch.encoded = appendBatch(make([]byte, 0, size), l.state, now, records)
}

// verdict says what to do after an attempt.
type verdict struct {
	kind verdictKind
	err  error
}

type verdictKind uint8

const (
	// accepted: the batch is in the log.
	accepted verdictKind = iota
	// refused: nothing was appended, and no further attempt will be made.
	refused
	// again: nothing was appended, but another attempt may succeed.
	again
	// doubtful: the batch may have been appended; the same bytes must be sent
	// again to know.
	doubtful
	// renumber is again, under a new producer id.
	renumber
	// halve is again, with half as many records.
	halve
	// lost: the batch may have been appended, and it cannot be known any more.
	lost
)

// judge decides what an answer about a batch of n records means, if an earlier
// attempt may have been appended or not.
func judge(code int16, message string, n int, maybe bool) verdict {
	err := brokerError(code, message)
	switch kafkago.Error(code) {
	case 0:
		return verdict{kind: accepted}
	case kafkago.OutOfOrderSequenceNumber, kafkago.DuplicateSequenceNumber, kafkago.UnknownProducerId,
		kafkago.InvalidProducerEpoch, kafkago.ProducerFenced, kafkago.InvalidProducerIDMapping:
		// The broker has forgotten this producer, or the log has lost what it
		// had acknowledged to it.
		if maybe {
			return verdict{lost, err}
		}
		return verdict{renumber, err}
	}
	if maybe {
		// Whatever else it says is about this attempt only.
		return verdict{doubtful, err}
	}
	switch kafkago.Error(code) {
	case kafkago.MessageSizeTooLarge, kafkago.RecordListTooLarge:
		if n > 1 {
			return verdict{halve, err}
		}
		return verdict{refused, fmt.Errorf("%w: %w", chat.ErrRecordTooLarge, err)}
	case kafkago.NotEnoughReplicas, kafkago.InvalidRecord, kafkago.InvalidTimestamp, kafkago.InvalidTopic,
		kafkago.UnsupportedCompressionType, kafkago.UnsupportedForMessageFormat, kafkago.PolicyViolation:
		return verdict{refused, unavailable(err)}
	case kafkago.TopicAuthorizationFailed, kafkago.ClusterAuthorizationFailed:
		return verdict{refused, &DeniedError{err}}
	case kafkago.UnknownTopicID, kafkago.InconsistentTopicID, kafkago.InvalidMessage, kafkago.ThrottlingQuotaExceeded:
		return verdict{again, err}
	default:
		// Most of these come before the append, but a leader that is replaced
		// while it waits for its followers says the same as one that never was.
		return verdict{doubtful, err}
	}
}

// retryPause is how long to wait after so many failures in a row.
func retryPause(attempts int) time.Duration {
	return jitter(min(10*time.Millisecond<<min(attempts, 10), 500*time.Millisecond))
}
