// Package checker proves the promises of the server from what its clients
// logged, and from nothing else.
//
// Clients log each send with its outcome, each message that a socket received,
// in order, each read of a history and each removal of a member. Texts must be unique, so that a text
// names a send; two sends with the same idempotency key carry the same text.
package checker

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Outcome is what a sender was told.
type Outcome int

const (
	// Unknown: no answer, or one that says that the outcome is not known. The
	// message may or may not appear.
	Unknown Outcome = iota
	// Acked: the message is in the log, under the id of the answer.
	Acked
	// Refused: the message must never appear.
	Refused
)

// Send is one request to send a message.
type Send struct {
	Room, Sender, Key, Text string
	// Start and End are when the request was made and when it was answered.
	Start, End time.Time
	Outcome    Outcome
	// ID is for an Acked send.
	ID string
}

// Message is a message as a reader saw it.
type Message struct{ ID, Text string }

// Stream is what one reader's sockets received of one room, in order, over all
// its resumes. A reader that is told that it cannot resume begins a new Stream.
type Stream struct {
	Reader, Room string
	Messages     []Message
}

// Read is one read of a room's whole history, or of its newest part.
type Read struct {
	Reader, Room string
	Start        time.Time
	Messages     []Message
	// Newest tells that older messages were left out.
	Newest bool
}

// Removal is the end of a membership: End is when it was acknowledged. Who is
// removed does not come back.
type Removal struct {
	Room, Member string
	End          time.Time
}

// Log collects what clients saw. It is safe for concurrent use.
type Log struct {
	mu       sync.Mutex // guards the rest
	sends    []Send
	streams  []*Stream
	reads    []Read
	removals []Removal
}

// AddSend logs a send.
func (l *Log) AddSend(s Send) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sends = append(l.sends, s)
}

// AddRead logs a read of a history.
func (l *Log) AddRead(r Read) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads = append(l.reads, r)
}

// AddRemoval logs a removal.
func (l *Log) AddRemoval(r Removal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.removals = append(l.removals, r)
}

// NewStream begins a stream; the returned function logs a message of it.
func (l *Log) NewStream(reader, room string) (receive func(Message)) {
	s := &Stream{Reader: reader, Room: room}
	l.mu.Lock()
	l.streams = append(l.streams, s)
	l.mu.Unlock()
	return func(m Message) {
		l.mu.Lock()
		defer l.mu.Unlock()
		s.Messages = append(s.Messages, m)
	}
}

// Violation is a broken promise.
type Violation struct{ Promise, Detail string }

func (v Violation) String() string { return v.Promise + ": " + v.Detail }

// The promises, as violations name them.
const (
	Durable        = "durable"
	Phantom        = "phantom"
	OneOrder       = "one order"
	NoGap          = "no gap"
	NoDuplicate    = "no duplicate"
	ReadYourWrites = "read your writes"
	Idempotent     = "idempotent"
	Private        = "private"
)

// Check proves the promises against the final histories: the whole of each
// room, read after everything had come to rest. It returns what is broken.
func (l *Log) Check(final map[string][]Message) []Violation {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &check{rooms: map[string]*finalRoom{}}
	for room, messages := range final {
		c.rooms[room] = c.index(room, messages)
	}
	c.checkSends(l.sends)
	for _, s := range l.streams {
		c.checkStream(*s)
	}
	for _, r := range l.reads {
		c.checkRead(r, l.sends)
	}
	for _, r := range l.removals {
		c.checkRemoval(r, l)
	}
	return c.violations
}

// Removals is how many removals were checked.
func (l *Log) Removals() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.removals)
}

// Counts says how much was checked: sends that were acknowledged, messages
// that were received, and reads.
func (l *Log) Counts() (acked, received, reads int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.sends {
		if s.Outcome == Acked {
			acked++
		}
	}
	for _, s := range l.streams {
		received += len(s.Messages)
	}
	return acked, received, len(l.reads)
}

type check struct {
	rooms      map[string]*finalRoom
	violations []Violation
}

type finalRoom struct {
	messages []Message
	byID     map[string]string // id to text
	byText   map[string]string // text to id
}

func (c *check) fail(promise, format string, args ...any) {
	c.violations = append(c.violations, Violation{promise, fmt.Sprintf(format, args...)})
}

// room is the final history of a room; one that is not there is empty.
func (c *check) room(uri string) *finalRoom {
	if r := c.rooms[uri]; r != nil {
		return r
	}
	return &finalRoom{}
}

func (c *check) index(room string, messages []Message) *finalRoom {
	r := &finalRoom{messages: messages, byID: map[string]string{}, byText: map[string]string{}}
	for i, m := range messages {
		if i > 0 && messages[i-1].ID >= m.ID {
			c.fail(OneOrder, "history of %s: %s stands after %s", room, m.ID, messages[i-1].ID)
		}
		if id, twice := r.byText[m.Text]; twice {
			c.fail(NoDuplicate, "history of %s has %q as %s and as %s", room, m.Text, id, m.ID)
		}
		r.byID[m.ID], r.byText[m.Text] = m.Text, m.ID
	}
	return r
}

