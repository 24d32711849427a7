// Package bench_test measures the server, against floors of the same run where
// there are any: the machines are shared and noisy, so ratios tell more than
// times. Run it with make bench.
package bench_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/archive"
	"github.com/chatcluster/chatcluster/internal/chat"
	loglocal "github.com/chatcluster/chatcluster/internal/log/local"
	"github.com/chatcluster/chatcluster/internal/metrics"
	"github.com/chatcluster/chatcluster/internal/store/cached"
	storelocal "github.com/chatcluster/chatcluster/internal/store/local"
	"github.com/chatcluster/chatcluster/test/chatdtest"
)

var (
	window = flag.Duration("window", 3*time.Second, "how long each measurement runs")
	stored = flag.Int("stored", 1_000_000, "messages of the large room")
)

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	chatdtest.RemoveBinaries()
	os.Exit(code)
}

// text is a message of the size that chat messages have.
var text = strings.Repeat("x", 100)

// rig is the services over the embedded adapters, wired as chatd does it.
type rig struct {
	log      *loglocal.Log
	disk     *storelocal.Store
	store    *cached.Store
	accounts *chat.Accounts
	rooms    *chat.Rooms
	messages *chat.Messages
	archiver *archive.Archiver
	user     chat.User
}

func newRig(b *testing.B, dir string) *rig {
	b.Helper()
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	log, err := loglocal.Open(filepath.Join(dir, "log"), loglocal.Options{Logger: logger})
	if err != nil {
		b.Fatal(err)
	}
	disk, err := storelocal.Open(filepath.Join(dir, "store"), storelocal.Options{})
	if err != nil {
		b.Fatal(err)
	}
	store := cached.New(disk, cached.Options{Entries: 1000, Fresh: time.Hour, Now: time.Now})
	r := &rig{log: log, disk: disk, store: store}
	publisher := chat.NewPublisher(log)
	r.accounts = chat.NewAccounts(store, publisher, chat.AccountsOptions{TokenTTL: 24 * time.Hour, Now: time.Now})
	limits := chat.Limits{MessageBytes: 64 << 10, MinTTL: time.Minute, MaxTTL: 720 * time.Hour}
	r.rooms = chat.NewRooms(store, r.accounts, publisher, chat.RoomsOptions{SessionAccess: chat.AccessMembers, Limits: limits, Now: time.Now})
	r.messages = chat.NewMessages(log, store, r.rooms, publisher, chat.MessagesOptions{
		TTL: 720 * time.Hour, Limits: limits, MaxLag: 1 << 30, Now: time.Now,
	})
	r.archiver = archive.New(log, store, archive.Options{Metrics: metrics.New("bench"), Logger: logger, Now: time.Now})
	r.user, err = r.accounts.Register(b.Context(), chat.NewUser{Username: "amir", Password: chatdtest.Password})
	if err != nil {
		b.Fatal(err)
	}
	return r
}

func (r *rig) close(b *testing.B) {
	b.Helper()
	if err := errors.Join(r.disk.Close(), r.log.Close()); err != nil {
		b.Fatal(err)
	}
}

// archiving runs the archiver until the returned function is called, which
// waits until it has caught up.
func (r *rig) archiving(b *testing.B) (finish func()) {
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- r.archiver.Run(ctx) }()
	return func() {
		b.Helper()
		if err := r.archiver.Await(ctx); err != nil {
			b.Fatal(err)
		}
		cancel()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}

func (r *rig) session(b *testing.B) chat.Room {
	b.Helper()
	room, err := r.rooms.CreateSession(b.Context(), r.user, chat.SessionSettings{})
	if err != nil {
		b.Fatal(err)
	}
	return room
}

// fill sends n messages to the room.
func (r *rig) fill(b *testing.B, room chat.Room, n int) {
	b.Helper()
	const senders = 1000
	var wait sync.WaitGroup
	for s := range senders {
		wait.Go(func() {
			for i := s; i < n; i += senders {
				if _, err := r.messages.Send(b.Context(), r.user, room, text, ""); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
}

// result is what a loop measured.
type result struct {
	perSecond float64
	p50, p99  time.Duration
}

// measure calls f from n goroutines for the window.
func measure(b *testing.B, n int, f func() error) result {
	b.Helper()
	var (
		wait  sync.WaitGroup
		mu    sync.Mutex // guards times
		times []time.Duration
	)
	start := time.Now()
	for range n {
		wait.Go(func() {
			var own []time.Duration
			for time.Since(start) < *window {
				began := time.Now()
				if err := f(); err != nil {
					b.Error(err)
					return
				}
				own = append(own, time.Since(began))
			}
			mu.Lock()
			times = append(times, own...)
			mu.Unlock()
		})
	}
	wait.Wait()
	elapsed := time.Since(start)
	if len(times) == 0 {
		b.Fatal("nothing was measured")
	}
	slices.Sort(times)
	return result{float64(len(times)) / elapsed.Seconds(), times[len(times)/2], times[len(times)*99/100]}
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

func name(key string, value int) string { return fmt.Sprintf("%s=%d", key, value) }
