package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Page asks for part of a room's history.
type Page struct {
	// After and Before bound the ids, both exclusive; a zero id is no bound.
	After, Before MessageID
	// Limit is the largest number of messages, at least 1.
	Limit int
}

// HistoryPage is part of a room's history, oldest first.
type HistoryPage struct {
	Messages []Message
	// Older and Newer tell that the room has messages before the first or
	// after the last of the page, within the bounds that were asked for.
	Older, Newer bool
}

// History reads a page: the newest messages of the range, unless only After is
// given: then the oldest, to read onwards. Every message whose Send returned
// before the call is seen. A room keeps nothing, and its pages are empty. While
// the store is away the log alone answers, if it has all of the page.
//
// Others may have been given the same page: its messages must not be changed.
//
// Errors: ErrLagging and ErrUnavailable.
func (m *Messages) History(ctx context.Context, room Room, page Page) (HistoryPage, error) {
	if room.Kind != KindSession {
		return HistoryPage{}, nil
	}
	return m.pages.Ask(ctx, roomPage{room, page})
}

// roomPage is a page of a room.
type roomPage struct {
	room Room
	page Page
}

func (m *Messages) history(ctx context.Context, of roomPage) (HistoryPage, error) {
	room, page := of.room, of.page
	rule, err := m.readable(ctx, room)
	if err != nil {
		return HistoryPage{}, err
	}
	// One more than asked for tells whether there are others.
	forward := !page.After.IsZero() && page.Before.IsZero()
	messages, err := m.read(ctx, room, page.After, page.Before, page.Limit+1, !forward, rule)
	if err != nil {
		return HistoryPage{}, err
	}
	more := len(messages) > page.Limit
	switch {
	case forward:
		return HistoryPage{Messages: messages[:min(page.Limit, len(messages))], Newer: more, Older: true}, nil
	case more:
		messages = messages[1:]
	}
	return HistoryPage{Messages: messages, Older: more, Newer: !page.Before.IsZero()}, nil
}

// ErrIncomplete: the messages after a position cannot all be given.
var ErrIncomplete = errors.New("messages are missing after that position")

// Since reads all messages after a position and up to and including upTo, if
// there are at most limit. ErrIncomplete if there are more, if some of them
// may have expired or been cleaned away, or if the position belongs to another
// epoch than upTo.
func (m *Messages) Since(ctx context.Context, room Room, after, upTo MessageID, limit int) ([]Message, error) {
	if room.Kind != KindSession || !after.BeginsIn(upTo.Epoch) {
		return nil, ErrIncomplete
	}
	rule, err := m.readable(ctx, room)
	if err != nil {
		return nil, err
	}
	if !rule.reaches(after) {
		return nil, ErrIncomplete
	}
	before := upTo
	before.Offset++
	messages, err := m.read(ctx, room, after, before, limit+1, false, rule)
	switch {
	case err != nil:
		return nil, err
	case len(messages) > limit:
		return nil, ErrIncomplete
	}
	return messages, nil
}

// Cutoff is the time before which no message may be read any more; zero if
// there is none. It is for those who keep messages in memory. While the store
// is away it is the last one that the store has told, if it is known that none
// has come into force since.
func (m *Messages) Cutoff(ctx context.Context) (time.Time, error) {
	cutoff, _, err := m.knownCutoff(ctx)
	return cutoff, err
}

// knownCutoff is Cutoff; away is why the store could not be asked, nil if it
// was.
func (m *Messages) knownCutoff(ctx context.Context) (cutoff time.Time, away, err error) {
	place := m.cutoffs.before(ctx)
	cutoff, err = m.store.Cutoff(ctx)
	if err == nil {
		m.cutoffs.learn(place, cutoff)
		return cutoff, nil, nil
	}
	err = fmt.Errorf("read cutoff: %w", err)
	if !errors.Is(err, ErrUnavailable) {
		return time.Time{}, nil, err
	}
	cutoff, logErr := m.cutoffs.current(ctx)
	if logErr != nil {
		return time.Time{}, nil, fmt.Errorf("%w; %w", err, logErr)
	}
	return cutoff, err, nil
}

// readable decides which messages of a room may still be read, and from where.
type readable struct {
	now, cutoff time.Time
	ttl         time.Duration
	// watermark is how far the store has the messages at least.
	watermark Watermark
	// away is why the store could not be asked for these, so that there is no use
	// in asking it for more; nil if it was.
	away error
}

// readable is asked once for each read of a room. The session's present TTL
// holds for older messages too, where it is shorter than theirs: to lengthen
// it brings nothing back.
func (m *Messages) readable(ctx context.Context, room Room) (readable, error) {
	r := readable{ttl: m.ttl(room)}
	asking, giveUp := context.WithCancel(ctx)
	defer giveUp()
	var noWatermark error
	var watermark sync.WaitGroup
	watermark.Go(func() { r.watermark, noWatermark = m.store.Watermark(asking, room.Partition) })
	var err error
	r.cutoff, r.away, err = m.knownCutoff(ctx)
	if err != nil || r.away != nil {
		giveUp() // the store is away, and may answer the other question never
	}
	watermark.Wait()
	switch {
	case err != nil:
		return readable{}, err
	case noWatermark == nil || r.away != nil:
	case errors.Is(noWatermark, ErrUnavailable):
		r.away = fmt.Errorf("read watermark: %w", noWatermark)
	default:
		return readable{}, fmt.Errorf("read watermark: %w", noWatermark)
	}
	r.now = m.options.Now()
	return r, nil
}

// reaches reports whether every message after the position may still be read. A
// message after it is at least as young as the position, whose time is cut to
// whole seconds.
func (r readable) reaches(after MessageID) bool {
	youngest := time.Unix(after.Time, 0)
	return !youngest.Before(r.cutoff) && youngest.Add(r.ttl).After(r.now)
}

