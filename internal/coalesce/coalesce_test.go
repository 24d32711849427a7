package coalesce_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatcluster/chatcluster/internal/coalesce"
)

// TestShared: those who ask while a question is on its way get one answer, to
// the next.
func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		a := coalesce.New(func(_ context.Context, key string) (string, error) {
			n := asked.Add(1)
			time.Sleep(time.Second)
			return fmt.Sprint(key, n), nil
		})
		var group sync.WaitGroup
		answers := make(chan string, 12)
		call := func(key string) {
			group.Go(func() {
				answer, err := a.Ask(t.Context(), key)
				if err != nil {
					t.Error(err)
				}
				answers <- answer
			})
		}
		call("a")
		synctest.Wait()
		for range 10 {
			call("a")
		}
		synctest.Wait()
		time.Sleep(500 * time.Millisecond)
		call("a")
		group.Wait()
		close(answers)
		got := map[string]int{}
		for answer := range answers {
			got[answer]++
		}
		if want := map[string]int{"a1": 1, "a2": 11}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("answers: %v, want %v", got, want)
		}
	})
}

// TestKeys: one key does not wait for another.
func TestKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := coalesce.New(func(_ context.Context, key int) (int, error) {
			time.Sleep(time.Second)
			return key, nil
		})
		start := time.Now()
		var group sync.WaitGroup
		for key := range 3 {
			group.Go(func() {
				if got, err := a.Ask(t.Context(), key); got != key || err != nil {
					t.Errorf("Ask(%d): %d, %v", key, got, err)
				}
			})
		}
		group.Wait()
		if took := time.Since(start); took != time.Second {
			t.Errorf("three keys took %v, want %v", took, time.Second)
		}
	})
}

// TestErrors: all who shared a question get its error, the next ones do not.
func TestErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failure := errors.New("failure")
		var fails atomic.Bool
		fails.Store(true)
		a := coalesce.New(func(context.Context, int) (int, error) {
			time.Sleep(time.Second)
			if fails.Load() {
				return 0, failure
			}
			return 7, nil
		})
		if _, err := a.Ask(t.Context(), 0); !errors.Is(err, failure) {
			t.Errorf("Ask: %v, want %v", err, failure)
		}
		fails.Store(false)
		wantSeven(t, a)
	})
}

func wantSeven(t *testing.T, a *coalesce.Asker[int, int]) {
	t.Helper()
	if got, err := a.Ask(t.Context(), 0); got != 7 || err != nil {
		t.Errorf("Ask: %d, %v, want 7", got, err)
	}
}

// TestCallerLeaves: the others get the answer that one does not wait for.
func TestCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := coalesce.New(func(context.Context, int) (int, error) {
			time.Sleep(time.Second)
			return 7, nil
		})
		var group sync.WaitGroup
		stay := func() { wantSeven(t, a) }
		group.Go(stay)
		synctest.Wait() // the next ones share a question
		hurried, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		group.Go(func() {
			if _, err := a.Ask(hurried, 0); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Ask: %v, want %v", err, context.DeadlineExceeded)
			}
		})
		group.Go(stay)
		group.Wait()
	})
}

// TestFinderGivesUp: who finds the answer for all gives up, by the end of its
// context or by a panic, and another one finds it.
func TestFinderGivesUp(t *testing.T) {
	for _, panics := range []bool{false, true} {
		t.Run(fmt.Sprintf("panics=%t", panics), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				type hurry struct{}
				a := coalesce.New(func(ctx context.Context, _ int) (int, error) {
					time.Sleep(time.Second)
					if ctx.Value(hurry{}) != nil && panics {
						panic("on purpose")
					}
					return 7, ctx.Err()
				})
				var group sync.WaitGroup
				stay := func() { wantSeven(t, a) }
				group.Go(stay)
				synctest.Wait() // the next ones share a question
				hurried, cancel := context.WithTimeout(context.WithValue(t.Context(), hurry{}, true), 1500*time.Millisecond)
				defer cancel()
				group.Go(func() {
					defer func() { _ = recover() }()
					if _, err := a.Ask(hurried, 0); err == nil {
						t.Error("Ask: no error for one who gave up")
					}
				})
				for range 3 {
					group.Go(stay)
				}
				group.Wait()
				if n := a.Lines(); n != 0 {
					t.Errorf("%d keys are left, want none", n)
				}
			})
		})
	}
}

// TestNeverOlderThanTheCall counts up, and wants answers that have at least what
// was counted before the question, while some askers give up.
func TestNeverOlderThanTheCall(t *testing.T) {
	var counts [3]atomic.Int64
	a := coalesce.New(func(ctx context.Context, key int) (int64, error) { return counts[key].Load(), ctx.Err() })
	var group sync.WaitGroup
	for caller := range 8 {
		group.Go(func() {
			for i := range 2000 {
				key := i % len(counts)
				before := counts[key].Add(1)
				ctx, cancel := context.WithCancel(t.Context())
				if (caller+i)%3 == 0 {
					go cancel()
				}
				if got, err := a.Ask(ctx, key); err == nil && got < before || err != nil && ctx.Err() == nil {
					t.Errorf("Ask: %d, %v, want at least %d", got, err, before)
				}
				cancel()
			}
		})
	}
	group.Wait()
	if n := a.Lines(); n != 0 {
		t.Errorf("%d keys are left, want none", n)
	}
}
