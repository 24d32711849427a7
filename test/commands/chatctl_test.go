package commands_test

import (
	"bufio"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/test/chatdtest"
)

// lines runs chatctl until the test ends and hands over the lines of its
// standard output.
func lines(t *testing.T, args ...string) <-chan string {
	t.Helper()
	cmd := exec.Command(chatdtest.Binary(t, "chatctl"), args...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out := make(chan string, 100)
	go func() {
		defer close(out)
		for scanner := bufio.NewScanner(stdout); scanner.Scan(); {
			out <- scanner.Text()
		}
	}()
	t.Cleanup(func() {
		// SIGINT is how its user ends it, and it ends well.
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Errorf("end chatctl: %v", err)
		}
		for range out {
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("chatctl %s: got %v at its end, want none", strings.Join(args, " "), err)
		}
	})
	return out
}

// next waits for a line that ends in text.
func next(t *testing.T, out <-chan string, text string) {
	t.Helper()
	select {
	case line, open := <-out:
		if !open || !strings.HasSuffix(line, text) {
			t.Fatalf("got the line %q, want one that ends in %q", line, text)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("no line for %q", text)
	}
}

// The receiver survives the server: it comes back, and has each message once.
func TestChatctlReceives(t *testing.T) {
	dir := t.TempDir()
	s := chatdtest.Start(t, dir)
	user := chatdtest.Register(t, s, "amir")
	uri := user.CreateSession(t)
	common := []string{"--server", "http://" + s.API, "--gateway", "ws://" + s.Gateway, "--token", user.Token}
	first := user.Send(t.Context(), uri, "before", "")

	// The raw receiver is that of the original: one connection, no place.
	t.Run("raw", func(t *testing.T) {
		raw := lines(t, append([]string{"receive", "-u", uri, "--raw"}, common...)...)
		awaitSockets(t, s, 1)
		user.Send(t.Context(), uri, "one", "")
		frame := `{"user":{"id":1,"username":"amir","email":"amir@mail.com","first_name":"","last_name":""},"message":"one"}`
		next(t, raw, fmt.Sprintf("%d %s", len(frame), frame))
	})

	out := lines(t, append([]string{"receive", "-u", uri, "--after", first.ID}, common...)...)
	next(t, out, "amir: one")
	s.Kill()
	s = chatdtest.Start(t, dir, "--api-addr", s.API, "--gateway-addr", s.Gateway)
	user.Send(t.Context(), uri, "two", "")
	user.Send(t.Context(), uri, "three", "")
	next(t, out, "amir: two")
	next(t, out, "amir: three")
}

func TestChatctlChecks(t *testing.T) {
	s := chatdtest.Start(t, t.TempDir())
	args := []string{"check", "--server", "http://" + s.API, "--gateway", "ws://" + s.Gateway}
	out, err := exec.Command(chatdtest.Binary(t, "chatctl"), args...).Output()
	if got := strings.Count(string(out), "ok    "); err != nil || got != 6 {
		t.Errorf("got %v and %q, want success and six steps", err, out)
	}
	s.Kill()
	if out, err := exec.Command(chatdtest.Binary(t, "chatctl"), args...).Output(); err == nil || len(out) > 0 {
		t.Errorf("without a server: got %v and %q, want a failure and no step", err, out)
	}
}

// awaitSockets waits until so many sockets are open.
func awaitSockets(t *testing.T, s *chatdtest.Server, n int) {
	t.Helper()
	c := chatdtest.NewClient(s)
	c.API = s.Metrics
	want := fmt.Sprintf("chat_gateway_connections{endpoint=\"session\"} %d\n", n)
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	deadline := time.Now().Add(30 * time.Second)
	for range poll.C {
		answer, err := c.Call(t.Context(), "GET", "/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(answer.Body), want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("there are never %d sockets", n)
		}
	}
}
