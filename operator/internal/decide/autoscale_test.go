package decide_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/operator/internal/decide"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// loads are samples of pods.
func loads(each ...float64) map[string]float64 {
	samples := map[string]float64{}
	for i, v := range each {
		samples[fmt.Sprintf("pod-%d", i)] = v
	}
	return samples
}

// evenly is a load that is spread over pods.
func evenly(load float64, pods int) map[string]float64 {
	each := make([]float64, pods)
	for i := range each {
		each[i] = load / float64(pods)
	}
	return loads(each...)
}

// settled is an Autoscale whose record says for the whole window that the
// given number suffices.
func settled(pods int32, a decide.Autoscale) decide.Autoscale {
	record := decide.Autoscale{
		Replicas: pods, Min: 1, Max: 1000, Target: a.Target, Samples: evenly(a.Target*float64(pods), int(pods)), ScaleDownAfter: a.ScaleDownAfter,
	}
	for record.Now = start.Add(-a.ScaleDownAfter - time.Minute); record.Now.Before(start); record.Now = record.Now.Add(10 * time.Second) {
		record.Recent = record.Decide().Recent
	}
	a.Recent = record.Recent
	return a
}

func TestAutoscale(t *testing.T) {
	const target = 1000.0
	tests := []struct {
		name string
		in   decide.Autoscale
		// record is what sufficed for the whole window; nothing is known if 0.
		record int32
		want   int32
		reason decide.ScaleReason
	}{
		{"on target", decide.Autoscale{Replicas: 3, Samples: loads(1000, 1000, 1000)}, 3, 3, decide.ScaleOnTarget},
		{"a bit above", decide.Autoscale{Replicas: 3, Samples: loads(1090, 1090, 1090)}, 3, 3, decide.ScaleOnTarget},
		{"a bit below", decide.Autoscale{Replicas: 20, Samples: evenly(18_100, 20)}, 1, 20, decide.ScaleOnTarget},
		{"above, at once", decide.Autoscale{Replicas: 3, Samples: loads(1200, 1200, 1200)}, 0, 4, decide.ScaleUp},
		{"four more", decide.Autoscale{Replicas: 2, Samples: loads(9000, 9000)}, 0, 6, decide.ScaleUp},
		{"twice as many", decide.Autoscale{Replicas: 10, Samples: evenly(90_000, 10)}, 0, 20, decide.ScaleUp},
		{"the maximum", decide.Autoscale{Replicas: 40, Samples: evenly(90_000, 40)}, 0, 50, decide.ScaleUp},
		{"more than the maximum", decide.Autoscale{Replicas: 50, Samples: evenly(90_000, 50)}, 0, 50, decide.ScaleAtMaximum},
		{"new pods start still", decide.Autoscale{Replicas: 6, Samples: loads(3000, 3000)}, 0, 6, decide.ScaleOnTarget},
		{"an uneven load is not more", decide.Autoscale{Replicas: 4, Samples: loads(1300, 1300, 1300, 0)}, 4, 4, decide.ScaleOnTarget},

		{"below", decide.Autoscale{Replicas: 4, Samples: loads(500, 500, 500, 500)}, 2, 3, decide.ScaleDown},
		{"a tenth", decide.Autoscale{Replicas: 40, Samples: evenly(500, 40)}, 1, 36, decide.ScaleDown},
		{"the minimum", decide.Autoscale{Replicas: 2, Samples: loads(0, 0)}, 1, 2, decide.ScaleOnTarget},
		{"below, after a restart", decide.Autoscale{Replicas: 4, Samples: loads(500, 500, 500, 500)}, 0, 4, decide.ScaleDownWaits},
		{"below, but not a moment ago", decide.Autoscale{Replicas: 4, Samples: loads(500, 500, 500, 500)}, 4, 4, decide.ScaleDownWaits},
		{"below by less than the record allows", decide.Autoscale{Replicas: 40, Samples: evenly(500, 40)}, 38, 38, decide.ScaleDown},
		{"below, in a rollout", decide.Autoscale{Replicas: 4, Samples: loads(500, 500, 500, 500, 0), RollingOut: true}, 2, 4, decide.ScaleRollingOut},
		{"above, in a rollout", decide.Autoscale{Replicas: 4, Samples: loads(1500, 1500, 1500, 1500, 0), RollingOut: true}, 2, 6, decide.ScaleUp},

		{"below, one unread", decide.Autoscale{Replicas: 4, Samples: loads(100, 100, 100), Unreadable: 1}, 2, 4, decide.ScalePodsUnreadable},
		{"below, one nonsense", decide.Autoscale{Replicas: 4, Samples: loads(100, 100, 100, math.NaN())}, 2, 4, decide.ScalePodsUnreadable},
		{"one negative", decide.Autoscale{Replicas: 4, Samples: loads(100, 100, 100, -5)}, 2, 4, decide.ScalePodsUnreadable},
		{"one infinite", decide.Autoscale{Replicas: 4, Samples: loads(100, 100, 100, math.Inf(1))}, 2, 4, decide.ScalePodsUnreadable},
		{"above, one unread", decide.Autoscale{Replicas: 4, Samples: loads(1500, 1500, 1500), Unreadable: 1}, 4, 6, decide.ScaleUp},
		{"all unread", decide.Autoscale{Replicas: 4, Unreadable: 4}, 2, 4, decide.ScaleOnTarget},
		{"all unread, in a rollout", decide.Autoscale{Replicas: 4, Unreadable: 6, RollingOut: true}, 2, 4, decide.ScaleOnTarget},
		{"no pod runs", decide.Autoscale{Replicas: 4}, 2, 4, decide.ScaleNoPods},

		{"below the minimum", decide.Autoscale{Replicas: 0}, 0, 2, decide.ScaleBounds},
		{"above the maximum", decide.Autoscale{Replicas: 60, Samples: evenly(60_000, 60)}, 0, 50, decide.ScaleBounds},
		{"archivers beyond the partitions", decide.Autoscale{Replicas: 9, MaxUseful: 8, Samples: evenly(90_000, 9)}, 0, 8, decide.ScaleBounds},
		{"archivers for each partition", decide.Autoscale{Replicas: 8, MaxUseful: 8, Samples: evenly(90_000, 8)}, 0, 8, decide.ScaleAtMaximum},
		{"fewer partitions than the minimum", decide.Autoscale{Replicas: 2, MaxUseful: 1, Samples: loads(9000, 0)}, 0, 1, decide.ScaleBounds},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			in := test.in
			in.Min, in.Max, in.Target, in.Now, in.ScaleDownAfter = 2, 50, target, start, 10*time.Minute
			if test.record > 0 {
				in = settled(test.record, in)
			}
			got := in.Decide()
			if got.Replicas != test.want || got.Reason != test.reason {
				t.Errorf("got %d pods (%s), want %d (%s)", got.Replicas, got.Reason, test.want, test.reason)
			}
		})
	}
}

