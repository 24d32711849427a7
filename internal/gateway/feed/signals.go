package feed

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// recount is how often the number of signal partitions is read: it may grow.
const recount = 30 * time.Second

// SignalOptions say what Signals calls, all of it without waiting for the rest;
// all are required.
type SignalOptions struct {
	// Ready is called once no signal is missed any more.
	Ready func()
	// Handle gets the signals, one after the other.
	Handle func(*chat.Event)
	// Heard is told, about four times a second and by one caller, that Handle has
	// had every announcement that was made before at.
	Heard func(at time.Time)
	// Lost is called where signals may have been missed.
	Lost func()
	Now  func() time.Time
}

// Signals follows all signals from now on until ctx ends.
func Signals(ctx context.Context, log chat.Log, o SignalOptions) error {
	s := &signals{log: log, tail: log.Tail(), options: o, heard: newHearing(log, o.Heard, o.Now)}
	defer s.tail.Close()
	if err := s.start(ctx); err != nil {
		return err
	}
	o.Ready()
	var hearing sync.WaitGroup
	defer hearing.Wait()
	hearing.Go(func() { s.heard.run(ctx) })
	for {
		if err := s.next(ctx); err != nil {
			return err
		}
	}
}

type signals struct {
	log     chat.Log
	tail    chat.Tail
	options SignalOptions
	count   int32
	heard   *hearing
}

// start follows the partitions from their ends. It goes on trying.
func (s *signals) start(ctx context.Context) error {
	for {
		err := s.grow(ctx, func(b chat.Bounds) int64 { return b.Next })
		if err == nil {
			return nil
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(retryAfter):
		return nil
	}
}

// grow follows the partitions that are not followed yet.
func (s *signals) grow(ctx context.Context, from func(chat.Bounds) int64) error {
	count, err := s.log.Partitions(ctx, chat.TopicSignals)
	if err != nil {
		return fmt.Errorf("count signal partitions: %w", err)
	}
	for ; s.count < count; s.count++ {
		p := chat.Partition{Topic: chat.TopicSignals, Number: s.count}
		epoch, next, err := s.follow(ctx, p, from)
		if err != nil {
			return err
		}
		s.heard.place(p, epoch, next)
	}
	return nil
}

// follow follows p, and says from where on.
func (s *signals) follow(ctx context.Context, p chat.Partition, from func(chat.Bounds) int64) (epoch uint32, next int64, err error) {
	bounds, err := s.log.Bounds(ctx, p)
	if err != nil {
		return 0, 0, fmt.Errorf("read bounds of %s: %w", p, err)
	}
	next = from(bounds)
	s.tail.Add(p, next)
	return bounds.Epoch, next, nil
}

func (s *signals) next(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, recount)
	defer cancel()
	batches, err := s.tail.Next(limited)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil:
		// A partition that was added is read from its beginning. A failure is
		// tried again the next time.
		_ = s.grow(ctx, func(b chat.Bounds) int64 { return b.First })
		return nil
	case err != nil:
		return pause(ctx)
	}
	for _, b := range batches {
		if b.Err != nil {
			if err := s.refollow(ctx, b.Partition); err != nil {
				return err
			}
			continue
		}
		for _, rec := range b.Records {
			if ev, err := chat.DecodeEvent(rec.Key, rec.Value); err == nil {
				s.options.Handle(&ev)
			}
		}
		s.heard.advance(b.Partition, b.Next)
	}
	return nil
}

// refollow follows a partition again whose place was lost, and says so.
func (s *signals) refollow(ctx context.Context, p chat.Partition) error {
	s.heard.place(p, 0, 0)
	for {
		epoch, next, err := s.follow(ctx, p, func(b chat.Bounds) int64 { return b.Next })
		if err == nil {
			s.options.Lost()
			s.heard.place(p, epoch, next)
			return nil
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}
