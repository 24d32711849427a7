package chat

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Topic is a class of log records with its own retention and durability.
type Topic uint8

const (
	// TopicMessages holds the events of sessions: durable before it is
	// acknowledged, and kept until it is archived.
	TopicMessages Topic = iota + 1
	// TopicRooms holds the events of rooms, which keep nothing: it is retained
	// for a short time only, and no archiver reads it.
	TopicRooms
	// TopicSignals holds what concerns processes rather than readers (a token
	// is revoked, a user is changed). Every process follows all of it.
	TopicSignals
)

// Topics are all topics.
func Topics() []Topic { return []Topic{TopicMessages, TopicRooms, TopicSignals} }

// String is the name of the topic: of its folder or its Kafka topic's suffix.
func (t Topic) String() string {
	switch t {
	case TopicMessages:
		return "messages"
	case TopicRooms:
		return "rooms"
	case TopicSignals:
		return "signals"
	default:
		return fmt.Sprintf("topic-%d", uint8(t))
	}
}

// Partition names one ordered sequence of records.
type Partition struct {
	Topic  Topic
	Number int32
}

// String is topic/number.
func (p Partition) String() string { return fmt.Sprintf("%s/%d", p.Topic, p.Number) }

// Record is one record as the log keeps it.
type Record struct {
	// Offset is the record's place in its partition. Offsets rise, but need
	// not be contiguous.
	Offset int64
	// Time is when the log appended it, in whole milliseconds; it never
	// decreases within a partition.
	Time time.Time
	// Key is the URI of the room, or what a signal is about.
	Key string
	// Value is the encoded Event. Whoever reads it must not change it.
	Value []byte
}

// Bounds says what a partition holds: records at First ≤ offset < Next.
type Bounds struct {
	Epoch       uint32
	First, Next int64
}

// Batch is a run of records of one partition, or what went wrong with it.
type Batch struct {
	Partition Partition
	Epoch     uint32
	Records   []Record
	// Next is where reading goes on. It may lie beyond the last record's
	// offset + 1.
	Next int64
	// End is the end of the partition as it was when the records were read; at
	// least Next. What is appended later may lie beyond it.
	End int64
	// Err is set when the partition cannot be followed any further from where
	// it was (ErrOffsetOutOfRange, ErrEpochChanged). The partition has then
	// been removed from the tail, Records is empty, and End is not known.
	Err error
}

// Errors of the Log.
var (
	// ErrOffsetOutOfRange: the offset is below the partition's first (the
	// records were trimmed) or above its next.
	ErrOffsetOutOfRange = errors.New("offset out of range")
	// ErrEpochChanged: the partition was recreated since.
	ErrEpochChanged = errors.New("log epoch changed")
	// ErrUnavailable: nothing was appended, or nothing could be read; the same
	// call may succeed later.
	ErrUnavailable = errors.New("backend unavailable")
	// ErrOutcomeUnknown: the append may or may not have succeeded. The caller
	// may repeat it under the same idempotency key.
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrNoSpace: the disk is full, and nothing was appended.
	ErrNoSpace = errors.New("no space left")
	// ErrRecordTooLarge: the record can never be appended.
	ErrRecordTooLarge = errors.New("record too large")
)

// Appender adds to the log.
type Appender interface {
	// Append returns once the record is as durable as its topic asks. The
	// returned record has its offset and time.
	//
	// A cancelled ctx ends the wait, not the append: the outcome is then
	// ErrOutcomeUnknown. Further errors: ErrUnavailable, ErrNoSpace,
	// ErrRecordTooLarge. A full queue is ErrUnavailable at once.
	Append(ctx context.Context, p Partition, key string, value []byte) (Record, uint32, error)
}

// LogReader reads what the log holds now.
type LogReader interface {
	// Partitions is the number of partitions of the topic; it never shrinks.
	Partitions(ctx context.Context, t Topic) (int32, error)
	// Bounds says what the partition holds. Every record whose Append had
	// returned before the call lies below Next.
	Bounds(ctx context.Context, p Partition) (Bounds, error)
	// Read returns the records from offset from on, at most about maxBytes of
	// them but at least one where there is one. It does not wait for new
	// ones: at the end of the partition the batch is empty.
	Read(ctx context.Context, p Partition, from int64, maxBytes int) (Batch, error)
}

// Tailer follows partitions.
type Tailer interface {
	// Tail returns a tail that follows no partition yet.
	Tail() Tail
}

// Tail follows a changing set of partitions. Add and Remove may be called
// while Next is waiting; Next is for one goroutine.
type Tail interface {
	// Add follows p from offset from on. The batches of one partition arrive
	// in order and without a gap.
	Add(p Partition, from int64)
	// Remove stops following p. A batch of p that Next was about to return may
	// still arrive.
	Remove(p Partition)
	// Next waits until a followed partition has records and returns them, or
	// the error of ctx. After a passing failure it tries again by itself.
	Next(ctx context.Context) ([]Batch, error)
	// Close frees what the tail holds. Next must not be running.
	Close()
}

// Log is the append-only, partitioned log that carries every event.
type Log interface {
	Appender
	LogReader
	Tailer
}
