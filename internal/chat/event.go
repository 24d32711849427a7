package chat

import "time"

// EventKind says what an event is.
type EventKind uint8

// The kinds of events; their numbers are stored.
const (
	// EventMessage is a message to the room.
	EventMessage EventKind = 1
	// EventEnter and EventLeave are the notices of a socket that joined or left.
	EventEnter EventKind = 2
	EventLeave EventKind = 3
	// EventMemberAdded and EventMemberRemoved tell that Subject is, or is no
	// longer, a member of the session.
	EventMemberAdded   EventKind = 4
	EventMemberRemoved EventKind = 5
	// EventRoomChanged tells that the room's policy has changed, EventRoomDeleted
	// that it is gone.
	EventRoomChanged EventKind = 6
	EventRoomDeleted EventKind = 7
	// EventTokensRevoked (a signal) tells that tokens of Subject are dead: the
	// one in Token, or all but Token if Others is set.
	EventTokensRevoked EventKind = 8
	// EventUserChanged (a signal) tells that the account of Subject changed.
	EventUserChanged EventKind = 9
	// EventCutoff (a signal) tells that the cleaner moved the cutoff.
	EventCutoff EventKind = 10
	// EventTokensChanging, EventUserChanging, EventMemberChanging and
	// EventRoomChanging (announcements) tell that the store may be about to say
	// something else of what their likes above name. They are for who remembers
	// the store's answers; nothing has happened yet.
	EventTokensChanging EventKind = 11
	EventUserChanging   EventKind = 12
	EventMemberChanging EventKind = 13
	EventRoomChanging   EventKind = 14
)

// Event is what one log record says.
type Event struct {
	Kind EventKind
	// Room is the room's URI; in a signal, what it is about. It is the record's
	// key, so it is not encoded again.
	Room string
	// Sender is who caused it.
	Sender Profile
	// Text is the message.
	Text string
	// Key is the sender's idempotency key, or empty.
	Key string
	// TTL is how long the message lives from its append time on; 0 in a
	// KindRoom, which keeps nothing.
	TTL time.Duration
	// Accepted is when the server took the message from its sender, for
	// measuring how long delivery takes; in whole microseconds.
	Accepted time.Time
	// Origin names the socket that caused an enter or leave, so that it is not
	// told of itself.
	Origin string
	// Subject is the id of the user whom the event is about.
	Subject int64
	// Token and Others are for EventTokensRevoked and EventTokensChanging.
	Token  TokenHash
	Others bool
}

// Message is an EventMessage in its place.
type Message struct {
	RoomURI string
	ID      MessageID
	// Time is when the log appended it, in whole milliseconds.
	Time time.Time
	// Expires is when it stops being readable.
	Expires time.Time
	Sender  Profile
	Text    string
}

// MessageOf is the message that ev became by being appended as rec.
func MessageOf(ev Event, epoch uint32, rec Record) Message {
	return Message{
		RoomURI: ev.Room,
		ID:      NewMessageID(epoch, rec.Offset, rec.Time),
		Time:    rec.Time,
		Expires: rec.Time.Add(ev.TTL),
		Sender:  ev.Sender,
		Text:    ev.Text,
	}
}
