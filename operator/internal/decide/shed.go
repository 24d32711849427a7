package decide

import (
	"math"
	"time"
)

const (
	// ShedEvery is the time between two steps of a rebalance.
	ShedEvery = 10 * time.Second
	// shedFor is how long after a gateway became ready sockets are moved. A
	// rebalance takes about eight minutes where sockets land by chance.
	shedFor = 15 * time.Minute
	// shedShare is the share of a gateway's surplus that it sheds in one step: a
	// new gateway so has to take at most a hundredth of the mean each second.
	shedShare = 0.1
	// shedTolerance is how far above the mean, as a share of it, the fullest
	// gateway may be.
	shedTolerance = 0.1
)

// Shed is what is known of the gateways when sockets might be moved: after one
// was added, it has none, and the others keep theirs.
type Shed struct {
	// Sockets are how many each ready gateway holds, by pod.
	Sockets map[string]float64
	// Unreadable is how many ready gateways could not be read.
	Unreadable int
	// Unsettled is whether gateways end or are being replaced: sockets move by
	// themselves then.
	Unsettled bool
	// Grown is when the latest of the gateways became ready.
	Grown time.Time
	// Last is when sockets were last shed.
	Last time.Time
	Now  time.Time
}

// Due reports whether sockets may be moved now, whatever the gateways hold.
func (s Shed) Due() bool {
	return !s.Unsettled && s.Now.Sub(s.Grown) <= shedFor && s.Now.Sub(s.Last) >= ShedEvery
}

// Decide says how many sockets each gateway shall shed now, over less than
// ShedEvery; no gateway that shall shed none is in it. Gateways above the mean
// give away a tenth of what they have more, at least one socket and none below the
// mean, until none is more than a tenth above it.
func (s Shed) Decide() map[string]int {
	if !s.Due() || s.Unreadable > 0 || len(s.Sockets) < 2 {
		return nil
	}
	var sum, most float64
	for _, n := range s.Sockets {
		sum += n
		most = max(most, n)
	}
	mean := sum / float64(len(s.Sockets))
	// Where sockets land by chance, their numbers differ by about the square
	// root of the mean. To move a few sockets for ever evens nothing out.
	if most <= mean+max(shedTolerance*mean, 2*math.Sqrt(mean)) {
		return nil
	}
	shed := map[string]int{}
	for pod, n := range s.Sockets {
		if surplus := n - mean; surplus >= 1 {
			shed[pod] = int(max(1, surplus*shedShare))
		}
	}
	return shed
}
