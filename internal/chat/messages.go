package chat

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/chatcluster/chatcluster/internal/coalesce"
)

// MessagesOptions are the settings of Messages.
type MessagesOptions struct {
	// TTL is how long a session that says nothing else keeps its messages.
	TTL    time.Duration
	Limits Limits
	// SendRate limits the messages of one user.
	SendRate Rate
	// MaxLag is how many bytes of the log a history read goes through behind
	// the watermark, beyond that it is ErrLagging; and of the log alone while
	// the store is away.
	MaxLag int
	// Now is the clock.
	Now func() time.Time
}

// Messages sends messages and reads them back.
type Messages struct {
	log       Log
	store     MessageStore
	rooms     *Rooms
	publisher *Publisher
	options   MessagesOptions
	keys      *keyIndex
	cutoffs   *cutoffMemory
	perUser   *throttle
	// pages has those who read the same page at the same time share it.
	pages *coalesce.Asker[roomPage, HistoryPage]
}

// NewMessages returns Messages over the log and the store.
func NewMessages(log Log, store MessageStore, rooms *Rooms, publisher *Publisher, o MessagesOptions) *Messages {
	m := &Messages{
		log: log, store: store, rooms: rooms, publisher: publisher, options: o,
		keys: newKeyIndex(log), perUser: newThrottle(o.SendRate),
		cutoffs: &cutoffMemory{log: log, publisher: publisher, now: o.Now, maxBytes: o.MaxLag},
	}
	m.pages = coalesce.New(m.history)
	return m
}

// Send appends a message to the room: when it returns nil, the message is in
// the log. With a key, a repeat of an earlier send of the same sender to the
// same room answers that first message.
//
// Errors: FieldErrors, ErrForbidden, BusyError, and those of Log.Append. After
// ErrOutcomeUnknown the caller may send again with the same key.
func (m *Messages) Send(ctx context.Context, sender User, room Room, text, key string) (Message, error) {
	if err := m.check(text, key); err != nil {
		return Message{}, err
	}
	if err := m.rooms.AuthorizeWrite(ctx, sender, room); err != nil {
		return Message{}, err
	}
	now := m.options.Now()
	if wait, ok := m.perUser.take(sender.Username, now); !ok {
		return Message{}, &BusyError{Reason: "You are sending too many messages.", RetryAfter: wait, Caller: true}
	}
	ev := Event{Kind: EventMessage, Room: room.URI, Sender: sender.Profile, Text: text, Key: key, TTL: m.ttl(room), Accepted: now}
	rec, epoch, err := m.publisher.Publish(ctx, room, ev)
	if err != nil {
		return Message{}, err
	}
	sent := MessageOf(ev, epoch, rec)
	if key == "" {
		return sent, nil
	}
	return m.firstOf(ctx, room.Partition, sent, ev)
}

func (m *Messages) check(text, key string) error {
	errs := FieldErrors{}
	switch {
	case !utf8.ValidString(text):
		errs.Add("message", msgUTF8)
	case strings.TrimSpace(text) == "":
		errs.Add("message", msgBlank)
	case len(text) > m.options.Limits.MessageBytes:
		errs.Add("message", "Ensure this field has no more than %d bytes (it has %d).", m.options.Limits.MessageBytes, len(text))
	}
	if len(key) > maxIdempotencyKey || !utf8.ValidString(key) {
		errs.Add("idempotency_key", "Ensure the Idempotency-Key is valid UTF-8 of no more than %d bytes (it has %d).", maxIdempotencyKey, len(key))
	}
	return errs.Err()
}

// firstOf answers the message that sent repeats, or sent itself.
func (m *Messages) firstOf(ctx context.Context, p Partition, sent Message, ev Event) (Message, error) {
	first, err := m.keys.first(ctx, p, sent.ID.Epoch, sent.ID.Offset, ev)
	if err != nil {
		// The message is in the log, but under which id cannot be told now.
		return Message{}, fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	if first == sent.ID.Offset {
		return sent, nil
	}
	batch, err := m.log.Read(ctx, p, first, 1)
	if err != nil {
		return Message{}, fmt.Errorf("%w: read first message: %w", ErrOutcomeUnknown, err)
	}
	for _, rec := range batch.Records {
		if rec.Offset != first {
			continue
		}
		original, err := DecodeEvent(rec.Key, rec.Value)
		if err != nil {
			return Message{}, err
		}
		return MessageOf(original, batch.Epoch, rec), nil
	}
	return Message{}, fmt.Errorf("%w: the first message is gone from the log", ErrOutcomeUnknown)
}

// ttl is the retention of a message that is sent to the room now.
func (m *Messages) ttl(room Room) time.Duration {
	switch {
	case room.Kind == KindRoom:
		return 0
	case room.MessageTTL > 0:
		return room.MessageTTL
	default:
		return m.options.TTL
	}
}

// Announce appends an event of a socket (an enter or a leave) to the room.
func (m *Messages) Announce(ctx context.Context, room Room, ev Event) error {
	_, _, err := m.publisher.Publish(ctx, room, ev)
	return err
}
