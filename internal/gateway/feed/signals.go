package feed

import (
	"context"
	"fmt"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// recount is how often the number of signal partitions is read: it may grow.
const recount = 30 * time.Second

// Signals follows all signals from now on and hands them to handle, one after
// the other, until ctx ends. It calls ready once it misses none any more.
// lost is called where some may have been missed.
func Signals(ctx context.Context, log chat.Log, handle func(*chat.Event), ready, lost func()) error {
	s := &signals{log: log, tail: log.Tail(), handle: handle, lost: lost}
	defer s.tail.Close()
	if err := s.start(ctx); err != nil {
		return err
	}
	ready()
	for {
		if err := s.next(ctx); err != nil {
			return err
		}
	}
}

type signals struct {
	log    chat.Log
	tail   chat.Tail
	handle func(*chat.Event)
	lost   func()
	count  int32
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
		if err := s.follow(ctx, chat.Partition{Topic: chat.TopicSignals, Number: s.count}, from); err != nil {
			return err
		}
	}
	return nil
}

func (s *signals) follow(ctx context.Context, p chat.Partition, from func(chat.Bounds) int64) error {
	bounds, err := s.log.Bounds(ctx, p)
	if err != nil {
		return fmt.Errorf("read bounds of %s: %w", p, err)
	}
	s.tail.Add(p, from(bounds))
	return nil
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
				s.handle(&ev)
			}
		}
	}
	return nil
}

// refollow follows a partition again whose place was lost, and says so.
func (s *signals) refollow(ctx context.Context, p chat.Partition) error {
	for {
		err := s.follow(ctx, p, func(b chat.Bounds) int64 { return b.Next })
		if err == nil {
			s.lost()
			return nil
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}
