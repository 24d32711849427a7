package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

const (
	// metadataAge is how old the metadata may get; what changes for the worse is
	// noticed at once by an error, this is for added partitions.
	metadataAge = 10 * time.Second
	// Pauses between refreshes that someone asked for: they grow while the
	// cluster gives reason for more.
	refreshMin, refreshMax = 20 * time.Millisecond, time.Second
	// refreshCalm is how long nobody must ask for the pause to shrink again.
	refreshCalm = 3 * time.Second
)

// topicState is what is known of a topic. It is never changed, only replaced.
type topicState struct {
	name  string
	id    uuid
	epoch uint32
	// leaders are by partition.
	leaders []leader
}

// cluster keeps the metadata: who leads what, and which life each topic is in.
type cluster struct {
	options Options
	pool    *pool
	// wake asks run for a refresh.
	wake chan struct{}
	// onChange is called after each refresh, whether it failed or not, by run.
	onChange []func()

	mu      sync.RWMutex // guards what follows
	brokers map[int32]string
	topics  map[chat.Topic]topicState
	// err is why the last refresh failed, nil if it did not.
	err error
	// refreshed is closed and replaced after each refresh, whether it failed
	// or not.
	refreshed chan struct{}
}

func newCluster(o Options, p *pool) *cluster {
	return &cluster{
		options:   o,
		pool:      p,
		wake:      make(chan struct{}, 1),
		topics:    map[chat.Topic]topicState{},
		refreshed: make(chan struct{}),
	}
}

// run refreshes the metadata until ctx ends.
func (c *cluster) run(ctx context.Context) {
	pause := refreshMin
	asked := time.Now()
	timer := time.NewTimer(jitter(metadataAge))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-c.wake:
			if time.Since(asked) > refreshCalm {
				pause = refreshMin
			}
			asked = time.Now()
		}
		before := c.lastError()
		err := c.refresh(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if before == nil {
				c.options.Logger.Warn("metadata of the log unavailable", "error", err)
			}
			c.refreshSoon()
		case before != nil:
			c.options.Logger.Info("metadata of the log available again")
		}
		for _, f := range c.onChange {
			f()
		}
		// Whoever asks meanwhile waits for the next refresh.
		select {
		case <-ctx.Done():
			return
		case <-time.After(jitter(pause)):
		}
		pause = min(2*pause, refreshMax)
		timer.Reset(jitter(metadataAge))
	}
}

// refreshSoon asks for a refresh and does not wait.
func (c *cluster) refreshSoon() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// await asks for a refresh and waits until one has been done that began later.
func (c *cluster) await(ctx context.Context) error {
	// The refresh that is under way may have begun earlier, so wait for two.
	for range 2 {
		c.mu.RLock()
		refreshed := c.refreshed
		c.mu.RUnlock()
		c.refreshSoon()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-refreshed:
		}
	}
	return nil
}

// refresh asks the brokers, one after the other, until one answers.
func (c *cluster) refresh(ctx context.Context) error {
	m, err := c.ask(ctx)
	var topics map[chat.Topic]topicState
	if err == nil {
		topics, err = c.resolve(ctx, m)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.brokers = m.brokers
		c.topics = topics
	}
	c.err = err
	close(c.refreshed)
	c.refreshed = make(chan struct{})
	return err
}

func (c *cluster) ask(ctx context.Context) (metadata, error) {
	c.mu.RLock()
	var known []string
	for _, address := range c.brokers {
		known = append(known, address)
	}
	c.mu.RUnlock()
	c.pool.order(known)
	var errs []error
	tried := map[string]bool{}
	for _, address := range append(known, c.options.Brokers...) {
		if tried[address] {
			continue
		}
		tried[address] = true
		var m metadata
		err := c.pool.do(ctx, address, func(conn *conn) (err error) {
			m, err = askMetadata(ctx, c.options, conn)
			return err
		})
		if err == nil {
			return m, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return metadata{}, errors.Join(errs...)
}

func askMetadata(ctx context.Context, o Options, c *conn) (metadata, error) {
	d, _, err := c.call(ctx, o.RequestTimeout, protocol.Metadata, metadataVersion, func(e *encoder) {
		encodeMetadataRequest(e, o.topicNames())
	})
	switch {
	case err != nil && o.SASL == nil && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)):
		return metadata{}, fmt.Errorf("ask broker %s for metadata: %w (does it want SASL?)", c.RemoteAddr(), err)
	case err != nil:
		return metadata{}, fmt.Errorf("ask broker %s for metadata: %w", c.RemoteAddr(), err)
	}
	m := decodeMetadata(d)
	return m, d.err
}