// TestAutoscaleProperties tries what nobody would think of, in sequences that
// follow their own decisions.
func TestAutoscaleProperties(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 0))
		a := decide.Autoscale{
			Replicas: random.Int32N(60), Min: 1 + random.Int32N(5), Target: 1 + 1000*random.Float64(), Now: start,
			ScaleDownAfter: time.Duration(random.IntN(900)) * time.Second,
		}
		a.Max = a.Min + random.Int32N(60)
		var suspect time.Time // when a step down was last out of the question
		var lowered time.Time
		suspect = start
		for step := range 400 {
			gap := time.Duration(random.IntN(20)) * time.Second
			if random.IntN(100) == 0 {
				gap = time.Hour
				suspect = a.Now.Add(gap)
			}
			a.Now = a.Now.Add(gap)
			a.Samples = map[string]float64{}
			level := random.Float64() * 0.5
			if random.IntN(200) == 0 {
				level = 10 * random.Float64()
			}
			for i := range int(a.Replicas) {
				a.Samples[fmt.Sprint(i)] = a.Target * level
			}
			a.Unreadable, a.RollingOut = 0, random.IntN(20) == 0
			if random.IntN(20) == 0 {
				a.Unreadable = random.IntN(4)
			}
			before := a.Recent
			got, again := a.Decide(), a.Decide()
			fail := func(what string) {
				t.Fatalf("seed %d, step %d: %s: %d of [%d, %d] became %d (%s)", seed, step, what, a.Replicas, a.Min, a.Max, got.Replicas, got.Reason)
			}
			bounded := min(max(a.Replicas, a.Min), a.Max)
			switch {
			case got.Replicas != again.Replicas || got.Reason != again.Reason || before.Len() != a.Recent.Len():
				fail("the record that was passed in changed")
			case got.Replicas < a.Min || got.Replicas > a.Max:
				fail("out of bounds")
			case bounded != a.Replicas && got.Replicas != bounded:
				fail("not the nearest bound")
			case bounded != a.Replicas:
			case got.Replicas > max(2*a.Replicas, a.Replicas+4):
				fail("too many at once")
			case got.Replicas < a.Replicas-max(1, a.Replicas/10):
				fail("too few at once")
			case got.Replicas < a.Replicas && (a.Unreadable > 0 || a.RollingOut):
				fail("taken away on incomplete evidence")
			case got.Replicas < a.Replicas && a.Now.Sub(lowered) < time.Minute:
				fail("too fast")
			case got.Replicas < a.Replicas && a.Now.Sub(suspect) < a.ScaleDownAfter:
				fail("taken away too early")
			}
			if got.Replicas < bounded {
				lowered = a.Now
			}
			if got.Replicas > a.Replicas || a.RollingOut {
				suspect = a.Now
			}
			if got.Recent.Len() > int(a.Max) {
				fail("the record grows without bound")
			}
			a.Replicas, a.Recent = got.Replicas, got.Recent
		}
	}
}