func (r readable) allows(msg Message) bool {
	return msg.Expires.After(r.now) && msg.Time.Add(r.ttl).After(r.now) && !msg.Time.Before(r.cutoff)
}

// read reads messages of a room, oldest first. newest picks the newest limit
// messages of the range.
func (m *Messages) read(ctx context.Context, room Room, after, before MessageID, limit int, newest bool, rule readable) ([]Message, error) {
	away := rule.away
	if away == nil {
		messages, err := m.readBoth(ctx, room, after, before, limit, newest, rule)
		if !errors.Is(err, errStoreAway) {
			return messages, err
		}
		away = err
	}
	messages, err := m.readLog(ctx, room, after, before, limit, newest, rule)
	if err != nil {
		return nil, fmt.Errorf("%w; %w", away, err)
	}
	return messages, nil
}

// errStoreAway marks an error after which the log alone may have the answer.
var errStoreAway = errors.New("the store is away")

// readBoth merges the store up to the watermark with the log after it, which it
// reads side by side.
//
// The watermark was read before: whatever the archiver moves into the store in
// the meantime is then found twice, and merged, but never missed.
func (m *Messages) readBoth(ctx context.Context, room Room, after, before MessageID, limit int, newest bool, rule readable) ([]Message, error) {
	var recent, stored []Message
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		recent, err = m.afterWatermark(ctx, room, rule.watermark)
		return err
	})
	group.Go(func() (err error) {
		stored, err = m.readStore(ctx, room, after, before, limit, newest, rule)
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	inRange := func(msg Message) bool {
		return msg.ID.Compare(after) > 0 && (before.IsZero() || msg.ID.Compare(before) < 0)
	}
	recent = slices.DeleteFunc(recent, func(msg Message) bool { return !inRange(msg) || !rule.allows(msg) })
	return trim(merge(stored, recent), limit, newest), nil
}

// readStore reads up to limit readable messages of the store.
func (m *Messages) readStore(ctx context.Context, room Room, after, before MessageID, limit int, newest bool, rule readable) ([]Message, error) {
	var found []Message
	for {
		page, err := m.store.Messages(ctx, MessageQuery{
			RoomURI: room.URI, After: after, Before: before, Limit: limit, Newest: newest, Now: rule.now,
		})
		if err != nil {
			if errors.Is(err, ErrUnavailable) {
				err = fmt.Errorf("%w: %w", errStoreAway, err)
			}
			return nil, fmt.Errorf("read messages: %w", err)
		}
		full := len(page) == limit
		allowed := slices.DeleteFunc(slices.Clone(page), func(msg Message) bool { return !rule.allows(msg) })
		if newest {
			found = append(allowed, found...)
		} else {
			found = append(found, allowed...)
		}
		// Old messages are forbidden before young ones: going back in time,
		// the first forbidden one ends the search.
		if !full || len(found) >= limit || (newest && len(allowed) < len(page)) {
			return found, nil
		}
		if newest {
			before = page[0].ID
		} else {
			after = page[len(page)-1].ID
		}
	}
}

// merge joins two runs in rising order of ids into one without doubles.
func merge(a, b []Message) []Message {
	all := append(slices.Clone(a), b...)
	slices.SortStableFunc(all, func(x, y Message) int { return x.ID.Compare(y.ID) })
	return slices.CompactFunc(all, func(x, y Message) bool { return x.ID.Compare(y.ID) == 0 })
}

func trim(messages []Message, limit int, newest bool) []Message {
	switch {
	case len(messages) <= limit:
		return messages
	case newest:
		return messages[len(messages)-limit:]
	default:
		return messages[:limit]
	}
}

// afterWatermark reads the room's messages that the archiver has not reached.
func (m *Messages) afterWatermark(ctx context.Context, room Room, w Watermark) ([]Message, error) {
	bounds, err := m.log.Bounds(ctx, room.Partition)
	if err != nil {
		return nil, fmt.Errorf("read log bounds: %w", err)
	}
	next := bounds.First
	if w.Epoch == bounds.Epoch {
		next = w.Next
	}
	var messages []Message
	for bytes := 0; next < bounds.Next; {
		if bytes > m.options.MaxLag {
			return nil, ErrLagging
		}
		batch, err := m.log.Read(ctx, room.Partition, next, readChunk)
		if err != nil {
			return nil, fmt.Errorf("read log: %w", err)
		}
		for _, rec := range batch.Records {
			bytes += len(rec.Value)
			if rec.Key != room.URI || rec.Offset >= bounds.Next {
				continue
			}
			msg, ok, err := m.decodeFirst(ctx, room.Partition, batch.Epoch, rec)
			switch {
			case errors.Is(err, errForgotten):
				return nil, fmt.Errorf("%w: %w", ErrLagging, err)
			case err != nil:
				return nil, err
			case ok:
				messages = append(messages, msg)
			}
		}
		if batch.Next <= next {
			break
		}
		next = batch.Next
	}
	return messages, nil
}

// decodeFirst is the message of the record, unless it is none or a repeat.
func (m *Messages) decodeFirst(ctx context.Context, p Partition, epoch uint32, rec Record) (Message, bool, error) {
	ev, err := DecodeEvent(rec.Key, rec.Value)
	if err != nil || ev.Kind != EventMessage {
		// A foreign record is the archiver's to count.
		return Message{}, false, nil
	}
	if ev.Key != "" {
		first, err := m.keys.first(ctx, p, epoch, rec.Offset, ev)
		if err != nil {
			return Message{}, false, err
		}
		if first != rec.Offset {
			return Message{}, false, nil
		}
	}
	return MessageOf(ev, epoch, rec), true, nil
}
