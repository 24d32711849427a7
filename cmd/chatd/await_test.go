package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/log/kafka"
	"github.com/chatcluster/chatcluster/internal/store/cassandra"
)

func TestLacking(t *testing.T) {
	away := fmt.Errorf("connection refused: %w", chat.ErrUnavailable)
	for _, tc := range []struct {
		name string
		err  error
		want string
	}{
		{"Cassandra is away", &backendError{"cassandra", away}, "cassandra"},
		{"Kafka is away", &backendError{"kafka", away}, "kafka"},
		{"no schema", &backendError{"cassandra", &cassandra.SchemaError{Found: 0, Want: 2}}, "schema"},
		{"an older schema", &backendError{"cassandra", &cassandra.SchemaError{Found: 1, Want: 2}}, "schema"},
		{"a newer schema", &backendError{"cassandra", &cassandra.SchemaError{Found: 3, Want: 2}}, ""},
		{"wrong credentials at Cassandra", &backendError{"cassandra", errors.New("bad credentials")}, ""},
		{"wrong credentials at Kafka", &backendError{"kafka", &kafka.DeniedError{Err: errors.New("bad credentials")}}, ""},
		{"a topic with bad settings", &backendError{"kafka", &kafka.MismatchError{}}, ""},
		{"a password file that is missing", errors.New("no such file"), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := lacking(tc.err); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// A start waits for what can come, tells once of each thing that is lacking,
// asks ever less often, and gives up on what stays wrong or when it is told to.
func TestAwaitBackends(t *testing.T) {
	lacks := func(name string) error { return &backendError{name, chat.ErrUnavailable} }
	stays := &backendError{"cassandra", errors.New("bad credentials")}
	for _, tc := range []struct {
		name string
		// answer is what open says at a time since the start; nil is success.
		answer func(time.Duration) error
		// stopAfter ends the ctx; 0 does not.
		stopAfter time.Duration
		want      error
		told      string
		atMost    int // attempts
	}{
		{"all is there", func(time.Duration) error { return nil }, 0, nil, "", 1},
		{"one after the other comes", func(d time.Duration) error {
			switch {
			case d < time.Minute:
				return lacks("cassandra")
			case d < 2*time.Minute:
				return lacks("kafka")
			default:
				return nil
			}
		}, 0, nil, "cassandra kafka", 30},
		{"nothing comes", func(time.Duration) error { return lacks("kafka") }, time.Hour, context.Canceled, "kafka", 600},
		{"it stays wrong", func(time.Duration) error { return stays }, 0, stays, "", 1},
		{"it turns out to stay wrong", func(d time.Duration) error {
			if d < time.Minute {
				return lacks("cassandra")
			}
			return stays
		}, 0, stays, "cassandra", 20},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				began, attempts := time.Now(), 0
				if tc.stopAfter > 0 {
					time.AfterFunc(tc.stopAfter, cancel)
				}
				var (
					output bytes.Buffer
					told   []string
				)
				err := awaitBackends(ctx, func(context.Context) error {
					attempts++
					return tc.answer(time.Since(began))
				}, slog.New(slog.NewTextHandler(&output, nil)), func(what string) { told = append(told, what) })
				if !errors.Is(err, tc.want) {
					t.Errorf("got error %v, want %v", err, tc.want)
				}
				if got := strings.Join(told, " "); got != tc.told {
					t.Errorf("told of %q, want %q", got, tc.told)
				}
				if got := strings.Count(output.String(), "level=WARN"); got != len(told) {
					t.Errorf("got %d warnings, want %d:\n%s", got, len(told), &output)
				}
				if attempts > tc.atMost {
					t.Errorf("got %d attempts, want at most %d", attempts, tc.atMost)
				}
				if took := time.Since(began); tc.stopAfter > 0 && took != tc.stopAfter {
					t.Errorf("ended after %v, want at once after %v", took, tc.stopAfter)
				}
			})
		})
	}
}
