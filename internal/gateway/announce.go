package gateway

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

const (
	// announcers is how many rooms are told at a time.
	announcers = 64
	// announceWithin bounds how long the log may be away before an enter or a
	// leave is given up.
	announceWithin = 10 * time.Second
	// maxAnnouncements bounds what waits for each announcer.
	maxAnnouncements = 8192
	announceRetry    = 100 * time.Millisecond
)

type announcement struct {
	room  chat.Room
	event chat.Event
	until time.Time
}

// announcer tells rooms who enters and leaves: one after the other in each
// room, apart from the sockets, since a leave outlives its socket.
type announcer struct {
	messages *chat.Messages
	presence *presence
	logger   *slog.Logger
	seed     maphash.Seed
	shards   [announcers]announceShard
	running  sync.WaitGroup
	// work is what the goroutines run under, since a leave outlives the ctx of
	// its socket; giveUp ends it.
	work   context.Context
	giveUp context.CancelFunc
}

type announceShard struct {
	mu      sync.Mutex // guards the rest
	waiting []announcement
	// running is set while a goroutine works on waiting.
	running bool
}

func newAnnouncer(messages *chat.Messages, p *presence, logger *slog.Logger) *announcer {
	a := &announcer{messages: messages, presence: p, logger: logger, seed: maphash.MakeSeed()}
	a.work, a.giveUp = context.WithCancel(context.Background())
	return a
}

// announce tells the room later, and never blocks.
func (a *announcer) announce(room chat.Room, ev chat.Event) {
	shard := &a.shards[maphash.String(a.seed, room.URI)%announcers]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if len(shard.waiting) >= maxAnnouncements {
		a.logger.Warn("announcement given up: too many wait")
		return
	}
	shard.waiting = append(shard.waiting, announcement{room, ev, time.Now().Add(announceWithin)})
	if !shard.running {
		shard.running = true
		a.running.Go(func() { a.run(shard) })
	}
}

func (a *announcer) run(shard *announceShard) {
	for {
		shard.mu.Lock()
		next := shard.waiting
		shard.waiting = nil
		shard.running = len(next) > 0
		shard.mu.Unlock()
		if len(next) == 0 {
			return
		}
		// The rows first: whoever reads the notice and asks who is there must
		// not get an older answer. Without the store the notice still counts.
		flushing, cancel := context.WithTimeout(a.work, time.Second)
		_ = a.presence.flush(flushing)
		cancel()
		for _, n := range next {
			if err := a.tell(n); err != nil {
				a.logger.Warn("announcement given up", "error", err)
			}
		}
	}
}

// tell appends the event, again and again while the log is away.
func (a *announcer) tell(n announcement) error {
	ctx, cancel := context.WithDeadline(a.work, n.until)
	defer cancel()
	for {
		err := a.messages.Announce(ctx, n.room, n.event)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(announceRetry):
		}
	}
}

// finish waits until everything has been announced or given up; when ctx ends,
// all that is left is given up. Nothing may be announced any more.
func (a *announcer) finish(ctx context.Context) {
	stop := context.AfterFunc(ctx, a.giveUp)
	defer stop()
	a.running.Wait()
	a.giveUp()
}
