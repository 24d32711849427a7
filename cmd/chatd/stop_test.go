package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatcluster/chatcluster/internal/config"
	"github.com/chatcluster/chatcluster/internal/gateway"
)

func TestStopWithin(t *testing.T) {
	failed := errors.New("failed")
	tests := []struct {
		name     string
		takes    time.Duration // from the stop on; negative: it ends by itself
		err      error
		wantTook time.Duration
		givenUp  bool
	}{
		{"ends by itself", -1, failed, 0, false},
		{"stops in time", 4 * time.Second, failed, 4 * time.Second, false},
		{"hangs", time.Hour, nil, 5 * time.Second, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				if tt.takes >= 0 {
					stop()
				}
				begin := time.Now()
				err := stopWithin(ctx, 5*time.Second, func() error {
					time.Sleep(max(tt.takes, 0))
					return tt.err
				})
				if took := time.Since(begin); took != tt.wantTook {
					t.Errorf("took %s, want %s", took, tt.wantTook)
				}
				time.Sleep(max(tt.takes, 0)) // what is given up ends some time
				if givenUp := err != nil && err != failed; givenUp != tt.givenUp {
					t.Errorf("got error %v, want given up: %v", err, tt.givenUp)
				}
			})
		})
	}
}

// The grace period that operators are told has to cover the gateway's drain,
// and leave something for what stops after it.
func TestStopRestCoversTheDrain(t *testing.T) {
	if config.StopRest <= gateway.DrainEnd {
		t.Errorf("the gateway may take %s after the window, and the whole only %s", gateway.DrainEnd, config.StopRest)
	}
}
