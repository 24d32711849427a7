// Package coalesce has callers who ask the same thing at the same time share one
// answer, without ever handing out one that is older than the call: whoever asks
// while a question is being answered waits for the next one, with all others who
// do. (golang.org/x/sync/singleflight lets them join the one under way, which may
// have been answered before they asked.)
package coalesce

import (
	"context"
	"sync"
)

// Asker answers a question for each key. It is safe for concurrent use, and has
// no goroutines: of those who wait for the same answer, one finds it.
type Asker[K comparable, V any] struct {
	ask func(context.Context, K) (V, error)

	mu sync.Mutex // guards the rest, and what its lines and questions hold
	// lines are those keys that somebody asks for.
	lines map[K]*line[V]
}

// line is what is asked about a key.
type line[V any] struct {
	// current is being answered, next is put after it; nil if there is none.
	current, next *question[V]
}

type question[V any] struct {
	// askers wait for the answer or find it.
	askers int
	// turn has a token for the one of them who is to find it.
	turn     chan struct{}
	answered chan struct{}
	answer   V
	err      error
}

// New returns an Asker. There is one call of ask at a time for each key, with the
// context of one of those who share its answer, which none of them may change.
func New[K comparable, V any](ask func(context.Context, K) (V, error)) *Asker[K, V] {
	return &Asker[K, V]{ask: ask, lines: map[K]*line[V]{}}
}

// Ask returns what ask answers to a call that begins after this one. If ctx ends
// first, that is its error, and the others are not held up by it.
func (a *Asker[K, V]) Ask(ctx context.Context, key K) (V, error) {
	q := a.join(key)
	select {
	case <-q.answered:
		return q.answer, q.err
	case <-q.turn:
		return a.find(ctx, key, q)
	case <-ctx.Done():
		a.mu.Lock()
		defer a.mu.Unlock()
		a.leave(key, q)
		var none V
		return none, context.Cause(ctx)
	}
}

// join is the question about key that is put next.
func (a *Asker[K, V]) join(key K) *question[V] {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.lines[key]
	if l == nil {
		l = &line[V]{}
		a.lines[key] = l
	}
	if l.next == nil {
		l.next = &question[V]{turn: make(chan struct{}, 1), answered: make(chan struct{})}
	}
	q := l.next
	q.askers++
	a.advance(key, l)
	return q
}

// advance puts the next question if none is being answered. The mutex is held.
func (a *Asker[K, V]) advance(key K, l *line[V]) {
	switch {
	case l.current != nil:
	case l.next == nil:
		delete(a.lines, key)
	default:
		l.current, l.next = l.next, nil
		l.current.turn <- struct{}{}
	}
}

// find finds the answer to the current question. If the caller has to give up,
// another asker finds it.
func (a *Asker[K, V]) find(ctx context.Context, key K, q *question[V]) (answer V, err error) {
	gaveUp := true // also by a panic
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if gaveUp && q.askers > 1 {
			q.turn <- struct{}{}
			a.leave(key, q)
			return
		}
		q.answer, q.err = answer, err
		close(q.answered)
		a.end(key, q)
	}()
	answer, err = a.ask(ctx, key)
	gaveUp = err != nil && ctx.Err() != nil
	return answer, err
}

// leave takes one asker away from a question. Who found its answer never leaves,
// so one that has been answered always has an asker. The mutex is held.
func (a *Asker[K, V]) leave(key K, q *question[V]) {
	q.askers--
	if q.askers == 0 {
		a.end(key, q)
	}
}

// end takes a question out of its line: it has been answered, or has no askers.
// The mutex is held.
func (a *Asker[K, V]) end(key K, q *question[V]) {
	l := a.lines[key]
	if l.current == q {
		l.current = nil
	} else {
		l.next = nil
	}
	a.advance(key, l)
}
