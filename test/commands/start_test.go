package commands_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/test/chatdtest"
)

// freeAddress is one at which nothing listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// output keeps what a process prints.
type output struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// A role that starts without its backends says so, to its log once and to the
// probes, and stops when it is told to.
func TestRoleWaitsForItsBackends(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, role := range []struct {
		name, addr string
		cassandra  string
	}{
		{"api", "--api-addr", freeAddress(t)},
		{"gateway", "--gateway-addr", freeAddress(t)},
		{"archive", "--metrics-addr", silent.Addr().String()},
	} {
		t.Run(role.name, func(t *testing.T) {
			address := freeAddress(t)
			cmd := exec.Command(chatdtest.Binary(t, "chatd"), role.name, "--metrics-addr=", role.addr+"="+address,
				"--kafka-brokers="+freeAddress(t), "--cassandra-hosts="+role.cassandra)
			var printed output
			cmd.Stdout, cmd.Stderr = &printed, &printed
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			exited := make(chan error, 1)
			go func() { exited <- cmd.Wait() }()
			defer func() {
				// It may have ended, as it should.
				_ = cmd.Process.Kill()
			}()

			await(t, &printed, func() bool {
				status, _ := probe(t, address, "/livez")
				return status == http.StatusOK
			})
			await(t, &printed, func() bool {
				status, body := probe(t, address, "/readyz")
				return status == http.StatusServiceUnavailable && strings.Contains(body, `"cassandra"`)
			})
			status, body := probe(t, address, "/api/chats/")
			if status != http.StatusServiceUnavailable || !json.Valid([]byte(body)) {
				t.Errorf("a call: got %d %s, want 503 with a body", status, body)
			}
			time.Sleep(2 * time.Second) // for several attempts

			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-exited:
				if err != nil {
					t.Errorf("it ended with %v, want no error", err)
				}
			case <-time.After(3 * time.Second):
				t.Fatalf("it did not stop within 3 s\n%s", &printed)
			}
			if got := strings.Count(printed.String(), "\n"); got != 1 {
				t.Errorf("got %d lines, want one:\n%s", got, &printed)
			}
		})
	}
}

// await waits until a condition holds.
func await(t *testing.T, printed fmt.Stringer, holds func() bool) {
	t.Helper()
	limit := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(limit) {
			t.Fatalf("it did not come to that\n%s", printed)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// probe is the answer of a server, 0 if there is none.
func probe(t *testing.T, address, path string) (status int, body string) {
	t.Helper()
	response, err := http.Get("http://" + address + path)
	if err != nil {
		return 0, ""
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}
