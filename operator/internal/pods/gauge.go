package pods

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"sync"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"
)

// ErrNoGauge is the error where a pod has no gauge of the name.
var ErrNoGauge = errors.New("no such gauge")

// Gauge reads the pod's /metrics and sums the series of the gauge. It fails
// where the pod does not answer in time or answers something else, where the
// gauge is not there (ErrNoGauge), and where the sum is no number from 0 on.
func (r *Reader) Gauge(ctx context.Context, addr, metric string) (float64, error) {
	var sum float64
	err := r.ask(ctx, http.MethodGet, addr, "/metrics", nil, func(answer *http.Response) error {
		if answer.StatusCode != http.StatusOK {
			return unexpected(answer)
		}
		var err error
		sum, err = sumOf(http.MaxBytesReader(nil, answer.Body, maxMetrics), metric)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", metric, err)
	}
	return sum, nil
}

// Gauges is Gauge of many pods, by name, a few at a time: each has either a value
// or an error. When ctx ends, those that have not answered have its error.
func (r *Reader) Gauges(ctx context.Context, addrs map[string]string, metric string) (values map[string]float64, failed map[string]error) {
	var (
		mu    sync.Mutex // guards values and failed
		group errgroup.Group
	)
	values, failed = map[string]float64{}, map[string]error{}
	group.SetLimit(concurrent)
	for name, addr := range addrs {
		group.Go(func() error {
			value, err := r.Gauge(ctx, addr, metric)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed[name] = err
			} else {
				values[name] = value
			}
			return nil
		})
	}
	_ = group.Wait() // errors are in failed
	return values, failed
}

// sumOf sums the series of a gauge in Prometheus' text format.
func sumOf(text io.Reader, metric string) (float64, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(text)
	if err != nil {
		return 0, err
	}
	family := families[metric]
	if family.GetType() != dto.MetricType_GAUGE || len(family.GetMetric()) == 0 {
		return 0, ErrNoGauge
	}
	var sum float64
	for _, m := range family.GetMetric() {
		sum += m.GetGauge().GetValue()
	}
	if !(sum >= 0) || math.IsInf(sum, 1) {
		return 0, fmt.Errorf("%v is no amount", sum)
	}
	return sum, nil
}
