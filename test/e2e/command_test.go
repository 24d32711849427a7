//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// commandTimeout bounds every command; those that wait have bounds of their own
// below it.
const commandTimeout = 15 * time.Minute

// try runs a command and returns its standard output; the error has what it
// said.
func try(ctx context.Context, input, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errOut
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, out.String(), errOut.String())
	}
	return out.String(), nil
}

// run is try for commands that have to succeed. It shows the command.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	return feed(t, "", name, args...)
}

// feed is run with a standard input.
func feed(t *testing.T, input, name string, args ...string) string {
	t.Helper()
	began := time.Now()
	out, err := try(t.Context(), input, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("$ %s %s   # %s", name, strings.Join(args, " "), time.Since(began).Round(100*time.Millisecond))
	return out
}

// get is an object, or a list of them, as kubectl gets it from the namespace.
func get[T any](ctx context.Context, args ...string) (T, error) {
	var object T
	out, err := try(ctx, "", "kubectl", append([]string{"-n", namespace, "get", "-o", "json"}, args...)...)
	if err == nil {
		err = json.Unmarshal([]byte(out), &object)
	}
	return object, err
}

// mustGet is get for what has to be there.
func mustGet[T any](t *testing.T, args ...string) T {
	t.Helper()
	object, err := get[T](t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return object
}

// eventually waits until check has nothing to complain about.
func eventually(t *testing.T, timeout time.Duration, what string, check func(context.Context) error) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	for {
		err := check(ctx)
		if err == nil {
			t.Logf("%s after %s", what, time.Since(began).Round(100*time.Millisecond))
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not within %s: %s: %v", timeout, what, err)
		case <-time.After(time.Second):
		}
	}
}
