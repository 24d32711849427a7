package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/gateway/feed"
	"github.com/chatcluster/chatcluster/internal/gateway/wire"
	"github.com/chatcluster/chatcluster/internal/metrics"
)

// subscribeTries is how often a subscription is begun anew because the room's
// readers changed, or its partition was given up, meanwhile.
const subscribeTries = 5

// subscription asks for a room on behalf of a socket.
type subscription struct {
	ref chat.RoomRef
	// authorize looks up whether the socket may read the room. It is called
	// again if that may have changed before the subscription began.
	authorize func(context.Context) error
	after     *chat.MessageID
	from      *int64 // see feed.Request
	begin     func(feed.Beginning)
}

// subscribe begins a subscription. Rights are looked up after the feed's place
// was noted, and a change above it begins everything anew: so no removal is
// missed between the look-up and the first delivery.
func (g *Gateway) subscribe(ctx context.Context, want subscription, s feed.Subscriber) (*feed.Subscription, error) {
	var err error
	for range subscribeTries {
		var p *feed.Partition
		if p, err = g.feed.Acquire(ctx, want.ref.Room.Partition); err != nil {
			return nil, fmt.Errorf("follow partition: %w", err)
		}
		next := p.Next()
		if err = want.authorize(ctx); err != nil {
			return nil, err
		}
		var sub *feed.Subscription
		sub, err = p.Subscribe(ctx, feed.Request{
			Room:        want.ref.Room.URI,
			Authorized:  next,
			After:       want.after,
			From:        want.from,
			Limit:       g.options.ResumeLimit,
			BufferBytes: g.resumeBytes(),
			History:     g.history(want),
			Begin:       want.begin,
		}, s)
		if !errors.Is(err, feed.ErrChanged) && !errors.Is(err, feed.ErrLost) {
			return sub, err
		}
	}
	return nil, err
}

// resumeBytes is how much one resume may put into a socket's queue.
func (g *Gateway) resumeBytes() int { return max(g.options.SendQueueBytes/2-1024, 0) }

func (g *Gateway) history(want subscription) func(context.Context, chat.MessageID) ([]*feed.Event, error) {
	if want.ref.Room.Kind != chat.KindSession || want.after == nil {
		return nil
	}
	return func(ctx context.Context, upTo chat.MessageID) ([]*feed.Event, error) {
		messages, err := g.messages.Since(ctx, want.ref.Room, *want.after, upTo, g.options.ResumeLimit)
		if err != nil {
			return nil, err
		}
		events := make([]*feed.Event, len(messages))
		prev := *want.after
		for i, m := range messages {
			events[i] = &feed.Event{
				Event: chat.Event{Kind: chat.EventMessage, Room: m.RoomURI, Sender: m.Sender, Text: m.Text},
				Place: wire.Place{ID: m.ID, Prev: prev, Time: m.Time},
			}
			prev = m.ID
		}
		return events, nil
	}
}

// beginning is what a socket that asked for ids is told first, and the messages
// that it missed.
func (g *Gateway) beginning(b feed.Beginning, room chat.Room, format wire.Format) (wire.Start, []*wire.Frame) {
	start := wire.Start{Position: b.Position.String()}
	frames, complete := g.missed(b, room, format)
	if b.Source == feed.None {
		return start, frames
	}
	result := metrics.ResumeLost
	switch {
	case complete && b.Source == feed.Ring:
		result = metrics.ResumeRing
	case complete:
		result = metrics.ResumeHistory
	}
	g.metrics.Resumes.WithLabelValues(result).Inc()
	start.Recovered = &complete
	return start, frames
}

// missed encodes the missed messages; false if there are too many of them, or
// some may not be read any more.
func (g *Gateway) missed(b feed.Beginning, room chat.Room, format wire.Format) ([]*wire.Frame, bool) {
	if b.Source == feed.Missing {
		return nil, false
	}
	now, bytes := g.options.Now(), 0
	frames := make([]*wire.Frame, 0, len(b.Missed))
	for _, ev := range b.Missed {
		// A session's present time to live holds for earlier messages too.
		if room.MessageTTL > 0 && !ev.Time.Add(room.MessageTTL).After(now) {
			return nil, false
		}
		f := wire.Message(format, room.ID, &ev.Event, &ev.Place)
		f.Accepted = time.Time{} // how long the client was away is not our latency
		if bytes += len(f.Bytes); bytes > g.resumeBytes() {
			return nil, false
		}
		frames = append(frames, f)
	}
	return frames, true
}
