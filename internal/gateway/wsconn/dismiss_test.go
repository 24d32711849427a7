package wsconn

import (
	"slices"
	"testing"
	"time"
)

func TestSchedule(t *testing.T) {
	tests := []struct {
		name   string
		n      int
		window time.Duration
		random float64
		want   []time.Duration
	}{
		{"nobody", 0, time.Second, 0.5, []time.Duration{}},
		{"one waits for a random part of the window", 1, time.Second, 0.25, []time.Duration{250 * time.Millisecond}},
		{"each has a part of its own", 4, 4 * time.Second, 0.5, []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond, 2500 * time.Millisecond, 3500 * time.Millisecond}},
		{"the first may come at once", 2, time.Second, 0, []time.Duration{0, 500 * time.Millisecond}},
		{"no window is all at once", 3, 0, 0.5, []time.Duration{0, 0, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := schedule(tt.n, tt.window, func() float64 { return tt.random }); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
