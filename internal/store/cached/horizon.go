package cached

import (
	"sync/atomic"
	"time"
)

// changeLasts is how long after its announcement a change is made, at most. It
// is longer than any request may take.
const changeLasts = time.Minute

// horizon is for which changes by other processes this one would know.
type horizon struct{ heard atomic.Pointer[span] }

// span is the time for which every announcement has been heard.
type span struct{ since, until time.Time }

// hear notes that every announcement up to at has been heard. One caller at a
// time.
func (h *horizon) hear(at time.Time) {
	heard := &span{since: at, until: at}
	before := h.heard.Load()
	if before != nil {
		heard.since = before.since
	}
	h.heard.CompareAndSwap(before, heard) // unless some are missed just now
}

// miss notes that announcements may have been missed.
func (h *horizon) miss() { h.heard.Store(nil) }

// covers reports whether each change of what the store said at asked would be
// known by now, but for those of the last lag.
func (h *horizon) covers(asked, now time.Time, lag time.Duration) bool {
	heard := h.heard.Load()
	return heard != nil && now.Sub(heard.until) < lag && asked.Sub(heard.since) >= changeLasts
}
