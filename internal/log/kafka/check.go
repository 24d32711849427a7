package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"
)

// Problem is a setting of a topic that would break what the log promises.
type Problem struct {
	// Topic and Setting are names as Kafka has them. The setting is empty if
	// the topic does not exist.
	Topic, Setting string
	Got, Want      string
}

func (p Problem) String() string {
	if p.Setting == "" {
		return fmt.Sprintf("topic %s is %s, want %s", p.Topic, p.Got, p.Want)
	}
	return fmt.Sprintf("topic %s has %s=%s, want %s", p.Topic, p.Setting, p.Got, p.Want)
}

// MismatchError says why Open refuses a cluster.
type MismatchError struct{ Problems []Problem }

func (e *MismatchError) Error() string {
	var lines []string
	for _, p := range e.Problems {
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "; ")
}

// minRetention is the least retention of TopicMessages: an archiver that is
// away for that long must find everything.
const minRetention = time.Hour

// Check compares the topics' settings with what the log needs; Epochs is not
// used. An error means that it could not be found out: it is a *DeniedError if
// the permission to describe the topics' configuration is missing.
func Check(ctx context.Context, o Options) ([]Problem, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("options of the log: %w", err)
	}
	p := newPool(o)
	defer p.close()
	problems, err := check(ctx, o, p)
	if err != nil {
		return nil, fmt.Errorf("check topics: %w", err)
	}
	return problems, nil
}

func check(ctx context.Context, o Options, p *pool) ([]Problem, error) {
	d, err := describe(ctx, o, p)
	if err != nil {
		return nil, err
	}
	return d.problems(o), nil
}

// problems is the rule of Check.
func (d description) problems(o Options) []Problem {
	var problems []Problem
	for _, t := range chat.Topics() {
		if f, ok := d.topics[t]; ok {
			problems = append(problems, compare(o, t, f)...)
		} else {
			problems = append(problems, Problem{Topic: o.topicName(t), Got: "missing", Want: "to be made by migrate"})
		}
	}
	return problems
}

// description is a cluster as one of its brokers sees it.
type description struct {
	brokers map[int32]string // id: host:port
	topics  map[chat.Topic]described
}

// described is a topic as it is.
type described struct {
	id         uuid
	partitions []PartitionState
	settings   map[string]string
}

// replicas is the replication factor of partition 0.
func (f described) replicas() int {
	if len(f.partitions) == 0 {
		return 0
	}
	return len(f.partitions[0].Replicas)
}

// compare is the rule of Check for one topic.
func compare(o Options, t chat.Topic, f described) []Problem {
	var problems []Problem
	want := func(setting, want string, ok func(got string) bool) {
		if got := f.settings[setting]; !ok(got) {
			problems = append(problems, Problem{o.topicName(t), setting, got, want})
		}
	}
	exactly := func(setting, value string) {
		want(setting, value, func(got string) bool { return got == value })
	}
	atLeast := func(setting string, least int64) {
		want(setting, fmt.Sprintf("at least %d", least), func(got string) bool {
			n, err := strconv.ParseInt(got, 10, 64)
			return err == nil && n >= least
		})
	}
	exactly("message.timestamp.type", "LogAppendTime")
	exactly("cleanup.policy", "delete")
	exactly("unclean.leader.election.enable", "false")
	atLeast("max.message.bytes", int64(maxMessageBytes(o)))
	if f.replicas() >= 3 {
		atLeast("min.insync.replicas", 2)
	}
	if t == chat.TopicMessages {
		exactly("retention.bytes", "-1")
		if f.settings["retention.ms"] != "-1" {
			atLeast("retention.ms", minRetention.Milliseconds())
		}
	}
	return problems
}

// maxMessageBytes is the largest batch that is ever sent.
func maxMessageBytes(o Options) int { return max(o.MaxRecordBytes, batchBytes) + batchSlack }

// describe finds out about the brokers and the topics that exist.
func describe(ctx context.Context, o Options, p *pool) (description, error) {
	var m metadata
	var answer *describeconfigs.Response
	err := anyBroker(ctx, o, p, func(c *conn, address string) (err error) {
		if m, err = askMetadata(ctx, o, c); err != nil {
			return err
		}
		request := &describeconfigs.Request{}
		for _, t := range m.topics {
			if t.code == 0 {
				request.Resources = append(request.Resources, describeconfigs.RequestResource{
					ResourceType: int8(kafkago.ResourceTypeTopic), ResourceName: t.name,
				})
			}
		}
		answer, err = exchange[*describeconfigs.Response](ctx, c, o.RequestTimeout, request)
		return err
	})
	if err != nil {
		return description{}, err
	}
	found := map[chat.Topic]described{}
	var errs []error
	for _, t := range chat.Topics() {
		name := o.topicName(t)
		for _, tm := range m.topics {
			if tm.name != name {
				continue
			}
			if err := brokerError(tm.code, ""); err == nil {
				found[t] = described{id: tm.id, partitions: tm.partitions, settings: map[string]string{}}
			} else if !errors.Is(err, kafkago.UnknownTopicOrPartition) {
				errs = append(errs, missing(name, err))
			}
		}
		for _, r := range answer.Resources {
			if r.ResourceName != name {
				continue
			}
			err := brokerError(r.ErrorCode, r.ErrorMessage)
			if errors.Is(err, kafkago.UnknownTopicOrPartition) {
				delete(found, t) // it was removed since
				break
			}
			if err != nil {
				errs = append(errs, missing(name, err))
			}
			for _, entry := range r.ConfigEntries {
				found[t].settings[entry.ConfigName] = entry.ConfigValue
			}
		}
	}
	return description{m.brokers, found}, errors.Join(errs...)
}

// anyBroker runs f with one of the brokers after the other until one succeeds.
func anyBroker(ctx context.Context, o Options, p *pool, f func(c *conn, address string) error) error {
	var errs []error
	for _, address := range o.Brokers {
		err := p.do(ctx, address, func(c *conn) error { return f(c, address) })
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
