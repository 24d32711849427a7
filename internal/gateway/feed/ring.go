package feed

import (
	"slices"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/gateway/wire"
)

// Event is an event in its place.
type Event struct {
	chat.Event
	// Place is where it stands. Prev is set for messages only.
	wire.Place
}

// entryOverhead is what an entry takes besides its strings, in bytes.
const entryOverhead = 400

type entry struct {
	*Event
	bytes int
	// older and newer are the neighbours of the same room in the ring.
	older, newer *entry
}

// ring keeps the recent messages of a partition, up to a number of bytes.
//
// Each room's messages are linked, so that a resume costs what it finds rather
// than what the ring holds.
type ring struct {
	limit, bytes int
	// start is the offset from which on nothing is missing.
	start   int64
	entries []*entry // by rising offset
	newest  map[string]*entry
}

func newRing(limit int, start int64) *ring {
	return &ring{limit: limit, start: start, newest: map[string]*entry{}}
}

func (r *ring) add(ev *Event) {
	e := &entry{Event: ev, older: r.newest[ev.Room]}
	e.bytes = entryOverhead + len(ev.Text) + len(ev.Key) + len(ev.Room) +
		len(ev.Sender.Username) + len(ev.Sender.Email) + len(ev.Sender.FirstName) + len(ev.Sender.LastName)
	if e.older != nil {
		e.older.newer = e
	}
	r.newest[ev.Room] = e
	r.entries = append(r.entries, e)
	r.bytes += e.bytes
	evicted := 0
	for r.bytes > r.limit {
		r.evict(r.entries[evicted])
		evicted++
	}
	clear(r.entries[:evicted])
	r.entries = r.entries[evicted:]
}

// evict lets go of the oldest entry, which is the oldest of its room too.
func (r *ring) evict(e *entry) {
	r.bytes -= e.bytes
	r.start = e.ID.Offset + 1
	if e.newer == nil {
		delete(r.newest, e.Room)
	} else {
		e.newer.older = nil
	}
}

// clear forgets everything below next.
func (r *ring) clear(next int64) {
	*r = *newRing(r.limit, next)
}

// last is the room's newest message, or nil.
func (r *ring) last(room string) *Event {
	if e := r.newest[room]; e != nil {
		return e.Event
	}
	return nil
}

// since is the room's messages above the offset, oldest first, unless the ring
// does not reach that far back, there are more than limit, or some are no
// longer to be read: then it is false.
func (r *ring) since(room string, after int64, limit int, now time.Time) ([]*Event, bool) {
	if after < r.start-1 {
		return nil, false
	}
	var found []*Event
	for e := r.newest[room]; e != nil && e.ID.Offset > after; e = e.older {
		if len(found) == limit || expired(e.Event, now) {
			return nil, false
		}
		found = append(found, e.Event)
	}
	slices.Reverse(found)
	return found, true
}

// expired is never true for a room, which has no time to live: its messages
// live as long as the memory of them.
func expired(ev *Event, now time.Time) bool {
	return ev.TTL > 0 && !ev.Time.Add(ev.TTL).After(now)
}
