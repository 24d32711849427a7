package local

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// Options are the settings of a Log. The zero value of each field is its
// default.
type Options struct {
	// Partitions is the number of partitions of each topic; 1 if it is not
	// named. It may grow from one Open to the next, but never shrink.
	Partitions map[chat.Topic]int32
	// Sync names the topics whose records reach the disk before they are
	// acknowledged; TopicMessages if nil. The others survive the end of the
	// process, but not of the machine.
	Sync []chat.Topic
	// SegmentBytes is the size at which a new segment file begins; 32 MiB.
	SegmentBytes int64
	// MaxRecordBytes is the largest key and value together; 1 MiB.
	MaxRecordBytes int
	// QueueBytes bounds what waits to be committed in one partition; 8 MiB.
	// Beyond it Append answers ErrUnavailable.
	QueueBytes int
	// CacheBytes bounds the newest records of one partition that are kept in
	// memory for its readers; 4 MiB.
	CacheBytes int
	// Retention is how long records are kept for certain, by topic. A topic
	// that is not named keeps them until Trim. If nil, TopicRooms and
	// TopicSignals have 2 hours.
	Retention map[chat.Topic]time.Duration
	// Now is the clock; time.Now.
	Now func() time.Time
	// Logger hears what recovery did; slog.Default().
	Logger *slog.Logger

	// open is how segment files are opened; tests put failing ones here.
	open func(path string, flag int) (file, error)
}

const (
	// maxBatchBytes ends a group: a longer one would delay its first append
	// more than it saves on the others.
	maxBatchBytes = 1 << 20

	defaultSegmentBytes   = 32 << 20
	defaultMaxRecordBytes = 1 << 20
	defaultQueueBytes     = 8 << 20
	defaultCacheBytes     = 4 << 20
	defaultRetention      = 2 * time.Hour

	// recordLimit keeps the length of any batch well within its 32-bit field.
	recordLimit = 1 << 30
)

// withDefaults fills in the defaults and checks the rest.
func (o Options) withDefaults() (Options, error) {
	partitions := make(map[chat.Topic]int32)
	for _, t := range chat.Topics() {
		partitions[t] = 1
		if n, ok := o.Partitions[t]; ok {
			partitions[t] = n
		}
	}
	var errs []error
	for t, n := range o.Partitions {
		if !slices.Contains(chat.Topics(), t) {
			errs = append(errs, fmt.Errorf("partitions of unknown %s", t))
		} else if n < 1 {
			errs = append(errs, fmt.Errorf("%d partitions of topic %s, want at least 1", n, t))
		}
	}
	o.Partitions = partitions
	if o.Sync == nil {
		o.Sync = []chat.Topic{chat.TopicMessages}
	}
	if o.Retention == nil {
		o.Retention = map[chat.Topic]time.Duration{
			chat.TopicRooms:   defaultRetention,
			chat.TopicSignals: defaultRetention,
		}
	}
	o.SegmentBytes = defaultTo(o.SegmentBytes, defaultSegmentBytes)
	o.MaxRecordBytes = defaultTo(o.MaxRecordBytes, defaultMaxRecordBytes)
	o.QueueBytes = defaultTo(o.QueueBytes, defaultQueueBytes)
	o.CacheBytes = defaultTo(o.CacheBytes, defaultCacheBytes)
	if o.SegmentBytes < 0 || o.MaxRecordBytes < 0 || o.QueueBytes < 0 || o.CacheBytes < 0 {
		errs = append(errs, errors.New("a size is negative"))
	}
	if o.MaxRecordBytes > recordLimit {
		errs = append(errs, fmt.Errorf("records of up to %d bytes, want at most %d", o.MaxRecordBytes, recordLimit))
	}
	if needed := o.MaxRecordBytes + maxRecordOverhead + batchHeaderBytes; o.QueueBytes < needed {
		errs = append(errs, fmt.Errorf("a queue of %d bytes, want at least %d for the largest record", o.QueueBytes, needed))
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.open == nil {
		o.open = openFile
	}
	return o, errors.Join(errs...)
}

func defaultTo[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}
