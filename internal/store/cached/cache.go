package cached

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	lru "github.com/hashicorp/golang-lru/v2/simplelru"
)

// cache keeps the answers of one kind of look-up. It does not keep that
// something was not found: what is asked for next is often just being made.
type cache[K comparable, V any] struct {
	fresh, stale time.Duration
	now          func() time.Time
	outage       *outage

	mu      sync.Mutex // guards the rest
	entries *lru.LRU[K, entry[V]]
	// forgets counts the changes. An answer that was asked for before a change
	// and arrives after it may be the old one: it is not kept.
	forgets uint64
}

type entry[V any] struct {
	value  V
	loaded time.Time
}

func newCache[K comparable, V any](o Options, down *outage) *cache[K, V] {
	// The only error is a size that is not positive.
	entries, _ := lru.NewLRU[K, entry[V]](max(o.Entries, 1), nil)
	return &cache[K, V]{fresh: o.Fresh, stale: o.Stale, now: o.Now, outage: down, entries: entries}
}

// get answers from memory, or else by load.
func (c *cache[K, V]) get(ctx context.Context, key K, load func(context.Context) (V, error)) (V, error) {
	now := c.now()
	c.mu.Lock()
	known, ok := c.entries.Get(key)
	forgets := c.forgets
	c.mu.Unlock()
	if ok && now.Sub(known.loaded) < c.fresh {
		return known.value, nil
	}
	usable := ok && now.Sub(known.loaded) < c.stale
	if usable {
		if c.outage.spares(now) {
			return known.value, nil
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	value, err := load(ctx)
	c.outage.learn(c.now(), err)
	switch {
	case err == nil:
		c.mu.Lock()
		if c.forgets == forgets {
			c.entries.Add(key, entry[V]{value, now})
		}
		c.mu.Unlock()
	case errors.Is(err, chat.ErrNotFound):
		c.forget(key)
	case usable && errors.Is(err, chat.ErrUnavailable):
		return known.value, nil
	}
	return value, err
}

func (c *cache[K, V]) forget(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgets++
	c.entries.Remove(key)
}

func (c *cache[K, V]) forgetAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgets++
	c.entries.Purge()
}
