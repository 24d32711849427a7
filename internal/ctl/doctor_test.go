package ctl_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chatcluster/chatcluster/internal/doctor"
)

// newProbes is a server whose /livez is well, and whose /readyz answers ready.
func newProbes(t *testing.T, ready int) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			status := map[bool]string{true: "ok", false: "fail"}[ready == http.StatusOK]
			w.WriteHeader(ready)
			fmt.Fprintf(w, `{"status":%q,"checks":[{"name":"gate\u001bway","status":%q}]}`, status, status)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestDoctor(t *testing.T) {
	well, unready := newProbes(t, http.StatusOK), newProbes(t, http.StatusServiceUnavailable)
	a := newTerminal(t)
	delete(a.variables, "CHATCTL_GATEWAY")
	a.variables["CHATCTL_SERVER"] = well
	if got, want := a.must(t, "", "doctor"), "ok    api "+well+"  lives, and is ready\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}

	gateway := strings.Replace(unready, "http", "ws", 1)
	stdout, failure, code := a.run(t, "", "doctor", "--gateway", gateway)
	if want := "FAIL  gateway " + unready + "  lives, but is not ready (503): gate\\u001bway  → wait"; code != 1 || !strings.Contains(stdout, want) {
		t.Errorf("got exit code %d and %q, want 1 and %q", code, stdout, want)
	}
	if want := "1 of 2 checks failed"; failure != want {
		t.Errorf("got error %q, want %q", failure, want)
	}

	stdout, _, code = a.run(t, "", "doctor", "-o", "json", "--gateway", gateway)
	var findings []doctor.Finding
	if err := json.Unmarshal([]byte(stdout), &findings); err != nil || code != 1 || len(findings) != 2 || findings[1].Level != doctor.Fail {
		t.Errorf("got exit code %d and %s, %v, want 1 and two findings", code, stdout, err)
	}
}

func TestDoctorUsage(t *testing.T) {
	a := newTerminal(t)
	clear(a.variables)
	for _, test := range []struct {
		name, want string
		args       []string
	}{
		{"nothing to examine", "kafka-brokers", nil},
		{"half a cluster", "go together", []string{"--kafka-brokers=127.0.0.1:1"}},
		{"a bad URL", "host:80", []string{"--server=host:80"}},
		{"a lag of none", "--lag-fail", []string{"--lag-fail=0"}},
		{"an argument", "chatctl doctor", []string{"all"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			stdout, failure, code := a.run(t, "", append([]string{"doctor"}, test.args...)...)
			if code != 2 || stdout != "" || !strings.Contains(failure, test.want) {
				t.Errorf("got exit code %d, %q and error %q, want 2, nothing and %q", code, stdout, failure, test.want)
			}
		})
	}
}
