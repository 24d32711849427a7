package decide

import (
	"slices"
	"time"
)

// recordGap is the longest time between two decisions in which nothing of
// note can have been missed: thrice what the operator waits between passes.
const recordGap = 3 * time.Minute

// Recommendations are the numbers of pods that recent decisions asked for, kept
// by the caller between decisions. The zero value is an empty record, as after a
// start of the operator. It is a value: a decision gives a new one and leaves the
// old one as it was.
type Recommendations struct {
	// from is since when the record is complete; last is its latest moment.
	from, last time.Time
	// lowered is when a decision last took pods away.
	lowered time.Time
	// peaks are what may still be the highest of a window: each is lower than
	// the one before, and later. So there are at most as many as there are
	// numbers of pods to choose from.
	peaks []recommendation
}

type recommendation struct {
	at   time.Time
	pods int32
}

// with adds what is recommended now, and forgets what is older than the window.
func (r Recommendations) with(now time.Time, pods int32, window time.Duration) Recommendations {
	if r.last.IsZero() || now.Sub(r.last) > recordGap {
		r = Recommendations{from: now, lowered: now}
	}
	start := now.Add(-window)
	if r.from.Before(start) {
		r.from = start
	}
	r.last = now
	kept := slices.DeleteFunc(slices.Clone(r.peaks), func(p recommendation) bool {
		return p.at.Before(start) || p.pods <= pods
	})
	r.peaks = append(kept, recommendation{now, pods})
	return r
}

// highest is the highest number of the record.
func (r Recommendations) highest() int32 { return r.peaks[0].pods }

// covers reports whether the record is complete for the window.
func (r Recommendations) covers(now time.Time, window time.Duration) bool {
	return now.Sub(r.from) >= window
}
