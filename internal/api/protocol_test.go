package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/readiness"
)

func TestMethodsAndPaths(t *testing.T) {
	s := start(t)
	a := s.user(t, "user_a")
	notFound := `{"detail":"Not found."}`
	tests := []struct {
		name         string
		method, path string
		status       int
		allow, body  string
	}{
		{"another method", "PUT", "/api/chats/", 405, "GET, HEAD, OPTIONS, POST", `{"detail":"Method \"PUT\" not allowed."}`},
		{"another method without the slash", "GET", "/auth/user/login", 405, "OPTIONS, POST", `{"detail":"Method \"GET\" not allowed."}`},
		{"a method of nobody", "BREW", "/livez", 405, "GET, HEAD, OPTIONS", `{"detail":"Method \"BREW\" not allowed."}`},
		{"head", "HEAD", "/api/chats/", 200, "", ""},
		{"head of what only posts", "HEAD", "/auth/token/login/", 405, "OPTIONS, POST", ""},
		{"options", "OPTIONS", "/api/chats/1/", 204, "GET, HEAD, OPTIONS, PATCH", ""},
		{"unknown path", "GET", "/api/nothing/", 404, "", notFound},
		{"unknown path, written", "POST", "/api/nothing", 404, "", notFound},
		{"two slashes", "POST", "//api/chats/", 404, "", notFound},
		{"two slashes at the end", "POST", "/api/chats//", 404, "", notFound},
		{"dots", "POST", "/api/x/../chats/", 404, "", notFound},
		{"escaped slash", "GET", "/api/chats%2F1/", 404, "", notFound},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := s.want(t, tt.status, call{method: tt.method, path: tt.path, token: a.token})
			if got.body != tt.body && !(tt.method == "HEAD" && got.body == "") {
				t.Errorf("got %s, want %s", got.body, tt.body)
			}
			if allow := got.header.Get("Allow"); allow != tt.allow {
				t.Errorf("got Allow %q, want %q", allow, tt.allow)
			}
			for name, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "no-store",
			} {
				if value := got.header.Get(name); value != want {
					t.Errorf("got %s %q, want %q", name, value, want)
				}
			}
		})
	}
}

// TestFailures: what the log may answer, and how the caller is told.
func TestFailures(t *testing.T) {
	const secretText = "a text that no log may show"
	tests := []struct {
		name       string
		fail       error
		status     int
		retryAfter string
		detail     string
		refused    string
	}{
		{"unavailable", chat.ErrUnavailable, 503, "2", "Temporarily unavailable. Try again later.", "unavailable"},
		{"outcome unknown", fmt.Errorf("%w: %w", chat.ErrOutcomeUnknown, chat.ErrUnavailable), 503, "2", "It is not known whether this was done. Retry with the same Idempotency-Key: it is then done once.", "outcome_unknown"},
		{"no space", chat.ErrNoSpace, 507, "", "The server is out of space.", "no_space"},
		{"record too large", chat.ErrRecordTooLarge, 413, "", "The message is too large.", "invalid"},
		{"lagging", chat.ErrLagging, 503, "2", "History is catching up. Try again later.", "unavailable"},
		{"overloaded", &chat.BusyError{Reason: "Too much.", RetryAfter: 1500 * time.Millisecond}, 503, "2", "Too much.", "unavailable"},
		{"caller too fast", &chat.BusyError{Reason: "Too much.", RetryAfter: 30 * time.Second, Caller: true}, 429, "30", "Request was throttled. Expected available in 30 seconds.", "rate"},
		{"caller a bit too fast", &chat.BusyError{Reason: "Too much.", Caller: true}, 429, "1", "Request was throttled. Expected available in 1 second.", "rate"},
		{"deadline", context.DeadlineExceeded, 503, "2", "That took too long. Try again later.", "unavailable"},
		{"a bug", errors.New("disk on fire"), 500, "", "Internal server error.", "unavailable"},
		{"a panic", errPanic, 500, "", "Internal server error.", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t)
			a := s.user(t, "user_a")
			r := s.session(t, 0, a)
			s.log.failWith(tt.fail)
			got := s.want(t, tt.status, call{method: "POST", path: "/api/chats/" + r.URI + "/messages/", token: a.token, json: `{"message":"` + secretText + `"}`})
			if want := `{"detail":"` + tt.detail + `"}`; got.body != want {
				t.Errorf("got %s, want %s", got.body, want)
			}
			if retryAfter := got.header.Get("Retry-After"); retryAfter != tt.retryAfter {
				t.Errorf("got Retry-After %q, want %q", retryAfter, tt.retryAfter)
			}
			if tt.refused != "" {
				if count := counted(t, s.metrics.Refused.WithLabelValues(tt.refused)); count != 1 {
					t.Errorf("got %v refused as %s, want 1", count, tt.refused)
				}
			}
			logged := s.logged.String()
			wantLines := 0
			if tt.status >= 500 && !strings.Contains(tt.name, "overloaded") {
				wantLines = 1
			}
			if lines := strings.Count(logged, "request failed"); lines != wantLines {
				t.Errorf("got %d log lines, want %d:\n%s", lines, wantLines, logged)
			}
			for _, secret := range []string{secretText, a.token, password} {
				if strings.Contains(logged, secret) {
					t.Errorf("the log shows %q:\n%s", secret, logged)
				}
			}
		})
	}
}

