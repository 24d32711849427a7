package chat

import (
	"context"
	"fmt"
	"hash/fnv"
)

// Publisher appends events to the log.
type Publisher struct {
	log Log
}

// NewPublisher returns a Publisher to the log.
func NewPublisher(log Log) *Publisher { return &Publisher{log: log} }

// Publish appends an event to its room and returns its record and epoch.
func (p *Publisher) Publish(ctx context.Context, room Room, ev Event) (Record, uint32, error) {
	return p.append(ctx, room.Partition, room.URI, ev)
}

// Signal appends an event to the signals that every process follows. Signals
// about the same key stay in order.
func (p *Publisher) Signal(ctx context.Context, key string, ev Event) error {
	partition, err := p.PartitionFor(ctx, TopicSignals, key)
	if err != nil {
		return err
	}
	_, _, err = p.append(ctx, partition, key, ev)
	return err
}

// Announcements is the partition of the signals in which all announcements are,
// so that to have heard it up to some time is to have heard them all.
var Announcements = Partition{Topic: TopicSignals, Number: 0}

// Announce appends an announcement. It returns once whoever follows the
// announcements will hear it.
func (p *Publisher) Announce(ctx context.Context, ev Event) error {
	_, _, err := p.append(ctx, Announcements, ev.Room, ev)
	return err
}

// PartitionFor is the partition that a key gets now; it changes when
// partitions are added, so whoever needs it to stay keeps it.
func (p *Publisher) PartitionFor(ctx context.Context, topic Topic, key string) (Partition, error) {
	count, err := p.log.Partitions(ctx, topic)
	if err != nil {
		return Partition{}, fmt.Errorf("count partitions of %s: %w", topic, err)
	}
	h := fnv.New32a()
	h.Write([]byte(key))
	return Partition{Topic: topic, Number: int32(h.Sum32() % uint32(count))}, nil
}

func (p *Publisher) append(ctx context.Context, partition Partition, key string, ev Event) (Record, uint32, error) {
	rec, epoch, err := p.log.Append(ctx, partition, key, AppendEvent(nil, ev))
	if err != nil {
		return Record{}, 0, fmt.Errorf("append to %s: %w", partition, err)
	}
	return rec, epoch, nil
}
