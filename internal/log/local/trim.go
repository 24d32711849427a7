package local

import (
	"errors"
	"math"
	"os"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// trimRequest asks run to delete segments.
type trimRequest struct {
	below     int64
	olderThan int64 // Unix milliseconds
	done      chan error
}

// requestTrim has run delete segments; the answer comes on the channel.
func (p *partition) requestTrim(below int64, olderThan time.Time) (<-chan error, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		return nil, errClosed
	}
	t := &trimRequest{below: below, olderThan: olderThan.UnixMilli(), done: make(chan error, 1)}
	p.trims = append(p.trims, t)
	p.work.Signal()
	return t.done, nil
}

// trim deletes segments, the active one included if all of it may go.
func (p *partition) trim(below, olderThan int64) error {
	rule := p.expired()
	rule.below, rule.olderThan = below, olderThan
	// First what frees space, then what needs some.
	if err := p.drop(rule); err != nil {
		return err
	}
	s := p.active()
	if s.empty() || !rule.disposes(s) || p.broken != nil {
		return nil
	}
	if err := p.roll(p.next); err != nil {
		return failure(chat.ErrUnavailable, "begin segment", err)
	}
	return p.drop(rule)
}

// expire deletes the sealed segments that are beyond the topic's retention.
func (p *partition) expire() {
	if err := p.drop(p.expired()); err != nil {
		p.options.Logger.Warn("expired segments stay", "partition", p.id.String(), "error", err)
	}
}

// expired is the rule of the topic's retention.
func (p *partition) expired() trimRule {
	rule := trimRule{expiry: math.MinInt64}
	if p.retention > 0 {
		rule.expiry = p.options.Now().Add(-p.retention).UnixMilli()
	}
	return rule
}

// trimRule says which segments may go: those whose records all lie below an
// offset and are older than a time, and those that are older than the expiry.
// Times are Unix milliseconds.
type trimRule struct{ below, olderThan, expiry int64 }

func (r trimRule) disposes(s *segment) bool {
	return s.newest < r.expiry || s.next <= r.below && s.newest < r.olderThan
}

// drop deletes the leading sealed segments that may go, oldest first: however
// far it comes, what stays is without a gap.
func (p *partition) drop(rule trimRule) error {
	p.mu.Lock()
	n := 0
	for n < len(p.segments)-1 && rule.disposes(p.segments[n]) {
		n++
	}
	dropped := p.segments[:n:n]
	p.segments = p.segments[n:]
	if n > 0 {
		p.recent.dropBelow(p.segments[0].base)
		p.wakeWatchers() // those that are now below the first offset must hear
	}
	p.mu.Unlock()
	if n == 0 {
		return nil
	}
	var errs []error
	for _, s := range dropped {
		errs = append(errs, s.close())
		if err := os.Remove(s.path); err != nil {
			errs = append(errs, err)
			break
		}
	}
	return errors.Join(append(errs, syncDir(p.dir))...)
}
