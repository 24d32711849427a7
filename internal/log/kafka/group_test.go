package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/log/kafka"
)

// holders notes who holds which partition, and whether two ever do at once.
type holders struct {
	mu      sync.Mutex // guards what follows
	by      map[chat.Partition]int
	clashes []string
	// changed is closed and replaced after each change.
	changed chan struct{}
}

func newHolders() *holders {
	return &holders{by: map[chat.Partition]int{}, changed: make(chan struct{})}
}

func (h *holders) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	close(h.changed)
	h.changed = make(chan struct{})
}

// hold is what a member does with a partition.
func (h *holders) hold(member int) func(context.Context, chat.Partition) error {
	return func(ctx context.Context, p chat.Partition) error {
		h.change(func() {
			if other, ok := h.by[p]; ok {
				h.clashes = append(h.clashes, fmt.Sprintf("%s by %d and %d", p, other, member))
			}
			h.by[p] = member
		})
		<-ctx.Done()
		h.change(func() { delete(h.by, p) })
		return nil
	}
}

// await waits until each member has at least so many partitions, and they have
// all of them.
func (h *holders) await(ctx context.Context, t *testing.T, total, least int, members ...int) {
	t.Helper()
	for {
		h.mu.Lock()
		counts := map[int]int{}
		for _, member := range h.by {
			counts[member]++
		}
		all, changed := len(h.by), h.changed
		h.mu.Unlock()
		done := all == total && len(counts) == len(members)
		for _, member := range members {
			done = done && counts[member] >= least
		}
		if done {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("partitions by member: %v, want all %d, at least %d for each of %v", counts, total, least, members)
		case <-changed:
		}
	}
}

func TestAssignments(t *testing.T) {
	const partitions = 8
	o := options(t)
	newLog(t, o, partitions)
	ctx := testContext(t)
	h := newHolders()
	var group sync.WaitGroup
	defer group.Wait()
	join := func(member int) (leave context.CancelFunc) {
		l := openLog(t, o)
		ctx, cancel := context.WithCancel(ctx)
		group.Go(func() {
			if err := l.Assignments(ctx, o.TopicPrefix, h.hold(member)); err != nil {
				t.Errorf("Assignments of %d: %v", member, err)
			}
		})
		return cancel
	}
	leave1 := join(1)
	defer leave1()
	h.await(ctx, t, partitions, partitions, 1)
	leave2 := join(2)
	defer leave2()
	h.await(ctx, t, partitions, 4, 1, 2)
	leave3 := join(3)
	defer leave3()
	h.await(ctx, t, partitions, 2, 1, 2, 3)
	leave1()
	h.await(ctx, t, partitions, 4, 2, 3)
	leave2()
	h.await(ctx, t, partitions, partitions, 3)
	leave3()
	group.Wait()
	h.await(ctx, t, 0, 0)
	if len(h.clashes) > 0 {
		t.Errorf("held twice at once: %s", strings.Join(h.clashes, ", "))
	}
}

func TestAssignmentsEnd(t *testing.T) {
	failure := errors.New("cannot go on")
	tests := []struct {
		name string
		end  func(l *kafka.Log, cancel context.CancelFunc) error
		want error
	}{
		{"by its context", func(_ *kafka.Log, cancel context.CancelFunc) error { cancel(); return nil }, nil},
		{"by closing the log", func(l *kafka.Log, _ context.CancelFunc) error { return l.Close() }, nil},
		{"by an error", func(*kafka.Log, context.CancelFunc) error { return failure }, failure},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := options(t)
			l := newLog(t, o, 2)
			ctx, cancel := context.WithCancel(testContext(t))
			defer cancel()
			ended := make(chan error)
			started := make(chan chat.Partition, 2)
			end := make(chan error)
			go func() {
				ended <- l.Assignments(ctx, o.TopicPrefix, func(ctx context.Context, p chat.Partition) error {
					started <- p
					if p.Number == 1 {
						return nil // ends nothing
					}
					select {
					case <-ctx.Done():
						return nil
					case err := <-end:
						return err
					}
				})
			}()
			for range 2 {
				<-started
			}
			if err := test.end(l, cancel); err != nil {
				end <- err
			}
			select {
			case err := <-ended:
				if !errors.Is(err, test.want) {
					t.Errorf("Assignments: %v, want %v", err, test.want)
				}
			case <-time.After(30 * time.Second):
				t.Fatal("Assignments does not end")
			}
		})
	}
}