// TestAutoscaleLongerWindow: when the user makes the window longer, the record
// that was kept for the shorter one is not enough.
func TestAutoscaleLongerWindow(t *testing.T) {
	a := decide.Autoscale{Replicas: 4, Min: 1, Max: 9, Target: 1000, Samples: evenly(1000, 4), ScaleDownAfter: time.Minute}
	for a.Now = start.Add(-3 * time.Hour); a.Now.Before(start); a.Now = a.Now.Add(time.Minute) {
		a.Recent = a.Decide().Recent
	}
	if got := a.Decide(); got.Replicas != 3 {
		t.Errorf("the same window: got %d, want 3", got.Replicas)
	}
	a.ScaleDownAfter = time.Hour
	if got := a.Decide(); got.Replicas != 4 {
		t.Errorf("a longer window: got %d, want 4", got.Replicas)
	}
}

// TestAutoscaleWithoutWindow: restarts of the operator do not make the pods go
// faster than a step each minute.
func TestAutoscaleWithoutWindow(t *testing.T) {
	a := decide.Autoscale{Replicas: 4, Min: 1, Max: 9, Target: 1000, Samples: evenly(1000, 4), Now: start}
	got := a.Decide()
	if got.Replicas != 4 || got.Reason != decide.ScaleDownWaits {
		t.Errorf("at the start: got %d (%s), want 4 (%s)", got.Replicas, got.Reason, decide.ScaleDownWaits)
	}
	a.Recent, a.Now = got.Recent, start.Add(time.Minute)
	if got := a.Decide(); got.Replicas != 3 {
		t.Errorf("a minute later: got %d (%s), want 3", got.Replicas, got.Reason)
	}
}

// TestRecommendationsAreValues: one record may be continued in two ways.
func TestRecommendationsAreValues(t *testing.T) {
	a := settled(2, decide.Autoscale{Replicas: 4, Min: 1, Max: 9, Target: 1000, Now: start, ScaleDownAfter: time.Minute})
	a.Samples = evenly(9000, 4)
	if got := a.Decide(); got.Replicas != 8 {
		t.Fatalf("above: got %d, want 8", got.Replicas)
	}
	a.Samples = evenly(1000, 4)
	if got := a.Decide(); got.Replicas != 3 {
		t.Errorf("below: got %d (%s), want 3, for which the record allows", got.Replicas, got.Reason)
	}
}