func (c *check) checkSends(sends []Send) {
	possible := map[string]bool{} // texts that were sent and not all refused
	acked := map[string]string{}  // room, sender and key to id
	for _, s := range sends {
		if s.Outcome != Refused {
			possible[s.Text] = true
		}
		if s.Outcome != Acked {
			continue
		}
		if id, ok := c.room(s.Room).byText[s.Text]; !ok {
			c.fail(Durable, "%q to %s was acknowledged as %s and is gone", s.Text, s.Room, s.ID)
		} else if id != s.ID {
			c.fail(Durable, "%q to %s was acknowledged as %s and stands as %s", s.Text, s.Room, s.ID, id)
		}
		if s.Key == "" {
			continue
		}
		key := s.Room + "\x00" + s.Sender + "\x00" + s.Key
		if id, again := acked[key]; again && id != s.ID {
			c.fail(Idempotent, "key %q of %s in %s was answered %s and %s", s.Key, s.Sender, s.Room, id, s.ID)
		}
		acked[key] = s.ID
	}
	for uri, room := range c.rooms {
		for _, m := range room.messages {
			if !possible[m.Text] {
				c.fail(Phantom, "history of %s has %q (%s), which nobody sent, or which was refused", uri, m.Text, m.ID)
			}
		}
	}
}

func (c *check) checkStream(s Stream) {
	room := c.room(s.Room)
	for i, m := range s.Messages {
		if text, ok := room.byID[m.ID]; !ok || text != m.Text {
			c.fail(OneOrder, "%s received %q as %s in %s, where the history has %q", s.Reader, m.Text, m.ID, s.Room, text)
		}
		if i == 0 {
			continue
		}
		switch last := s.Messages[i-1].ID; cmp.Compare(m.ID, last) {
		case 0:
			c.fail(NoDuplicate, "%s received %s in %s twice", s.Reader, m.ID, s.Room)
		case -1:
			c.fail(OneOrder, "%s received %s in %s after %s", s.Reader, m.ID, s.Room, last)
		}
	}
	if len(s.Messages) > 0 {
		c.checkContiguous(fmt.Sprintf("%s in %s", s.Reader, s.Room), room, s.Messages, s.Messages[len(s.Messages)-1].ID)
	}
}

// checkContiguous checks that seen has every message of the room from its own
// first up to and including upTo.
func (c *check) checkContiguous(who string, room *finalRoom, seen []Message, upTo string) {
	ids := map[string]bool{}
	for _, m := range seen {
		ids[m.ID] = true
	}
	from, _ := slices.BinarySearchFunc(room.messages, seen[0].ID, func(m Message, id string) int { return cmp.Compare(m.ID, id) })
	for _, m := range room.messages[from:] {
		if m.ID > upTo {
			return
		}
		if !ids[m.ID] {
			c.fail(NoGap, "%s never saw %s", who, m.ID)
		}
	}
}

func (c *check) checkRead(r Read, sends []Send) {
	room := c.room(r.Room)
	who := fmt.Sprintf("a read of %s by %s", r.Room, r.Reader)
	present := map[string]bool{}
	for i, m := range r.Messages {
		present[m.Text] = true
		if text, ok := room.byID[m.ID]; !ok || text != m.Text {
			c.fail(OneOrder, "%s has %q as %s, where the final history has %q", who, m.Text, m.ID, text)
		}
		if i > 0 && r.Messages[i-1].ID >= m.ID {
			c.fail(OneOrder, "%s has %s after %s", who, m.ID, r.Messages[i-1].ID)
		}
	}
	oldest := ""
	if len(r.Messages) > 0 {
		oldest = r.Messages[0].ID
		c.checkContiguous(who, room, r.Messages, r.Messages[len(r.Messages)-1].ID)
		if first := room.messages; !r.Newest && len(first) > 0 && first[0].ID != oldest {
			c.fail(NoGap, "%s begins at %s, not at %s", who, oldest, first[0].ID)
		}
	}
	for _, s := range sends {
		due := s.Room == r.Room && s.Outcome == Acked && s.End.Before(r.Start) && (!r.Newest || s.ID >= oldest)
		if due && !present[s.Text] {
			c.fail(ReadYourWrites, "%s lacks %q, which had been acknowledged before", who, s.Text)
		}
	}
}

// removalTakes is how long a removed member may go on.
const removalTakes = time.Second

// checkRemoval checks that who was removed neither writes nor reads nor receives
// what was sent later.
func (c *check) checkRemoval(r Removal, l *Log) {
	ended := r.End.Add(removalTakes)
	late := map[string]time.Duration{} // after the removal, by text
	for _, s := range l.sends {
		if s.Room != r.Room || !s.Start.After(ended) {
			continue
		}
		late[s.Text] = s.Start.Sub(r.End)
		if s.Sender == r.Member && s.Outcome == Acked {
			c.fail(Private, "%s sent %q to %s %v after they were removed", r.Member, s.Text, r.Room, s.Start.Sub(r.End))
		}
	}
	for _, read := range l.reads {
		if read.Room == r.Room && read.Reader == r.Member && read.Start.After(ended) {
			c.fail(Private, "%s read %s %v after they were removed", r.Member, r.Room, read.Start.Sub(r.End))
		}
	}
	for _, s := range l.streams {
		if s.Room != r.Room || s.Reader != r.Member {
			continue
		}
		for _, m := range s.Messages {
			if after, ok := late[m.Text]; ok {
				c.fail(Private, "%s received %q, which was sent to %s %v after they were removed", r.Member, m.Text, r.Room, after)
			}
		}
	}
}
