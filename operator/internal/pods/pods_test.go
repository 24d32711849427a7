package pods_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/goleak"

	"github.com/chatcluster/chatcluster/internal/metrics"
	"github.com/chatcluster/chatcluster/internal/readiness"
	"github.com/chatcluster/chatcluster/operator/internal/pods"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve is a pod, and its address.
func serve(t *testing.T, pod http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(pod)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// answer is a pod that answers everything with a body.
func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// hang is a pod that takes no notice of anyone until its client leaves.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

const gauge = "chat_gateway_connections"

func TestGauge(t *testing.T) {
	const series = "# TYPE chat_gateway_connections gauge\nchat_gateway_connections{endpoint=\"session\"} "
	filler := strings.Repeat("# a comment of some length, again and again\n", 1+pods.MaxMetrics/44)
	tests := []struct {
		name string
		pod  http.HandlerFunc
		want float64
		err  string // part of the error
	}{
		{"one series", answer(200, series+"7\n"), 7, ""},
		{"the sum", answer(200, series+"7\nchat_gateway_connections{endpoint=\"stream\"} 5\nother 9\n"), 12, ""},
		{"in an exponent", answer(200, series+"1.2e+04\n"), 12000, ""},
		{"not there", answer(200, "other 9\n"), 0, "no such gauge"},
		{"without series", answer(200, "# TYPE chat_gateway_connections gauge\n"), 0, "no such gauge"},
		{"a counter", answer(200, "# TYPE chat_gateway_connections counter\nchat_gateway_connections 7\n"), 0, "no such gauge"},
		{"nothing", answer(200, ""), 0, "no such gauge"},
		{"a page", answer(200, "<!doctype html><p>hello"), 0, "text format"},
		{"broken off", answer(200, series+"7"), 0, "unexpected end"},
		{"no number", answer(200, series+"NaN\n"), 0, "no amount"},
		{"infinite", answer(200, series+"+Inf\n"), 0, "no amount"},
		{"negative", answer(200, series+"-1\n"), 0, "no amount"},
		{"an error", answer(503, "the reason\nand more"), 0, "503 Service Unavailable: the reason"},
		{"an error without a word", answer(500, ""), 0, "500 Internal Server Error"},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/metrics" {
				answer(200, series+"7\n")(w, r)
				return
			}
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}, 0, "302 Found"},
		// The limit is at the end of a line here, where a cut is no error of the
		// format: the sum must not be of the first part.
		{"huge", answer(200, series+"7\n"+filler), 0, "too large"},
		{"huge in one line", answer(200, series+strings.Repeat("7", pods.MaxMetrics)), 0, "too large"},
		{"hangs", hang, 0, "Timeout exceeded"},
		{"hangs in the body", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, series+"7\n")
			_ = http.NewResponseController(w).Flush()
			hang(w, r)
		}, 0, "context deadline exceeded"},
	}
	reader := pods.New(pods.Options{Timeout: 300 * time.Millisecond})
	patient := pods.New(pods.Options{Timeout: time.Minute}) // for a slow machine
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := patient
			if strings.HasPrefix(test.name, "hangs") {
				r = reader
			}
			got, err := r.Gauge(t.Context(), serve(t, test.pod), gauge)
			if test.err == "" && (err != nil || got != test.want) {
				t.Errorf("got %v, %v, want %v", got, err, test.want)
			}
			if test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("got %v, %v, want an error with %q", got, err, test.err)
			}
		})
	}
	if _, err := reader.Gauge(t.Context(), serve(t, answer(200, "")), gauge); !errors.Is(err, pods.ErrNoGauge) {
		t.Errorf("got %v, want ErrNoGauge", err)
	}
	if _, err := reader.Gauge(t.Context(), "not an address", gauge); err == nil {
		t.Error("an address that is none: got no error")
	}
}

