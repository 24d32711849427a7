package chat

// FoldWindow is how many offsets of a partition a repeated idempotency key is
// recognised over.
const FoldWindow = 32768

// foldMemory is how many offsets a Fold remembers keys for. It is more than
// the window so that FirstAt can still answer for messages that a lagging
// archiver has not reached.
const foldMemory = 4 * FoldWindow

// foldReach is how far behind the newest offset FirstAt can answer.
const foldReach = foldMemory - FoldWindow

// foldKey is what makes two messages one.
type foldKey struct {
	room   string
	sender int64
	key    string
}

type foldSeen struct {
	first, last int64
}

type foldEntry struct {
	key    foldKey
	offset int64
}

// Fold drops duplicates from a partition. Everyone who reads a partition reads
// it through a Fold: a message whose (room, sender, idempotency key) stood
// among the previous FoldWindow offsets is a repeat. The rule depends on the
// log alone, so every reader decides alike; a reader that starts at offset S
// feeds the Fold from S−FoldWindow on to know.
//
// It is for one goroutine at a time. It holds one entry per keyed message of
// the last foldMemory offsets.
type Fold struct {
	seen map[foldKey]foldSeen
	// order holds the entries by rising offset; those before head are gone.
	order []foldEntry
	head  int
}

// NewFold returns a Fold that has seen nothing.
func NewFold() *Fold { return &Fold{seen: map[foldKey]foldSeen{}} }

// WarmFrom is where a reader has to start feeding a Fold in order to decide
// from offset on, in a partition whose first record is at first.
func WarmFrom(offset, first int64) int64 { return max(offset-FoldWindow, first) }

// Apply takes the next event, at offset, and says at which offset its message
// stood first: at this one, unless it is a repeat. Offsets must rise from call
// to call.
func (f *Fold) Apply(offset int64, ev *Event) (first int64) {
	if ev.Key == "" || ev.Kind != EventMessage {
		return offset
	}
	f.forget(offset)
	key := foldKey{ev.Room, ev.Sender.ID, ev.Key}
	seen, known := f.seen[key]
	if !known || seen.last < offset-FoldWindow {
		seen.first = offset
	}
	seen.last = offset
	f.seen[key] = seen
	f.order = append(f.order, foldEntry{key, offset})
	return seen.first
}

// FirstAt says where the message with this key at offset stood first, as Apply
// did; one that was never applied is its own first. It is for the last foldReach
// offsets.
func (f *Fold) FirstAt(offset int64, room string, sender int64, key string) int64 {
	k := foldKey{room, sender, key}
	seen, known := f.seen[k]
	switch {
	case !known:
		return offset
	case seen.first <= offset:
		return seen.first
	}
	// The key has been used anew since, which is rare: look at all.
	first := offset
	for i := len(f.order) - 1; i >= f.head; i-- {
		switch entry := f.order[i]; {
		case entry.offset >= offset:
		case entry.offset < first-FoldWindow:
			return first
		case entry.key == k:
			first = entry.offset
		}
	}
	return first
}

// forget drops the entries that are too far from offset to be asked for.
func (f *Fold) forget(offset int64) {
	for f.head < len(f.order) && f.order[f.head].offset < offset-foldMemory {
		entry := f.order[f.head]
		if f.seen[entry.key].last == entry.offset {
			delete(f.seen, entry.key)
		}
		f.order[f.head] = foldEntry{}
		f.head++
	}
	if f.head > len(f.order)/2 {
		f.order = append(f.order[:0], f.order[f.head:]...)
		f.head = 0
	}
}
