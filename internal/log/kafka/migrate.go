package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/createpartitions"
	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/segmentio/kafka-go/protocol/incrementalalterconfigs"
)

// TopicSettings are how Migrate makes the topics. The zero value of each field
// is its default.
type TopicSettings struct {
	// Partitions is the number of partitions by topic; 64 for messages, 16 for
	// rooms, 1 for signals. It may grow from one Migrate to the next; a smaller
	// number leaves the topic as it is.
	Partitions map[chat.Topic]int32
	// ReplicationFactor is that of new topics; the brokers' default. Topics
	// that exist keep theirs.
	ReplicationFactor int16
	// MinInsync is how many replicas must have a record before it is
	// acknowledged; 2 where there are three replicas or more, else 1.
	MinInsync int
	// Retention is how long records are kept, by topic; 7 days for messages, 2
	// hours for rooms and signals. Messages need at least an hour.
	Retention map[chat.Topic]time.Duration
}

func (s TopicSettings) withDefaults() (TopicSettings, error) {
	partitions := map[chat.Topic]int32{chat.TopicMessages: 64, chat.TopicRooms: 16, chat.TopicSignals: 1}
	retention := map[chat.Topic]time.Duration{
		chat.TopicMessages: 7 * 24 * time.Hour, chat.TopicRooms: 2 * time.Hour, chat.TopicSignals: 2 * time.Hour,
	}
	maps.Copy(partitions, s.Partitions)
	maps.Copy(retention, s.Retention)
	s.Partitions, s.Retention = partitions, retention
	setDefault(&s.ReplicationFactor, -1)
	var errs []error
	for t, n := range partitions {
		if n < 1 || !slices.Contains(chat.Topics(), t) {
			errs = append(errs, fmt.Errorf("%d partitions of %s", n, t))
		}
	}
	for t, d := range retention {
		if d < time.Minute || t == chat.TopicMessages && d < minRetention {
			errs = append(errs, fmt.Errorf("retention of %s is %v", t, d))
		}
	}
	if s.ReplicationFactor > 0 && s.MinInsync > int(s.ReplicationFactor) {
		errs = append(errs, fmt.Errorf("%d in-sync replicas of %d", s.MinInsync, s.ReplicationFactor))
	}
	return s, errors.Join(errs...)
}

// of are the settings of a topic with so many replicas.
func (s TopicSettings) of(o Options, t chat.Topic, replicas int) map[string]string {
	minInsync := s.MinInsync
	if minInsync == 0 {
		minInsync = 1
		if replicas >= 3 {
			minInsync = 2
		}
	}
	// Only whole segments are removed, so there have to be several.
	segment := min(max(s.Retention[t]/8, time.Minute), 24*time.Hour)
	return map[string]string{
		"message.timestamp.type":         "LogAppendTime",
		"cleanup.policy":                 "delete",
		"unclean.leader.election.enable": "false",
		"max.message.bytes":              strconv.Itoa(maxMessageBytes(o)),
		"min.insync.replicas":            strconv.Itoa(minInsync),
		"retention.ms":                   strconv.FormatInt(s.Retention[t].Milliseconds(), 10),
		"retention.bytes":                "-1",
		"segment.ms":                     strconv.FormatInt(segment.Milliseconds(), 10),
	}
}

// Migrate makes the topics, adds partitions to those that have fewer, and sets
// their settings; Options.Epochs is not used. It returns once all brokers know
// of it. To do it twice, or at once, does no harm.
func Migrate(ctx context.Context, o Options, s TopicSettings) error {
	o, err := o.withDefaults()
	if err != nil {
		return fmt.Errorf("options of the log: %w", err)
	}
	s, err = s.withDefaults()
	if err != nil {
		return fmt.Errorf("settings of topics: %w", err)
	}
	p := newPool(o)
	defer p.close()
	if err := migrate(ctx, o, s, p); err != nil {
		return fmt.Errorf("migrate topics: %w", err)
	}
	return nil
}

