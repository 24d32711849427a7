// Package commands_test runs the server's sub-commands and its refusals, as an
// operator meets them.
package commands_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/chatcluster/chatcluster/internal/clean"
	"github.com/chatcluster/chatcluster/test/chatdtest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	chatdtest.RemoveBinaries()
	os.Exit(code)
}

// chatd runs a sub-command that has to succeed, and returns what it printed.
func chatd(t *testing.T, input string, args ...string) string {
	t.Helper()
	stdout, stderr, err := chatdtest.Run(t, input, "chatd", args...)
	if err != nil {
		t.Fatalf("chatd %s: %v\n%s%s", strings.Join(args, " "), err, stdout, stderr)
	}
	return stdout
}

// refused runs a call of chatd that has to fail, and checks how.
func refused(t *testing.T, code int, says []string, args ...string) {
	t.Helper()
	stdout, stderr, err := chatdtest.Run(t, chatdtest.Password+"\n", "chatd", args...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != code {
		t.Fatalf("chatd %s: got %v, want exit code %d\n%s%s", strings.Join(args, " "), err, code, stdout, stderr)
	}
	for _, want := range says {
		if !strings.Contains(stderr, want) {
			t.Errorf("chatd %s: the error does not say %q: %s", strings.Join(args, " "), want, stderr)
		}
	}
}

func TestVersion(t *testing.T) {
	if got := chatd(t, "", "version"); !strings.HasPrefix(got, "chatd ") {
		t.Errorf("got %q, want chatd and its version", got)
	}
}

// Both commands work whether or not a server runs on the data directory.
func TestOnDataDirectory(t *testing.T) {
	for _, running := range []bool{true, false} {
		t.Run(fmt.Sprintf("running %t", running), func(t *testing.T) {
			// The path is too long for a socket in it.
			dir := filepath.Join(t.TempDir(), strings.Repeat("long", 25))
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			s := chatdtest.Start(t, dir)
			user := chatdtest.Register(t, s, "amir")
			uri := user.CreateSession(t)
			for n := range 5 {
				user.Send(t.Context(), uri, fmt.Sprint(n), "")
			}
			if !running {
				s.Stop(t)
			}

			made := chatd(t, chatdtest.Password+"\n", "create-superuser", "--data-dir", dir, "--username", "root", "--email", "root@mail.com", "--password-stdin")
			if want := "Superuser root created with id 2.\n"; made != want {
				t.Errorf("create-superuser: got %q, want %q", made, want)
			}
			refused(t, 1, []string{"username", "already exists"},
				"create-superuser", "--data-dir", dir, "--username", "amir", "--password-stdin")

			for _, step := range []struct {
				args    []string
				deleted int
			}{
				{[]string{"-d", "2"}, 0},
				{[]string{"-d", "0", "--dry-run"}, 5},
				{[]string{"-d", "0"}, 5},
				{[]string{"-d", "0"}, 0},
			} {
				var report clean.Report
				out := chatd(t, "", append([]string{"clean", "--data-dir", dir}, step.args...)...)
				if err := json.Unmarshal([]byte(out), &report); err != nil || report.Deleted != step.deleted {
					t.Errorf("clean %s: got %s, %v, want %d deleted", strings.Join(step.args, " "), out, err, step.deleted)
				}
			}

			if !running {
				s = chatdtest.Start(t, dir)
				user.API, user.Gateway = s.API, s.Gateway
			}
			root := chatdtest.NewClient(s)
			root.Username = "root"
			root.Login(t)
			root.MustCall(t, http.MethodGet, "/api/admin/users/", nil)
			if left, err := user.WholeHistory(t.Context(), uri); err != nil || len(left) != 0 {
				t.Errorf("history after the clean: got %d messages, %v, want none", len(left), err)
			}
			s.Stop(t)
		})
	}
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	s := chatdtest.Start(t, dir)
	foreign := t.TempDir()
	if err := os.MkdirAll(filepath.Join(foreign, "store"), 0o700); err != nil {
		t.Fatal(err)
	}
	precious := filepath.Join(foreign, "store", "precious.txt")
	if err := os.WriteFile(precious, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	free := []string{"--api-addr=127.0.0.1:0", "--gateway-addr=127.0.0.1:0", "--metrics-addr="}
	for _, tc := range []struct {
		name string
		code int
		says []string
		args []string
	}{
		{"unknown flag", 2, []string{"--nonsense", "--help"}, []string{"--nonsense"}},
		{"unknown command", 1, []string{"nonsense"}, []string{"nonsense"}},
		{"bad configuration", 2, []string{"api-addr", "session-access", "message-ttl"},
			[]string{"--api-addr=x", "--session-access=y", "--message-ttl=1ns"}},
		{"clean without days", 1, []string{"days"}, []string{"clean", "--data-dir", dir}},
		{"clean of negative days", 2, []string{"days", "between 0 and"}, []string{"clean", "--data-dir", dir, "-d", "-1"}},
		{"clean with a report file in no folder", 1, []string{"report file", filepath.Join(dir, "none", "report")},
			[]string{"clean", "--data-dir", dir, "-d", "2", "--report-file", filepath.Join(dir, "none", "report")}},
		{"clean with a report file that is full", 1, []string{"report file", "/dev/full"},
			[]string{"clean", "--data-dir", dir, "-d", "2", "--report-file", "/dev/full"}},
		{"superuser without a terminal", 2, []string{"--username", "--password-stdin"}, []string{"create-superuser", "--data-dir", dir}},
		{"data directory in use", 1, []string{"another chatd", dir}, append([]string{"--data-dir", dir}, free...)},
		{"address in use", 1, []string{"api-addr", s.API}, append([]string{"--data-dir", t.TempDir(), "--api-addr", s.API}, free[1:]...)},
		{"foreign data directory", 1, []string{"store"}, append([]string{"--data-dir", foreign}, free...)},
	} {
		t.Run(tc.name, func(t *testing.T) { refused(t, tc.code, tc.says, tc.args...) })
	}
	if content, err := os.ReadFile(precious); err != nil || string(content) != "mine" {
		t.Errorf("the foreign file: got %q, %v, want it untouched", content, err)
	}
}

// A report file holds what is printed, and nothing of an earlier clean.
func TestReportFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(t.TempDir(), "report")
	clean := []string{"clean", "--data-dir", dir, "-d", "2", "--report-file", path}
	for _, before := range []string{"", strings.Repeat("an earlier report\n", 100)} {
		if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		printed := chatd(t, "", clean...)
		if content, err := os.ReadFile(path); err != nil || string(content) != printed || !json.Valid(content) {
			t.Errorf("report file: got %q, %v, want %q", content, err, printed)
		}
	}
	clean[2] = path // no data directory
	refused(t, 1, []string{path}, clean...)
	if content, err := os.ReadFile(path); err != nil || len(content) > 0 {
		t.Errorf("report file of a clean that failed: got %q, %v, want it empty", content, err)
	}
}

// Damage to acknowledged data is refused, not repaired by forgetting.
func TestDamagedLogIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := chatdtest.Start(t, dir)
	user := chatdtest.Register(t, s, "amir")
	uri := user.CreateSession(t)
	for n := range 20 {
		user.Send(t.Context(), uri, fmt.Sprint("message ", n), "")
	}
	s.Kill()
	segments, err := filepath.Glob(filepath.Join(dir, "log", "messages", "0", "*.seg"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("segments: got %q, %v, want some", segments, err)
	}
	content, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	middle := strings.Index(string(content), "message 5")
	if middle < 0 {
		t.Fatal("the segment does not hold the message")
	}
	content[middle] ^= 1
	if err := os.WriteFile(segments[0], content, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, 1, []string{segments[0]}, "--data-dir", dir, "--api-addr=127.0.0.1:0", "--gateway-addr=127.0.0.1:0", "--metrics-addr=")
	if after, err := os.ReadFile(segments[0]); err != nil || string(after) != string(content) {
		t.Errorf("the damaged segment was changed (%v)", err)
	}
}

func TestHealthAndMetrics(t *testing.T) {
	s := chatdtest.Start(t, t.TempDir())
	c := chatdtest.NewClient(s)
	for _, path := range []string{"/livez", "/readyz", "/api/openapi.json"} {
		if answer, err := c.Call(t.Context(), http.MethodGet, path, nil); err != nil || answer.Status != http.StatusOK {
			t.Errorf("%s: got %d, %v, want 200", path, answer.Status, err)
		}
	}
	user := chatdtest.Register(t, s, "amir")
	uri := user.CreateSession(t)
	user.Send(t.Context(), uri, "hi", "")
	c.API = s.Metrics
	answer, err := c.Call(t.Context(), http.MethodGet, "/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"chat_messages_accepted_total 1\n",
		`chat_messages_refused_total{reason="rate"} 0`,
		`chat_gateway_connections{endpoint="session"} 0`,
		`chat_gateway_closed_total{endpoint="stream",reason="slow"} 0`,
		"chat_append_duration_seconds_count 1\n",
		"chat_build_info{",
	} {
		if !strings.Contains(string(answer.Body), want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}

// A server that is told to stop ends well, and soon, also with sockets open.
func TestStopsWithSocketsOpen(t *testing.T) {
	s := chatdtest.Start(t, t.TempDir())
	user := chatdtest.Register(t, s, "amir")
	conn, err := net.Dial("tcp", s.Gateway)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	uri := user.CreateSession(t)
	fmt.Fprintf(conn, "GET /%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Token %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", uri, s.Gateway, user.Token)
	answer := make([]byte, 12)
	if _, err := conn.Read(answer); err != nil || string(answer) != "HTTP/1.1 101" {
		t.Fatalf("handshake: got %q, %v, want 101", answer, err)
	}
	s.Signal(t, syscall.SIGTERM)
	s.Stop(t)
}
