package decide

import (
	"math"
	"time"
)

const (
	// scaleTolerance is how far the mean may be from the target, as a share of
	// it, before the number of pods changes.
	scaleTolerance = 0.1
	// scaleUpPods may always be added at once; more only where they double the
	// pods at most.
	scaleUpPods = 4
	// scaleDownEvery is the time between two steps down, scaleDownShare the
	// share of the pods that one takes away, if that is more than one.
	scaleDownEvery = time.Minute
	scaleDownShare = 0.1
)

// ScaleReason says why a part has the number of pods that it has.
type ScaleReason string

// The reasons of a Scaling.
const (
	// ScaleOnTarget: the number is what the load needs.
	ScaleOnTarget ScaleReason = "OnTarget"
	// ScaleUp: the load is above the target.
	ScaleUp ScaleReason = "LoadAboveTarget"
	// ScaleDown: fewer pods have sufficed for the whole window.
	ScaleDown ScaleReason = "LoadBelowTarget"
	// ScaleAtMaximum: the load needs more pods than there may be.
	ScaleAtMaximum ScaleReason = "AtMaximum"
	// ScaleBounds: there were fewer or more pods than there may be.
	ScaleBounds ScaleReason = "OutOfBounds"
	// ScaleDownWaits: fewer pods suffice, but not for the whole window yet, or
	// the last step down was a moment ago.
	ScaleDownWaits ScaleReason = "ScaleDownWaits"
	// ScalePodsUnreadable: fewer pods may suffice, but some could not be read.
	ScalePodsUnreadable ScaleReason = "PodsUnreadable"
	// ScaleRollingOut: fewer pods may suffice, but pods are being replaced.
	ScaleRollingOut ScaleReason = "RolloutInProgress"
	// ScaleNoPods: no pod runs, so nothing is known of the load.
	ScaleNoPods ScaleReason = "NoPodRuns"
)

// Autoscale is what the number of pods of a part is decided by: gateways by
// their sockets, archivers by the messages that wait for them.
//
// It divides the load of all pods by the target, so that it makes no difference
// how the load is spread, nor whether new pods have their share already.
type Autoscale struct {
	// Replicas is how many pods there shall be until now.
	Replicas int32
	// Min and Max bound the number of pods.
	Min, Max int32
	// MaxUseful is the number from which on pods have nothing to do, as archivers
	// beyond the partitions; it bounds Min too. 0 means that there is none.
	MaxUseful int32
	// Target is how much load a pod should have, above 0.
	Target float64
	// Samples are the loads of the pods that run and are not being ended, by name,
	// ready or not: a gateway that has lost Kafka keeps its sockets.
	Samples map[string]float64
	// Unreadable is how many ready pods could not be read. Those that are not
	// ready may be left out: they have just started, and have no load.
	Unreadable int
	// RollingOut is whether pods are being replaced: the load is between old
	// pods that end and new ones, and partly not seen.
	RollingOut bool
	// Recent is the record that the last decision gave.
	Recent Recommendations
	Now    time.Time
	// ScaleDownAfter is how long fewer pods must have sufficed.
	ScaleDownAfter time.Duration
}

// Scaling is a decision about the number of pods.
type Scaling struct {
	Replicas int32
	Reason   ScaleReason
	// Recent is for the next decision.
	Recent Recommendations
}

// Decide says how many pods there shall be. It adds pods at once, up to twice as
// many or four more. It takes them away one by one, or a tenth of them, each
// minute, as long as the highest number that was recommended within
// ScaleDownAfter is lower; not before the record is that long, not while a pod
// can't be read, and not while pods are being replaced.
func (a Autoscale) Decide() Scaling {
	low, high := a.bounds()
	if bounded := min(max(a.Replicas, low), high); bounded != a.Replicas {
		return Scaling{bounded, ScaleBounds, a.Recent.with(a.Now, bounded, a.ScaleDownAfter)}
	}
	wanted, reason := a.recommend(low, high)
	recent := a.Recent.with(a.Now, wanted, a.ScaleDownAfter)
	switch {
	case wanted > a.Replicas:
		return Scaling{min(wanted, max(2*a.Replicas, a.Replicas+scaleUpPods)), reason, recent}
	case reason == ScaleDown:
		return a.lower(recent)
	default:
		return Scaling{a.Replicas, reason, recent}
	}
}

func (a Autoscale) bounds() (low, high int32) {
	high = a.Max
	if a.MaxUseful > 0 {
		high = min(high, a.MaxUseful)
	}
	return min(a.Min, high), high
}

// recommend gives the number of pods that the load needs, for the record, and
// why; if that is fewer than there are, they may be taken away only where the
// reason is ScaleDown.
func (a Autoscale) recommend(low, high int32) (int32, ScaleReason) {
	load, read, unread := a.load()
	if read+unread == 0 {
		return a.Replicas, ScaleNoPods
	}
	// Pods that can't be read are taken to be on target, but for those that are
	// there only to replace others: ignorance alone never adds pods.
	assumed := min(unread, max(int(a.Replicas)-read, 0))
	load += float64(assumed) * a.Target

	wanted, reason := a.Replicas, ScaleOnTarget
	if math.Abs(load/(float64(a.Replicas)*a.Target)-1) > scaleTolerance {
		needed := math.Ceil(load / a.Target)
		wanted = int32(min(max(needed, float64(low)), float64(high)))
		switch {
		case needed > float64(high) && wanted == a.Replicas:
			reason = ScaleAtMaximum
		case wanted > a.Replicas:
			reason = ScaleUp
		}
	}
	switch {
	case wanted >= a.Replicas:
		return wanted, reason
	case a.RollingOut:
		// Only a part of the load is seen: that it is little says nothing.
		return a.Replicas, ScaleRollingOut
	case unread > 0:
		return wanted, ScalePodsUnreadable
	default:
		return wanted, ScaleDown
	}
}

// load sums the samples. One that is no load counts as not read.
func (a Autoscale) load() (load float64, read, unread int) {
	unread = a.Unreadable
	for _, v := range a.Samples {
		if !(v >= 0) || math.IsInf(v, 1) {
			unread++
			continue
		}
		load += v
		read++
	}
	return load, read, unread
}

// lower takes pods away, if it is time.
func (a Autoscale) lower(recent Recommendations) Scaling {
	step := max(1, int32(float64(a.Replicas)*scaleDownShare))
	target := max(recent.highest(), a.Replicas-step)
	if target >= a.Replicas || !recent.covers(a.Now, a.ScaleDownAfter) || a.Now.Sub(recent.lowered) < scaleDownEvery {
		return Scaling{a.Replicas, ScaleDownWaits, recent}
	}
	recent.lowered = a.Now
	return Scaling{target, ScaleDown, recent}
}