// TestGaugeOfTheServer reads what chatd serves.
func TestGaugeOfTheServer(t *testing.T) {
	m := metrics.New("test")
	m.Connections.WithLabelValues(metrics.EndpointSession).Set(40)
	m.Connections.WithLabelValues(metrics.EndpointStream).Set(2)
	addr := serve(t, promhttp.HandlerFor(m.Registry, promhttp.HandlerOpts{}).ServeHTTP)
	if got, err := pods.New(pods.Options{}).Gauge(t.Context(), addr, gauge); err != nil || got != 42 {
		t.Errorf("got %v, %v, want 42", got, err)
	}
}

func TestGauges(t *testing.T) {
	var now, most atomic.Int32
	pod := func(value int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			n := now.Add(1)
			defer now.Add(-1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			time.Sleep(5 * time.Millisecond) // so that they would overlap
			answer(200, fmt.Sprintf("# TYPE %s gauge\n%s %d\n", gauge, gauge, value))(w, r)
		}
	}
	addrs := map[string]string{"broken": serve(t, answer(500, "")), "hangs": serve(t, hang)}
	for i := range 40 {
		addrs[fmt.Sprint(i)] = serve(t, pod(i))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	values, failed := pods.New(pods.Options{Timeout: 2 * time.Second}).Gauges(ctx, addrs, gauge)
	if len(values) != 40 || len(failed) != 2 || failed["broken"] == nil || failed["hangs"] == nil {
		t.Errorf("got %d values and errors %v, want 40, and errors of broken and hangs", len(values), failed)
	}
	for i := range 40 {
		if got := values[fmt.Sprint(i)]; got != float64(i) {
			t.Errorf("pod %d: got %v", i, got)
		}
	}
	if n := most.Load(); n > 8 {
		t.Errorf("%d pods were asked at once, want 8 at most", n)
	}
}

// TestGaugesEndWithTheContext: many pods that hang take no longer than the
// caller has time.
func TestGaugesEndWithTheContext(t *testing.T) {
	addr := serve(t, hang)
	addrs := map[string]string{}
	for i := range 100 {
		addrs[fmt.Sprint(i)] = addr
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	values, failed := pods.New(pods.Options{Timeout: time.Hour}).Gauges(ctx, addrs, gauge)
	if len(values) != 0 || len(failed) != len(addrs) {
		t.Errorf("got %d values and %d errors, want 0 and %d", len(values), len(failed), len(addrs))
	}
}

func TestFailing(t *testing.T) {
	const ready = `{"status":"ok","checks":[{"name":"serving","status":"ok"}]}`
	tests := []struct {
		name string
		pod  http.HandlerFunc
		want []string
		err  string // part of the error
	}{
		{"ready", answer(200, ready), nil, ""},
		{"meanwhile ready", answer(503, ready), nil, ""},
		{"one check", answer(503, `{"status":"fail","checks":[{"name":"serving","status":"ok"},{"name":"kafka","status":"fail"},{"name":"cassandra","status":"degraded"}]}`), []string{"kafka"}, ""},
		{"the end", answer(503, `{"status":"draining","checks":[{"name":"serving","status":"draining"}]}`), []string{"serving"}, ""},
		{"a name that is none", answer(503, `{"checks":[{"name":"a\n\u0000`+strings.Repeat("b", 99)+`","status":"fail"}]}`), []string{"a" + strings.Repeat("b", 37)}, ""},
		{"no report", answer(503, "busy\nand more"), nil, "503 Service Unavailable"},
		{"huge", answer(503, `{"checks":[`+strings.Repeat(" ", 1<<20)), nil, "503 Service Unavailable"},
		{"not there", answer(404, "no such page"), nil, "404 Not Found: no such page"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := pods.New(pods.Options{}).Failing(t.Context(), serve(t, test.pod))
			if test.err == "" && (err != nil || !slices.Equal(got, test.want)) {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
			if test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("got %q, %v, want an error with %q", got, err, test.err)
			}
		})
	}
	if _, err := pods.New(pods.Options{Timeout: 100 * time.Millisecond}).Failing(t.Context(), serve(t, hang)); err == nil {
		t.Error("a pod that hangs: got no error")
	}
}

// TestFailingOfTheServer reads what chatd serves.
func TestFailingOfTheServer(t *testing.T) {
	report := readiness.Judge(false, []readiness.Check{{Name: "kafka", Err: errors.New("no route")}, {Name: "cassandra", Tolerated: true}})
	addr := serve(t, readiness.Handler(func() readiness.Report { return report }).ServeHTTP)
	if got, err := pods.New(pods.Options{}).Failing(t.Context(), addr); err != nil || !slices.Equal(got, []string{"kafka"}) {
		t.Errorf("got %q, %v, want kafka", got, err)
	}
}

// TestNoConnectionIsKept, neither for the next time nor because an answer was not
// read to its end.
func TestNoConnectionIsKept(t *testing.T) {
	var opened, closed atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := "short"
		if r.URL.Path == "/readyz" {
			body = strings.Repeat("a", 8<<20)
		}
		answer(500, body)(w, r)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			opened.Add(1)
		case http.StateClosed:
			closed.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	addr, reader := server.Listener.Addr().String(), pods.New(pods.Options{Timeout: time.Minute})
	for range 3 {
		if _, err := reader.Gauge(t.Context(), addr, gauge); err == nil {
			t.Error("got no error")
		}
		if _, err := reader.Failing(t.Context(), addr); err == nil {
			t.Error("got no error")
		}
	}
	for deadline := time.Now().Add(10 * time.Second); closed.Load() < opened.Load() || opened.Load() < 6; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections were opened and %d closed, want 6 of each", opened.Load(), closed.Load())
		}
	}
}

