package readiness_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatcluster/chatcluster/internal/metrics"
	"github.com/chatcluster/chatcluster/internal/readiness"
	dto "github.com/prometheus/client_model/go"
)

func TestJudge(t *testing.T) {
	away := errors.New("no route to 10.0.0.7")
	tests := []struct {
		name     string
		draining bool
		checks   []readiness.Check
		code     int
		body     string
	}{
		{"nothing to check", false, nil, 200, `{"status":"ok","checks":[{"name":"serving","status":"ok"}]}`},
		{"all hold", false, []readiness.Check{{Name: "kafka"}, {Name: "cassandra", Tolerated: true}}, 200,
			`{"status":"ok","checks":[{"name":"serving","status":"ok"},{"name":"kafka","status":"ok"},{"name":"cassandra","status":"ok"}]}`},
		{"one is needed", false, []readiness.Check{{Name: "kafka", Err: away}, {Name: "cassandra", Tolerated: true}}, 503,
			`{"status":"fail","checks":[{"name":"serving","status":"ok"},{"name":"kafka","status":"fail"},{"name":"cassandra","status":"ok"}]}`},
		{"one is not needed", false, []readiness.Check{{Name: "kafka"}, {Name: "cassandra", Tolerated: true, Err: away}}, 200,
			`{"status":"degraded","checks":[{"name":"serving","status":"ok"},{"name":"kafka","status":"ok"},{"name":"cassandra","status":"degraded"}]}`},
		{"the worst counts", false, []readiness.Check{{Name: "kafka", Err: away}, {Name: "cassandra", Tolerated: true, Err: away}}, 503,
			`{"status":"fail","checks":[{"name":"serving","status":"ok"},{"name":"kafka","status":"fail"},{"name":"cassandra","status":"degraded"}]}`},
		{"the end is the last word", true, []readiness.Check{{Name: "kafka", Err: away}}, 503,
			`{"status":"draining","checks":[{"name":"serving","status":"draining"},{"name":"kafka","status":"fail"}]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			readiness.Handler(func() readiness.Report { return readiness.Judge(tt.draining, tt.checks) }).ServeHTTP(w, nil)
			if got := w.Body.String(); w.Code != tt.code || got != tt.body+"\n" {
				t.Errorf("got %d %s, want %d %s", w.Code, got, tt.code, tt.body)
			}
		})
	}
}

// backend is a dependency that can be made to fail, or to hang.
type backend struct{ fails, hangs atomic.Bool }

func (b *backend) check(ctx context.Context) error {
	switch {
	case b.hangs.Load():
		<-ctx.Done()
		return ctx.Err()
	case b.fails.Load():
		return errors.New("connection refused")
	default:
		return nil
	}
}

func TestWatch(t *testing.T) {
	const grace = 10 * time.Second
	tests := []struct {
		name string
		// lose makes one of the two fail; its name is kafka.
		lose func(kafka *backend)
		away time.Duration
		want bool // whether it is noticed
	}{
		{"a short blip", func(b *backend) { b.fails.Store(true) }, 9 * time.Second, false},
		{"gone for longer than the grace", func(b *backend) { b.fails.Store(true) }, 13 * time.Second, true},
		{"a short silence", func(b *backend) { b.hangs.Store(true) }, 9 * time.Second, false},
		{"silent for longer than the grace", func(b *backend) { b.hangs.Store(true) }, 15 * time.Second, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var kafka, cassandra backend
				up := metrics.New("test").DependencyUp
				w := readiness.NewWatch(
					readiness.Options{Grace: grace, Up: up, Now: time.Now, Logger: slog.New(slog.DiscardHandler)},
					readiness.Dependency{Name: "kafka", Check: kafka.check},
					readiness.Dependency{Name: "cassandra", Check: cassandra.check, Tolerated: true},
				)
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- w.Run(ctx) }()
				time.Sleep(time.Minute)
				expect := func(when string, lost bool, gauge float64) {
					t.Helper()
					checks := w.Checks()
					if len(checks) != 2 || checks[0].Name != "kafka" || checks[1].Name != "cassandra" || !checks[1].Tolerated {
						t.Fatalf("%s: got checks %+v", when, checks)
					}
					if got := checks[0].Err != nil; got != lost || checks[1].Err != nil {
						t.Errorf("%s: got %v and %v, want the first lost: %v", when, checks[0].Err, checks[1].Err, lost)
					}
					var m dto.Metric
					if err := up.WithLabelValues("kafka").Write(&m); err != nil || m.GetGauge().GetValue() != gauge {
						t.Errorf("%s: got gauge %v, %v, want %v", when, m.GetGauge().GetValue(), err, gauge)
					}
				}
				expect("at first", false, 1)
				tt.lose(&kafka)
				time.Sleep(tt.away)
				expect("while away", tt.want, 0)
				kafka.fails.Store(false)
				kafka.hangs.Store(false)
				time.Sleep(5 * time.Second)
				expect("when it is back", false, 1)
				stop()
				if err := <-done; err != nil {
					t.Errorf("Run ended with %v", err)
				}
			})
		})
	}
}
