package lifecycle_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/chatcluster/chatcluster/internal/lifecycle"
)

func TestStopsStageByStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopped := make(chan string, 3)
		part := func(name string) lifecycle.Part {
			return lifecycle.Part{Name: name, Run: func(ctx context.Context) error {
				<-ctx.Done()
				stopped <- name
				return nil
			}}
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- lifecycle.Run(ctx, []lifecycle.Part{part("a")}, []lifecycle.Part{part("b")}, []lifecycle.Part{part("c")})
		}()
		synctest.Wait()
		if len(stopped) != 0 {
			t.Fatalf("%q stopped before it was told to", <-stopped)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("got %v, want no error", err)
		}
		got := []string{<-stopped, <-stopped, <-stopped}
		if want := []string{"a", "b", "c"}; !slices.Equal(got, want) {
			t.Errorf("stopped in the order %q, want %q", got, want)
		}
	})
}

func TestOneFailureStopsAll(t *testing.T) {
	broken := errors.New("broken")
	for _, tc := range []struct {
		name   string
		result error
		want   string
	}{
		{"error", broken, "b: broken"},
		{"early end", nil, "b: stopped by itself"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := lifecycle.Run(t.Context(),
				[]lifecycle.Part{{Name: "a", Run: func(ctx context.Context) error { <-ctx.Done(); return nil }}},
				[]lifecycle.Part{{Name: "b", Run: func(context.Context) error { return tc.result }}},
			)
			if err == nil || err.Error() != tc.want {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
