package client_test

import (
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/client"
)

func TestDelay(t *testing.T) {
	tests := []struct {
		name   string
		n      int
		asked  time.Duration
		random float64
		want   time.Duration
	}{
		{"the first retry is spread too", 0, 0, 0.25, 500 * time.Millisecond},
		{"the span doubles", 1, 0, 0.5, 2 * time.Second},
		{"and doubles again", 2, 0, 0.5, 4 * time.Second},
		{"up to its maximum", 4, 0, 0.5, 15 * time.Second},
		{"and stays there", 1 << 30, 0, 0.5, 15 * time.Second},
		{"the server's wish is a minimum", 0, 7 * time.Second, 0, 7 * time.Second},
		{"with the spread on top", 0, 7 * time.Second, 0.5, 8 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := client.Delay(tt.n, tt.asked, tt.random); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestRetryableClose(t *testing.T) {
	tests := []struct {
		name  string
		codes []int
		want  bool
	}{
		{"standard codes of shutdown, overload and breakdown", []int{1000, 1001, 1005, 1006, 1011, 1012, 1013}, true},
		{"standard codes that would come again", []int{1002, 1003, 1007, 1008, 1009, 1010}, false},
		{"the server's retryable range", []int{4000, 4008, 4400, 4402, 4404, 4499}, true},
		{"token dead, removed", []int{4401, 4403}, false},
		{"the server's terminal range", []int{4500, 4999}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, code := range tt.codes {
				if got := client.RetryableClose(code); got != tt.want {
					t.Errorf("code %d: got %v, want %v", code, got, tt.want)
				}
			}
		})
	}
}
