package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	kafkago "github.com/segmentio/kafka-go"
)

// The times of a consumer group. A member that is killed loses its partitions
// after the session timeout, one that is stopped at once.
const (
	groupHeartbeat = time.Second
	groupSession   = 10 * time.Second
	// groupRebalance is how long the others wait for a member to finish what
	// it is doing.
	groupRebalance = 20 * time.Second
	groupBackoff   = time.Second
	groupTimeout   = 5 * time.Second
)

// Assignments shares the partitions of chat.TopicMessages with all processes
// that call it for the same group, and runs f once for each partition that this
// process is assigned, until ctx ends. Each time members come or go, or
// partitions are added, a new generation of the group begins: the contexts of
// all f end, all f must return soon, and only then does this process join the
// next one. So two f of one partition run at once only if a process that does
// not notice that it was given up on (it was paused, or cut off) goes on for a
// while.
//
// An f that returns before its context ends is not run again in this
// generation; if it returns an error, Assignments leaves the group and returns
// it. Failures of the brokers are tried again for ever, except for a
// *DeniedError.
func (l *Log) Assignments(ctx context.Context, group string, f func(context.Context, chat.Partition) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()
	log := l.options.Logger.With("group", group)
	for {
		err := l.member(ctx, log, group, f)
		switch {
		case ctx.Err() != nil && !errors.Is(err, errAssigned):
			return nil
		case isDenied(err):
			return fmt.Errorf("join group %s: %w", group, &DeniedError{err})
		case errors.Is(err, errAssigned):
			return fmt.Errorf("group %s: %w", group, err)
		}
		log.Warn("group unavailable", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(jitter(groupBackoff)):
		}
	}
}

// errAssigned: it was the caller's function that failed.
var errAssigned = errors.New("use partition")

// member is a member of the group until something fails.
func (l *Log) member(ctx context.Context, log *slog.Logger, group string, f func(context.Context, chat.Partition) error) error {
	members, err := l.joinGroup(group)
	if err != nil {
		return err
	}
	defer members.Close()
	for {
		generation, err := members.Next(ctx)
		if errors.Is(err, kafkago.RebalanceInProgress) {
			continue
		}
		if err != nil {
			return err
		}
		if err := l.generation(ctx, log, generation, f); err != nil {
			return err
		}
	}
}

func (l *Log) joinGroup(group string) (*kafkago.ConsumerGroup, error) {
	o := l.options
	dialer := &kafkago.Dialer{ClientID: o.ClientID, Timeout: o.DialTimeout, DialFunc: o.Dial, TLS: o.TLS}
	if o.SASL != nil {
		mechanism, err := o.SASL.mechanism()
		if err != nil {
			return nil, err
		}
		dialer.SASLMechanism = mechanism
	}
	// It asks the first one that accepts a connection, which a paused one does.
	brokers := slices.Clone(o.Brokers)
	l.pool.order(brokers)
	return kafkago.NewConsumerGroup(kafkago.ConsumerGroupConfig{
		ID:                     group,
		Brokers:                brokers,
		Dialer:                 dialer,
		Topics:                 []string{o.topicName(chat.TopicMessages)},
		HeartbeatInterval:      groupHeartbeat,
		SessionTimeout:         groupSession,
		RebalanceTimeout:       groupRebalance,
		JoinGroupBackoff:       groupBackoff,
		Timeout:                groupTimeout,
		WatchPartitionChanges:  true,
		PartitionWatchInterval: metadataAge,
	})
}

// generation runs f for each partition of a generation and waits for its end.
func (l *Log) generation(ctx context.Context, log *slog.Logger, g *kafkago.Generation, f func(context.Context, chat.Partition) error) error {
	assigned := g.Assignments[l.options.topicName(chat.TopicMessages)]
	log.Info("partitions assigned", "generation", g.ID, "count", len(assigned))
	var mu sync.Mutex // guards errs
	var errs []error
	var running sync.WaitGroup
	running.Add(1 + len(assigned))
	// Whatever is started here ends the generation for this member by
	// returning, so each waits for its end. The first is for a member without
	// partitions.
	g.Start(func(ended context.Context) {
		defer running.Done()
		select {
		case <-ended.Done():
		case <-ctx.Done():
		}
	})
	for _, a := range assigned {
		p := chat.Partition{Topic: chat.TopicMessages, Number: int32(a.ID)}
		g.Start(func(ended context.Context) {
			defer running.Done()
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			defer context.AfterFunc(ended, cancel)()
			if err := f(ctx, p); err != nil && !errors.Is(err, context.Canceled) {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("%w %s: %w", errAssigned, p, err))
				return
			}
			<-ctx.Done()
		})
	}
	running.Wait()
	return errors.Join(errs...)
}