func TestShed(t *testing.T) {
	var asked string
	gateway := func(status int, body string) string {
		return serve(t, func(w http.ResponseWriter, r *http.Request) {
			asked = r.Method + " " + r.URL.String()
			answer(status, body)(w, r)
		})
	}
	reader := pods.New(pods.Options{})
	got, err := reader.Shed(t.Context(), gateway(202, `{"sockets":20,"window":"8s"}`), 25, 8*time.Second)
	if err != nil || got != 20 {
		t.Errorf("got %d, %v, want 20", got, err)
	}
	if want := "POST /admin/shed?sockets=25&window=8s"; asked != want {
		t.Errorf("asked %s, want %s", asked, want)
	}
	if _, err := reader.Shed(t.Context(), gateway(409, "already"), 1, 0); !errors.Is(err, pods.ErrShedding) {
		t.Errorf("got %v, want ErrShedding", err)
	}
	for _, status := range []int{200, 307, 400, 403, 404, 503} {
		if _, err := reader.Shed(t.Context(), gateway(status, "why"), 1, 0); err == nil || !strings.Contains(err.Error(), "why") {
			t.Errorf("answer %d: got %v, want an error that says why", status, err)
		}
	}
	if _, err := reader.Shed(t.Context(), gateway(202, "ok"), 1, 0); err == nil {
		t.Error("an answer that is no JSON: got no error")
	}
}

func FuzzGauge(f *testing.F) {
	for _, seed := range []string{
		"", "# TYPE g gauge\ng 7\n", "# TYPE g gauge\ng{a=\"b\"} 7\ng{a=\"c\"} 1e3 1234\n", "g 1\n", "# TYPE g histogram\ng_bucket{le=\"+Inf\"} 1\n",
		"{\"g\"} 1\n", "# TYPE g gauge\ng{\n", "# HELP g \\x\n# TYPE g gauge\ng NaN\n", "<html>",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := pods.SumOf(strings.NewReader(text), "g")
		if err != nil && got != 0 {
			t.Errorf("got %v with the error %v", got, err)
		}
		if !(got >= 0 && !math.IsInf(got, 1)) {
			t.Errorf("got %v, which is no amount", got)
		}
	})
}
