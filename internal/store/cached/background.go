package cached

import (
	"context"
	"sync"
)

// background owns the look-ups that nobody waits for.
type background struct {
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
	// mu keeps what is run apart from the end of ctx, after which nothing is.
	mu sync.Mutex
}

func newBackground() *background {
	b := &background{}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

// run runs f in a goroutine, with little patience; after close, in none.
func (b *background) run(f func(context.Context)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctx.Err() != nil {
		return
	}
	b.work.Go(func() {
		ctx, cancel := context.WithTimeout(b.ctx, patience)
		defer cancel()
		f(ctx)
	})
}

// close ends what runs, and waits for it.
func (b *background) close() {
	b.mu.Lock()
	b.cancel()
	b.mu.Unlock()
	b.work.Wait()
}