// resolve finds the state of each topic. A topic that cannot be told at the
// moment keeps its state without leaders, so that its partitions count as
// unavailable; one that was never known is an error.
func (c *cluster) resolve(ctx context.Context, m metadata) (map[chat.Topic]topicState, error) {
	topics := map[chat.Topic]topicState{}
	var errs []error
	for _, t := range chat.Topics() {
		old, known := c.topic(t)
		state, err := c.state(ctx, c.options.topicName(t), m, old)
		switch {
		case err == nil:
			if known && state.id != old.id {
				c.options.Logger.Warn("topic was recreated", "topic", state.name, "id", state.id.String(), "epoch", state.epoch)
			}
		case known:
			c.options.Logger.Warn("topic unavailable", "error", err)
			state = old
			state.leaders = make([]leader, len(old.leaders))
			for i, l := range old.leaders {
				state.leaders[i] = leader{-1, l.epoch}
			}
		default:
			errs = append(errs, err)
		}
		topics[t] = state
	}
	return topics, errors.Join(errs...)
}

// state is that of one topic, which was in the state old, if in any.
func (c *cluster) state(ctx context.Context, name string, m metadata, old topicState) (topicState, error) {
	i := slices.IndexFunc(m.topics, func(t topicMetadata) bool { return t.name == name })
	if i < 0 {
		return topicState{}, fmt.Errorf("topic %s is not in the metadata: %w", name, errMalformed)
	}
	t := m.topics[i]
	if err := brokerError(t.code, ""); err != nil {
		return topicState{}, missing(name, err)
	}
	state := topicState{name: name, id: t.id, epoch: old.epoch, leaders: t.leaders()}
	if t.id == old.id {
		state.leaders = newest(old.leaders, state.leaders)
		return state, nil
	}
	epoch, err := c.options.Epochs.Epoch(ctx, name, t.id.String())
	if err != nil {
		return topicState{}, fmt.Errorf("find epoch of topic %s: %w", name, err)
	}
	if epoch < old.epoch {
		return old, nil // this broker has not heard of the topic's new life yet
	}
	state.epoch = epoch
	return state, nil
}

// newest are the leaders that a broker tells, but where it is behind what was
// known: one that was held up still believes itself to lead what others do now.
func newest(known, told []leader) []leader {
	leaders := slices.Clone(told)
	for i, l := range known {
		switch {
		case i >= len(leaders):
			leaders = append(leaders, l) // it has not heard of a partition that was added
		case l.epoch > leaders[i].epoch:
			leaders[i] = l
		}
	}
	return leaders
}

func missing(topic string, err error) error {
	switch {
	case isDenied(err):
		return &DeniedError{fmt.Errorf("topic %s: %w", topic, err)}
	case errors.Is(err, kafkago.UnknownTopicOrPartition):
		return fmt.Errorf("topic %s does not exist; has migrate been run? (%w)", topic, err)
	default:
		return fmt.Errorf("topic %s: %w", topic, err)
	}
}

func (c *cluster) topic(t chat.Topic) (topicState, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	state, ok := c.topics[t]
	return state, ok
}

// place is where a partition is now.
type place struct {
	topic   topicState
	leader  leader
	address string
}

// errNoLeader: nobody leads the partition at the moment.
var errNoLeader = errors.New("partition has no leader")

// find says where p is, as far as is known.
func (c *cluster) find(p chat.Partition) (place, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	state, ok := c.topics[p.Topic]
	if !ok {
		return place{}, fmt.Errorf("unknown topic %s", p.Topic)
	}
	if p.Number < 0 || int(p.Number) >= len(state.leaders) {
		return place{topic: state}, fmt.Errorf("%s has %d partitions, not %s: %w", p.Topic, len(state.leaders), p, errNoLeader)
	}
	leader := state.leaders[p.Number]
	address, ok := c.brokers[leader.broker]
	if !ok {
		return place{topic: state}, fmt.Errorf("%s: %w", p, errNoLeader)
	}
	return place{topic: state, leader: leader, address: address}, nil
}

// address is that of a broker.
func (c *cluster) address(broker int32) (string, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	address, ok := c.brokers[broker]
	return address, ok
}

// lastError is why the last refresh failed, if it did.
func (c *cluster) lastError() error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.err
}

// partitions is the number of partitions of a topic.
func (c *cluster) partitions(t chat.Topic) (int32, error) {
	state, ok := c.topic(t)
	if !ok {
		return 0, fmt.Errorf("unknown topic %s", t)
	}
	return int32(len(state.leaders)), nil
}
