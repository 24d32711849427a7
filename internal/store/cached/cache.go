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
	background   *background

	mu      sync.Mutex // guards the rest
	entries *lru.LRU[K, entry[V]]
	// refreshing are the keys that are being looked up in the background.
	refreshing map[K]bool
	// forgets counts the changes. An answer that was asked for before a change
	// and arrives after it may be the old one: it is not kept.
	forgets uint64
}

type entry[V any] struct {
	value  V
	loaded time.Time
}

// loader asks the store for the value of a key.
type loader[V any] func(context.Context) (V, error)

func newCache[K comparable, V any](o Options, down *outage, b *background) *cache[K, V] {
	// The only error is a size that is not positive.
	entries, _ := lru.NewLRU[K, entry[V]](max(o.Entries, 1), nil)
	return &cache[K, V]{fresh: o.Fresh, stale: o.Stale, now: o.Now, outage: down, background: b, entries: entries, refreshing: map[K]bool{}}
}

// get answers from memory, or else by load. What is asked for often is looked up
// in the background before it is too old, so that nobody waits for it.
func (c *cache[K, V]) get(ctx context.Context, key K, load loader[V]) (V, error) {
	now := c.now()
	c.mu.Lock()
	known, ok := c.entries.Get(key)
	c.mu.Unlock()
	age := now.Sub(known.loaded)
	if ok && age < c.fresh {
		if age >= c.fresh-c.fresh/4 {
			c.refresh(key, load)
		}
		return known.value, nil
	}
	usable := ok && age < c.stale
	if usable {
		if c.outage.spares(now) {
			return known.value, nil
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	value, err := c.load(ctx, key, load)
	if usable && errors.Is(err, chat.ErrUnavailable) {
		return known.value, nil
	}
	return value, err
}

// load asks the store, and keeps the answer unless something changes meanwhile.
func (c *cache[K, V]) load(ctx context.Context, key K, load loader[V]) (V, error) {
	asked := c.now()
	c.mu.Lock()
	forgets := c.forgets
	c.mu.Unlock()
	value, err := load(ctx)
	c.outage.learn(c.now(), err)
	switch {
	case err == nil:
		c.mu.Lock()
		if c.forgets == forgets {
			c.entries.Add(key, entry[V]{value, asked})
		}
		c.mu.Unlock()
	case errors.Is(err, chat.ErrNotFound):
		c.forget(key)
	}
	return value, err
}

// refresh looks the key up in the background, unless that is under way.
func (c *cache[K, V]) refresh(key K, load loader[V]) {
	c.mu.Lock()
	underWay := c.refreshing[key]
	c.refreshing[key] = true
	c.mu.Unlock()
	if underWay {
		return
	}
	c.background.run(func(ctx context.Context) {
		if !c.outage.spares(c.now()) {
			// What could not be refreshed is looked up when it is too old.
			_, _ = c.load(ctx, key, load)
		}
		c.mu.Lock()
		delete(c.refreshing, key)
		c.mu.Unlock()
	})
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