func migrate(ctx context.Context, o Options, s TopicSettings, p *pool) error {
	// What was asked for is looked at again until there is nothing left to do:
	// another migration may be at it too, a new topic's number of replicas may
	// be up to the brokers, and each broker hears of a change in its own time.
	for attempts := 0; ; attempts++ {
		changed, err := change(ctx, o, s, p)
		if err != nil {
			return err
		}
		if !changed {
			if err = ready(ctx, o, p); err == nil {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for topics: %w", errors.Join(ctx.Err(), err))
		case <-time.After(retryPause(attempts)):
		}
	}
}

// change does what is to be done now, and reports whether there was anything.
func change(ctx context.Context, o Options, s TopicSettings, p *pool) (changed bool, err error) {
	d, err := describe(ctx, o, p)
	if err != nil {
		return false, err
	}
	for _, t := range chat.Topics() {
		f, ok := d.topics[t]
		if !ok {
			if err := create(ctx, o, s, p, t); err != nil {
				return false, fmt.Errorf("create topic %s: %w", o.topicName(t), err)
			}
			changed = true
			continue
		}
		adapted, err := adapt(ctx, o, s, p, t, f)
		if err != nil {
			return false, fmt.Errorf("change topic %s: %w", o.topicName(t), err)
		}
		changed = changed || adapted
	}
	return changed, nil
}

func create(ctx context.Context, o Options, s TopicSettings, p *pool, t chat.Topic) error {
	request := createtopics.RequestTopic{
		Name:              o.topicName(t),
		NumPartitions:     s.Partitions[t],
		ReplicationFactor: s.ReplicationFactor,
	}
	for name, value := range s.of(o, t, int(s.ReplicationFactor)) {
		request.Configs = append(request.Configs, createtopics.RequestConfig{Name: name, Value: value})
	}
	return anyBroker(ctx, o, p, func(c *conn, _ string) error {
		answer, err := exchange[*createtopics.Response](ctx, c, o.RequestTimeout+adminTimeout, &createtopics.Request{
			Topics: []createtopics.RequestTopic{request}, TimeoutMs: int32(adminTimeout.Milliseconds()),
		})
		if err != nil {
			return err
		}
		for _, result := range answer.Topics {
			err := brokerError(result.ErrorCode, result.ErrorMessage)
			if err != nil && !errors.Is(err, kafkago.TopicAlreadyExists) {
				return err
			}
		}
		return nil
	})
}

// adminTimeout is how long the brokers may take to change a topic.
const adminTimeout = 15 * time.Second

// adapt grows a topic and changes its settings, and reports whether it had to.
func adapt(ctx context.Context, o Options, s TopicSettings, p *pool, t chat.Topic, f described) (changed bool, err error) {
	if n := s.Partitions[t]; int(n) > len(f.partitions) {
		if err := grow(ctx, o, p, t, n); err != nil {
			return false, fmt.Errorf("grow to %d partitions: %w", n, err)
		}
		changed = true
	}
	resource := incrementalalterconfigs.RequestResource{
		ResourceType: int8(kafkago.ResourceTypeTopic), ResourceName: o.topicName(t),
	}
	for name, value := range s.of(o, t, f.replicas()) {
		if f.settings[name] != value {
			resource.Configs = append(resource.Configs, incrementalalterconfigs.RequestConfig{
				Name: name, Value: value, ConfigOperation: int8(kafkago.ConfigOperationSet),
			})
		}
	}
	if len(resource.Configs) == 0 {
		return changed, nil
	}
	return true, anyBroker(ctx, o, p, func(c *conn, _ string) error {
		answer, err := exchange[*incrementalalterconfigs.Response](ctx, c, o.RequestTimeout+adminTimeout,
			&incrementalalterconfigs.Request{Resources: []incrementalalterconfigs.RequestResource{resource}})
		if err != nil {
			return err
		}
		for _, result := range answer.Responses {
			if err := brokerError(result.ErrorCode, result.ErrorMessage); err != nil {
				return err
			}
		}
		return nil
	})
}

func grow(ctx context.Context, o Options, p *pool, t chat.Topic, n int32) error {
	return anyBroker(ctx, o, p, func(c *conn, _ string) error {
		answer, err := exchange[*createpartitions.Response](ctx, c, o.RequestTimeout+adminTimeout, &createpartitions.Request{
			Topics:    []createpartitions.RequestTopic{{Name: o.topicName(t), Count: n}},
			TimeoutMs: int32(adminTimeout.Milliseconds()),
		})
		if err != nil {
			return err
		}
		for _, result := range answer.Results {
			// What is invalid is a number that another migration has reached.
			err := brokerError(result.ErrorCode, result.ErrorMessage)
			if err != nil && !errors.Is(err, kafkago.InvalidPartitionNumber) {
				return err
			}
		}
		return nil
	})
}

// ready checks that all brokers know all topics and a leader of each partition.
func ready(ctx context.Context, o Options, p *pool) error {
	var m metadata
	ask := func(c *conn, _ string) (err error) {
		m, err = askMetadata(ctx, o, c)
		return err
	}
	if err := anyBroker(ctx, o, p, ask); err != nil {
		return err
	}
	for _, address := range m.brokers {
		if err := p.do(ctx, address, func(c *conn) error { return ask(c, address) }); err != nil {
			return err
		}
		for _, t := range m.topics {
			if err := brokerError(t.code, ""); err != nil {
				return missing(t.name, err)
			}
			leaderless := func(p PartitionState) bool { return p.Leader < 0 }
			if len(t.partitions) == 0 || slices.ContainsFunc(t.partitions, leaderless) {
				return fmt.Errorf("topic %s: %w", t.name, errNoLeader)
			}
		}
	}
	return nil
}
