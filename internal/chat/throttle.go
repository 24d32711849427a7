package chat

import (
	"math"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// Rate is how often something may happen: PerSecond in the long run, Burst at
// once. A zero Rate is no limit.
type Rate struct {
	PerSecond float64
	Burst     int
}

// throttleKeys bounds the memory of a throttle: the keys used longest ago are
// forgotten first.
const throttleKeys = 65536

// throttle limits how often something happens for each key.
type throttle struct {
	rate Rate
	mu   sync.Mutex // guards the get-or-add of limiters
	// limiters is nil where there is no limit.
	limiters *lru.Cache[string, *rate.Limiter]
}

func newThrottle(r Rate) *throttle {
	t := &throttle{rate: r}
	if r.PerSecond > 0 {
		// The only error of New is a size that is not positive.
		t.limiters, _ = lru.New[string, *rate.Limiter](throttleKeys)
	}
	return t
}

// take spends one event of key, or says how long to wait before the next try.
func (t *throttle) take(key string, now time.Time) (wait time.Duration, ok bool) {
	if t.limiters == nil {
		return 0, true
	}
	t.mu.Lock()
	limiter, found := t.limiters.Get(key)
	if !found {
		limiter = rate.NewLimiter(rate.Limit(t.rate.PerSecond), t.rate.Burst)
		t.limiters.Add(key, limiter)
	}
	t.mu.Unlock()
	r := limiter.ReserveN(now, 1)
	if delay := r.DelayFrom(now); !r.OK() || delay > 0 {
		r.CancelAt(now)
		return roundUp(delay), false
	}
	return 0, true
}

// giveBack returns an event that was taken and turned out not to count.
func (t *throttle) giveBack(key string, now time.Time) {
	if t.limiters == nil {
		return
	}
	if limiter, ok := t.limiters.Get(key); ok {
		limiter.ReserveN(now, -1)
	}
}

// roundUp rounds up to whole seconds, the unit of Retry-After.
func roundUp(d time.Duration) time.Duration {
	return time.Duration(math.Ceil(d.Seconds())) * time.Second
}
