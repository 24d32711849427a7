package cached

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

const (
	// patience is how long a look-up may take that a stale answer can replace.
	// A store that hangs would else hold up every call for its own time-out.
	patience = time.Second
	// probeEvery is how often such a look-up is tried while the store is away.
	probeEvery = time.Second
)

// outage is what the last look-ups of all kinds said of the store. While it is
// away, only one look-up at a time finds out whether it is back.
type outage struct {
	mu sync.Mutex // guards probe
	// probe is when the store is asked next; zero while it answers.
	probe time.Time
}

// spares reports whether there is no use in asking now.
func (o *outage) spares(now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.probe.IsZero() || now.Before(o.probe) {
		return !o.probe.IsZero()
	}
	o.probe = now.Add(patience + probeEvery)
	return false
}

// learn notes how a look-up ended. That its caller went away says nothing.
func (o *outage) learn(now time.Time, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.probe = time.Time{}
	if errors.Is(err, chat.ErrUnavailable) {
		o.probe = now.Add(probeEvery)
	}
}
