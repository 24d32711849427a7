package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// Log is a chat.Log over Kafka.
type Log struct {
	options  Options
	pool     *pool
	cluster  *cluster
	producer *producer
	feeds    *feeds
	// highs are the newest known ends of partitions.
	highs highs

	// ctx ends with Close; all goroutines below group end with it.
	ctx    context.Context
	cancel context.CancelFunc
	group  *sync.WaitGroup
}

var _ chat.Log = (*Log)(nil)

// Open connects to the cluster. It fails if no broker can be reached, if a
// topic is missing, or, with a *MismatchError, if a topic's settings would
// break what the log promises. An error that may go away by itself, or once
// Migrate has run, is chat.ErrUnavailable and no *DeniedError. ctx is for
// opening only.
func Open(ctx context.Context, o Options) (*Log, error) {
	o, err := o.withDefaults()
	if err == nil && o.Epochs == nil {
		err = errors.New("no Epochs")
	}
	if err != nil {
		return nil, fmt.Errorf("options of the log: %w", err)
	}
	p := newPool(o)
	c := newCluster(o, p)
	if err := open(ctx, o, p, c); err != nil {
		p.close()
		if passes(err) {
			err = unavailable(err)
		}
		return nil, fmt.Errorf("open log: %w", err)
	}
	l := &Log{options: o, pool: p, cluster: c, group: new(sync.WaitGroup)}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.producer = newProducer(l.ctx, o, c, l.group)
	l.feeds = newFeeds(l.ctx, o, c, l.group)
	c.onChange = []func(){l.producer.leadersChanged, l.feeds.leadersChanged}
	l.group.Go(func() { c.run(l.ctx) })
	return l, nil
}

func open(ctx context.Context, o Options, p *pool, c *cluster) error {
	if err := c.refresh(ctx); err != nil {
		return err
	}
	problems, err := check(ctx, o, p)
	if err != nil {
		return fmt.Errorf("check topics: %w", err)
	}
	if len(problems) > 0 {
		return &MismatchError{problems}
	}
	return nil
}

// passes reports whether an error of open may go away.
func passes(err error) bool {
	var mismatch *MismatchError
	if errors.As(err, &mismatch) {
		return !slices.ContainsFunc(mismatch.Problems, func(p Problem) bool { return p.Setting != "" })
	}
	return !isDenied(err) && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, errMalformed)
}

// Close ends the Log. What was not acknowledged by then fails with
// chat.ErrUnavailable or, if it was on its way, chat.ErrOutcomeUnknown.
func (l *Log) Close() error {
	l.cancel()
	l.producer.close()
	l.feeds.close()
	l.group.Wait()
	l.pool.close()
	return nil
}

// Partitions is the number of partitions of the topic. One that was added is
// counted within about 10 seconds.
func (l *Log) Partitions(_ context.Context, t chat.Topic) (int32, error) {
	n, err := l.cluster.partitions(t)
	if err != nil {
		return 0, err
	}
	return n, nil
}
