package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

// Epochs numbers the lives of a topic. A topic id is a random UUID that says
// only that a topic was recreated, while chat.Bounds.Epoch must grow.
type Epochs interface {
	// Epoch is the number of the topic's life with this id: 1 for the first id
	// of the name that was ever asked for, and one more for each further one.
	// All processes must get the same answer, for ever.
	Epoch(ctx context.Context, topic, topicID string) (uint32, error)
}

// SASL is how a client proves who it is.
type SASL struct {
	// Mechanism is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
	Mechanism          string
	Username, Password string
}

// Options are the settings of a Log. Brokers and Epochs are required; the zero
// value of any other field is its default.
type Options struct {
	// Brokers are host:port of some brokers; the others are learned from them.
	Brokers []string
	// Epochs keeps the epochs of the topics.
	Epochs Epochs
	// TopicPrefix and a dot precede the names of the topics; "chat".
	TopicPrefix string
	// TLS, if set, is used on every connection. An empty ServerName is replaced
	// by the broker's host.
	TLS *tls.Config
	// SASL, if set, is used on every connection.
	SASL *SASL
	// ClientID names the process in the broker's logs and quotas;
	// "chatcluster".
	ClientID string
	// Dial opens connections; that of net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// DialTimeout bounds connecting, with TLS and SASL; 3 s.
	DialTimeout time.Duration
	// RequestTimeout is how long a broker may take to answer a request before
	// its connection is given up; 3 s.
	RequestTimeout time.Duration
	// AppendTimeout bounds an append with all its attempts; 6 s.
	AppendTimeout time.Duration
	// ReadTimeout bounds Read and Bounds with all their attempts; 5 s.
	ReadTimeout time.Duration

	// MaxRecordBytes is the largest key and value together; 1 MiB.
	MaxRecordBytes int
	// QueueBytes bounds what waits to be sent to one partition, 8 MiB, and
	// TotalQueueBytes to all of them, 64 MiB. Beyond it Append answers
	// ErrUnavailable.
	QueueBytes, TotalQueueBytes int
	// FetchLinger lets the broker collect what tails follow for so long, or
	// until it has 64 KiB, before it answers: less work for all, for those who
	// are in no hurry; 0. At most half a second.
	FetchLinger time.Duration
	// TailBytes is what a tail may hold that Next has not returned, 16 MiB;
	// beyond it nothing is fetched for it. One fetch may exceed it.
	TailBytes int

	// Logger hears of failures that pass; slog.Default().
	Logger *slog.Logger
}

const (
	// batchBytes ends a batch: a longer one would delay its first record more
	// than it saves on the others.
	batchBytes = 512 << 10
	// requestBytes ends a produce request, for the same reason.
	requestBytes = 2 << 20
	// batchSlack is what a batch of one record needs beyond key and value.
	batchSlack = 256
	// recordLimit keeps every length within its 32-bit field, and a request
	// within the 100 MiB that brokers accept.
	recordLimit = 64 << 20
)

// withDefaults fills in the defaults and checks the rest.
func (o Options) withDefaults() (Options, error) {
	var errs []error
	if len(o.Brokers) == 0 {
		errs = append(errs, errors.New("no brokers"))
	}
	for _, address := range o.Brokers {
		if _, _, err := net.SplitHostPort(address); err != nil {
			errs = append(errs, fmt.Errorf("broker %q: %w", address, err))
		}
	}
	if o.SASL != nil {
		if _, err := o.SASL.mechanism(); err != nil {
			errs = append(errs, err)
		}
	}
	setDefault(&o.TopicPrefix, "chat")
	setDefault(&o.ClientID, "chatcluster")
	setDefault(&o.DialTimeout, 3*time.Second)
	setDefault(&o.RequestTimeout, 3*time.Second)
	setDefault(&o.AppendTimeout, 6*time.Second)
	setDefault(&o.ReadTimeout, 5*time.Second)
	setDefault(&o.MaxRecordBytes, 1<<20)
	setDefault(&o.QueueBytes, 8<<20)
	setDefault(&o.TotalQueueBytes, 64<<20)
	setDefault(&o.TailBytes, 16<<20)
	setDefault(&o.Logger, slog.Default())
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	if min(o.DialTimeout, o.RequestTimeout, o.AppendTimeout, o.ReadTimeout) < time.Millisecond {
		errs = append(errs, errors.New("a timeout is below 1 ms"))
	}
	if o.MaxRecordBytes < 0 || o.MaxRecordBytes > recordLimit {
		errs = append(errs, fmt.Errorf("records of up to %d bytes, want 1 to %d", o.MaxRecordBytes, recordLimit))
	}
	if least := o.MaxRecordBytes + batchSlack; o.QueueBytes < least || o.TotalQueueBytes < o.QueueBytes {
		errs = append(errs, fmt.Errorf("queues of %d and %d bytes in all, want at least %d for the largest record",
			o.QueueBytes, o.TotalQueueBytes, least))
	}
	if o.TailBytes < 0 {
		errs = append(errs, fmt.Errorf("a tail of %d bytes", o.TailBytes))
	}
	return o, errors.Join(errs...)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// topicName is the name of the topic in Kafka.
func (o Options) topicName(t chat.Topic) string { return o.TopicPrefix + "." + t.String() }

func (o Options) topicNames() []string {
	var names []string
	for _, t := range chat.Topics() {
		names = append(names, o.topicName(t))
	}
	return names
}

func (s SASL) mechanism() (sasl.Mechanism, error) {
	switch s.Mechanism {
	case "PLAIN":
		return plain.Mechanism{Username: s.Username, Password: s.Password}, nil
	case "SCRAM-SHA-256":
		return scram.Mechanism(scram.SHA256, s.Username, s.Password)
	case "SCRAM-SHA-512":
		return scram.Mechanism(scram.SHA512, s.Username, s.Password)
	default:
		return nil, fmt.Errorf("SASL mechanism %q, want PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", s.Mechanism)
	}
}
