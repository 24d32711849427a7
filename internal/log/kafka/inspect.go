package kafka

import (
	"context"
	"fmt"
	"strconv"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/segmentio/kafka-go/protocol"
)

// Inspector looks at a cluster in whatever state it is, also one that Open
// refuses, and changes nothing. Its methods may be called concurrently. Unlike
// a Log it does not try again: what cannot be reached is the finding.
type Inspector struct {
	options Options
	pool    *pool
}

// NewInspector returns an Inspector, which has no connection yet; Epochs is
// not used.
func NewInspector(o Options) (*Inspector, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("options of the log: %w", err)
	}
	return &Inspector{options: o, pool: newPool(o)}, nil
}

// Close closes the connections.
func (i *Inspector) Close() { i.pool.close() }

// Reach finds out whether the broker at address, host:port, lets this client
// in and answers. The error is a *DeniedError if it refuses.
func (i *Inspector) Reach(ctx context.Context, address string) error {
	return i.pool.do(ctx, address, func(c *conn) error {
		_, err := askMetadata(ctx, i.options, c)
		return err
	})
}

// Overview is a cluster as one of its brokers sees it.
type Overview struct {
	// Brokers are the addresses of those that are alive, as host:port by id.
	Brokers map[int32]string
	// Topics are those that exist.
	Topics map[chat.Topic]TopicState
	// Problems are what Check answers.
	Problems []Problem
}

// TopicState is a topic as it is.
type TopicState struct {
	// Name is Kafka's. ID changes if the topic is recreated; it is what Epochs
	// is asked for.
	Name, ID string
	// MinInsync is min.insync.replicas: with fewer replicas in sync, appends
	// are refused.
	MinInsync int
	// Partitions are by number.
	Partitions []PartitionState
}

// PartitionState says which brokers have a partition, by their ids.
type PartitionState struct {
	// Leader is -1 if there is none: nothing can be read or appended.
	Leader           int32
	Replicas, InSync []int32
	// leaderEpoch is that of the leader's election.
	leaderEpoch int32
}

// Overview asks the brokers of the options, one after the other until one
// answers. Errors are those of Check.
func (i *Inspector) Overview(ctx context.Context) (Overview, error) {
	d, err := describe(ctx, i.options, i.pool)
	if err != nil {
		return Overview{}, fmt.Errorf("describe topics: %w", err)
	}
	o := Overview{Brokers: d.brokers, Topics: map[chat.Topic]TopicState{}, Problems: d.problems(i.options)}
	for t, f := range d.topics {
		const setting = "min.insync.replicas"
		minInsync, err := strconv.Atoi(f.settings[setting])
		if err != nil {
			return Overview{}, fmt.Errorf("%s of %s: %w", setting, i.options.topicName(t), err)
		}
		o.Topics[t] = TopicState{Name: i.options.topicName(t), ID: f.id.String(), MinInsync: minInsync, Partitions: f.partitions}
	}
	return o, nil
}

// Ends asks the leader of a partition of the overview what it holds: records
// at first ≤ offset < next.
func (i *Inspector) Ends(ctx context.Context, o Overview, p chat.Partition) (first, next int64, err error) {
	t := o.Topics[p.Topic]
	if p.Number < 0 || int(p.Number) >= len(t.Partitions) {
		return 0, 0, fmt.Errorf("%s has %d partitions, not %s", p.Topic, len(t.Partitions), p)
	}
	leader, ok := o.Brokers[t.Partitions[p.Number].Leader]
	if !ok {
		return 0, 0, fmt.Errorf("%s: %w", p, errNoLeader)
	}
	err = i.pool.do(ctx, leader, func(c *conn) (err error) {
		if first, err = i.askOffset(ctx, c, t.Name, p.Number, earliestOffset); err != nil {
			return err
		}
		next, err = i.askOffset(ctx, c, t.Name, p.Number, latestOffset)
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("ends of %s: %w", p, err)
	}
	return first, next, nil
}

// askOffset asks a leader for one of the offsets that have a name.
func (i *Inspector) askOffset(ctx context.Context, c *conn, topic string, number int32, which int64) (int64, error) {
	d, _, err := c.call(ctx, i.options.RequestTimeout, protocol.ListOffsets, listOffsetsVersion, func(e *encoder) {
		encodeListOffsetsRequest(e, topic, number, anyEpoch, which)
	})
	if err != nil {
		return 0, err
	}
	code, offset := decodeListOffsetsResponse(d)
	if d.err != nil {
		return 0, d.err
	}
	return offset, brokerError(code, "")
}