// scaled is a part in a simulation: pods start 30 s after they are wanted.
type scaled struct {
	a      decide.Autoscale
	wanted []time.Time // of each pod that there shall be
}

// pass lets 10 s go by, at the end of which there is this load.
func (s *scaled) pass(load float64) decide.Scaling {
	s.a.Now = s.a.Now.Add(10 * time.Second)
	running := 0
	for _, since := range s.wanted {
		if s.a.Now.Sub(since) >= 30*time.Second {
			running++
		}
	}
	s.a.Samples = evenly(load, running)
	got := s.a.Decide()
	s.a.Replicas, s.a.Recent = got.Replicas, got.Recent
	for len(s.wanted) < int(got.Replicas) {
		s.wanted = append(s.wanted, s.a.Now)
	}
	s.wanted = s.wanted[:got.Replicas]
	return got
}

// TestAutoscaleOfADay is a load that rises, stays, and falls, with noise.
func TestAutoscaleOfADay(t *testing.T) {
	const (
		target, low, high = 1000.0, 800.0, 20_000.0
		window            = 10 * time.Minute
	)
	random := rand.New(rand.NewPCG(1, 2))
	noisy := func(load float64) float64 { return load * (0.97 + 0.06*random.Float64()) }
	s := scaled{
		a:      decide.Autoscale{Replicas: 2, Min: 2, Max: 30, Target: target, Now: start, ScaleDownAfter: window},
		wanted: []time.Time{start.Add(-time.Hour), start.Add(-time.Hour)},
	}
	for range 120 {
		s.pass(noisy(low))
	}
	if s.a.Replicas != 2 {
		t.Fatalf("at rest: got %d pods, want 2", s.a.Replicas)
	}

	// Ten minutes up: never fewer pods than before, nor fewer than the load needs
	// with the tolerance.
	last := s.a.Replicas
	for i := range 60 {
		load := noisy(low + (high-low)*float64(i)/60)
		got := s.pass(load)
		if got.Replicas < last || load > 1.1*target*float64(got.Replicas) {
			t.Fatalf("on the way up, at %.0f: %d pods became %d (%s)", load, last, got.Replicas, got.Reason)
		}
		last = got.Replicas
	}

	// An hour at the top: the number settles and stays.
	changes := 0
	for range 360 {
		got := s.pass(noisy(high))
		if got.Replicas != last {
			changes++
		}
		last = got.Replicas
	}
	if changes > 3 || last < 19 || last > 22 {
		t.Errorf("at the top: %d pods after %d changes, want 19 to 22 after 3 at most", last, changes)
	}

	// A sudden fall: nothing for the window, then a step each minute, to the minimum.
	fell, top := s.a.Now, last
	var steps []time.Time
	for last > s.a.Min {
		got := s.pass(noisy(low))
		if got.Replicas < last {
			if step := last - got.Replicas; step > max(1, last/10) {
				t.Errorf("a step of %d from %d", step, last)
			}
			steps = append(steps, s.a.Now)
		} else if got.Replicas > last {
			t.Fatalf("on the way down: %d pods became %d", last, got.Replicas)
		}
		last = got.Replicas
		if s.a.Now.Sub(fell) > 2*time.Hour {
			t.Fatalf("two hours after the fall: %d pods of %d", last, top)
		}
	}
	if wait := steps[0].Sub(fell); wait < window || wait > window+20*time.Second {
		t.Errorf("the first step came after %s, want %s", wait, window)
	}
	for i, at := range steps[1:] {
		if pause := at.Sub(steps[i]); pause != time.Minute {
			t.Errorf("a pause of %s between steps, want 1m", pause)
		}
	}
}