// TestCallerGone: nobody is told, and nothing is logged.
func TestCallerGone(t *testing.T) {
	s := start(t)
	a := s.user(t, "user_a")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	c := call{method: "GET", path: "/api/chats/", token: a.token}
	s.api.Handler().ServeHTTP(w, c.request("http://chat.test").WithContext(ctx))
	if w.Code != 499 || w.Body.Len() != 0 || s.logged.String() != "" {
		t.Errorf("got %d %q and logged %q, want 499 and nothing", w.Code, w.Body, s.logged)
	}
}

func TestHealth(t *testing.T) {
	var away error
	s := start(t, func(s *settings) {
		s.api.Ready = func(context.Context) []readiness.Check {
			return []readiness.Check{{Name: "log"}, {Name: "store", Err: away}}
		}
	})
	check := func(name, path string, status int, body string) {
		t.Helper()
		if got := s.want(t, status, call{method: "GET", path: path}); got.body != body {
			t.Errorf("%s: got %s, want %s", name, got.body, body)
		}
	}
	check("ready", "/readyz", 200, `{"status":"ok","checks":[{"name":"serving","status":"ok"},{"name":"log","status":"ok"},{"name":"store","status":"ok"}]}`)
	away = errors.New("no route to 10.0.0.7")
	check("store away", "/readyz", 503, `{"status":"fail","checks":[{"name":"serving","status":"ok"},{"name":"log","status":"ok"},{"name":"store","status":"fail"}]}`)
	check("alive without the store", "/livez", 200, `{"status":"ok","checks":[]}`)
	away = nil
	s.api.Drain()
	check("draining", "/readyz", 503, `{"status":"draining","checks":[{"name":"serving","status":"draining"},{"name":"log","status":"ok"},{"name":"store","status":"ok"}]}`)
	check("alive while draining", "/livez", 200, `{"status":"ok","checks":[]}`)
}

func TestMetrics(t *testing.T) {
	s := start(t)
	a := s.user(t, "user_a")
	messages := "/api/chats/" + s.session(t, 0, a).URI + "/messages"
	s.want(t, 200, call{method: "POST", path: messages, token: a.token, json: `{"message":"a"}`})
	s.want(t, 400, call{method: "POST", path: messages, token: a.token})
	s.want(t, 404, call{method: "GET", path: "/" + a.token})
	s.want(t, 405, call{method: "BREW", path: "/livez"})
	if count := counted(t, s.metrics.Accepted); count != 1 {
		t.Errorf("got %v accepted, want 1", count)
	}
	if count := counted(t, s.metrics.Refused.WithLabelValues("invalid")); count != 1 {
		t.Errorf("got %v refused, want 1", count)
	}
	for _, labels := range [][3]string{
		{"/api/chats/{uri}/messages/", "POST", "200"}, {"/api/chats/{uri}/messages/", "POST", "400"},
		{"none", "GET", "404"}, {"/livez/", "other", "405"},
	} {
		if !s.metrics.RequestDuration.DeleteLabelValues(labels[:]...) {
			t.Errorf("got no series of %v", labels)
		}
	}
	rest := make(chan prometheus.Metric, 16)
	s.metrics.RequestDuration.Collect(rest)
	if len(rest) != 0 {
		t.Errorf("got %d series more", len(rest))
	}
}

func counted(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

func TestOneHostIsOneAddress(t *testing.T) {
	s := start(t, func(s *settings) {
		s.accounts.LoginsPerAddress = chat.Rate{PerSecond: 0.01, Burst: 2}
	})
	logIn := call{method: "POST", path: "/auth/token/login/", json: `{"username":"user_a","password":"x"}`}
	for range 2 {
		s.want(t, http.StatusBadRequest, logIn)
	}
	got := s.want(t, http.StatusTooManyRequests, logIn)
	if retryAfter := got.header.Get("Retry-After"); retryAfter != "100" {
		t.Errorf("got Retry-After %q, want 100", retryAfter)
	}
	if want := `{"detail":"Request was throttled. Expected available in 100 seconds."}`; got.body != want {
		t.Errorf("got %s, want %s", got.body, want)
	}
}
