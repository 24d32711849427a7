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
	shared
	kind string // of the answers, for Options.Asked

	mu      sync.Mutex // guards the rest
	entries *lru.LRU[K, entry[V]]
	// refreshing are the keys that are being looked up in the background.
	refreshing map[K]bool
	// forgets counts the changes. An answer that was asked for before a change
	// and arrives after it may be the old one: it is not kept.
	forgets uint64
	// settled is from when on the answers about a key may be believed for longer:
	// before, an announced change may come. Keys that it had to drop are settled at
	// restSettled at the latest.
	settled     *lru.LRU[K, time.Time]
	restSettled time.Time
	// settledToo is when something else is settled that an answer depends on; nil
	// if it depends on nothing.
	settledToo func(V) time.Time
}

type entry[V any] struct {
	value  V
	loaded time.Time
}

// loader asks the store for the value of a key.
type loader[V any] func(context.Context) (V, error)

func newCache[K comparable, V any](s shared, kind string) *cache[K, V] {
	c := &cache[K, V]{shared: s, kind: kind, refreshing: map[K]bool{}}
	size := max(s.Entries, 1)
	// The only error is a size that is not positive.
	c.entries, _ = lru.NewLRU[K, entry[V]](size, nil)
	c.settled, _ = lru.NewLRU(size, func(_ K, dropped time.Time) { c.restSettled = later(c.restSettled, dropped) })
	return c
}

// get answers from memory, or else by load. What is asked for often is looked up
// in the background before it is too old, so that nobody waits for it.
func (c *cache[K, V]) get(ctx context.Context, key K, load loader[V]) (V, error) {
	now := c.Now()
	c.mu.Lock()
	known, ok := c.entries.Get(key)
	believed := c.believed(key, known, now)
	c.mu.Unlock()
	age := now.Sub(known.loaded)
	if ok && age < believed {
		if age >= believed-believed/4 {
			c.refresh(key, load)
		}
		return known.value, nil
	}
	usable := ok && age < c.Stale
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

// believed is how long an answer is believed. c.mu is held.
func (c *cache[K, V]) believed(key K, known entry[V], now time.Time) time.Duration {
	settled := c.settledLocked(key)
	if c.settledToo != nil {
		settled = later(settled, c.settledToo(known.value))
	}
	if known.loaded.Before(settled) || !c.horizon.covers(known.loaded, now, c.Fresh) {
		return c.Fresh
	}
	return c.Followed
}

func (c *cache[K, V]) settledLocked(key K) time.Time {
	at, _ := c.settled.Peek(key)
	return later(at, c.restSettled)
}

// settledAt is from when on the answers about a key may be believed for longer.
func (c *cache[K, V]) settledAt(key K) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.settledLocked(key)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// load asks the store, and keeps the answer unless something changes meanwhile.
func (c *cache[K, V]) load(ctx context.Context, key K, load loader[V]) (V, error) {
	c.Asked(c.kind)
	asked := c.Now()
	c.mu.Lock()
	forgets := c.forgets
	c.mu.Unlock()
	value, err := load(ctx)
	c.outage.learn(c.Now(), err)
	switch {
	case err == nil:
		c.mu.Lock()
		if c.forgets == forgets {
			c.entries.Add(key, entry[V]{value, asked})
		}
		c.mu.Unlock()
	case errors.Is(err, chat.ErrNotFound):
		c.mu.Lock()
		if c.entries.Remove(key) {
			c.forgets++ // and only then: many may ask for what was never there
		}
		c.mu.Unlock()
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
		if !c.outage.spares(c.Now()) {
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

// forgetIf forgets the answers that match.
func (c *cache[K, V]) forgetIf(match func(K, V) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgets++
	for _, key := range c.entries.Keys() {
		if known, _ := c.entries.Peek(key); match(key, known.value) {
			c.entries.Remove(key)
		}
	}
}

// doubt is told of a change that is still to come.
func (c *cache[K, V]) doubt(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settled.Add(key, c.Now().Add(changeLasts))
}
