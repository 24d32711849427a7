package local_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/store/local"
)

// smallTables makes the engine rotate its log and rewrite its files early.
func smallTables(logger *slog.Logger) local.Options {
	return local.Options{Logger: logger, MemTableBytes: 256 << 10, CacheBytes: 1 << 20, ReserveBytes: 1}
}

// logBuffer collects what is logged.
type logBuffer struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// TestDiskFails: when the engine cannot go on, every call says so, the failure
// is logged once, and the process lives.
func TestDiskFails(t *testing.T) {
	inLog := func(op errorfs.Op) bool { return strings.HasSuffix(op.Path, ".log") }
	inManifest := func(op errorfs.Op) bool { return strings.Contains(op.Path, "MANIFEST-") }
	tests := []struct {
		name  string
		fails func(op errorfs.Op) bool
		err   error
		want  error
	}{
		{"log: write, disk full", func(op errorfs.Op) bool { return inLog(op) && op.Kind == errorfs.OpFileWrite }, syscall.ENOSPC, chat.ErrNoSpace},
		{"log: write, broken", func(op errorfs.Op) bool { return inLog(op) && op.Kind == errorfs.OpFileWrite }, syscall.EIO, chat.ErrUnavailable},
		{"log: sync", func(op errorfs.Op) bool {
			return inLog(op) && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo)
		}, syscall.EIO, chat.ErrUnavailable},
		{"log: create", func(op errorfs.Op) bool {
			return inLog(op) && (op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpReuseForWrite)
		}, syscall.ENOSPC, chat.ErrNoSpace},
		{"list of files: write", func(op errorfs.Op) bool { return inManifest(op) && op.Kind == errorfs.OpFileWrite }, syscall.ENOSPC, chat.ErrNoSpace},
		{"list of files: sync", func(op errorfs.Op) bool { return inManifest(op) && op.Kind == errorfs.OpFileSync }, syscall.EIO, chat.ErrUnavailable},
		{"every write", func(op errorfs.Op) bool { return op.Kind.ReadOrWrite() == errorfs.OpIsWrite }, syscall.ENOSPC, chat.ErrNoSpace},
	}
	for _, durable := range []bool{true, false} {
		for _, test := range tests {
			t.Run(fmt.Sprintf("%s, durable %t", test.name, durable), func(t *testing.T) {
				var broken atomic.Bool
				disk := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
					if broken.Load() && test.fails(op) {
						return test.err
					}
					return nil
				}))
				var logged logBuffer
				s, err := local.OpenOn(disk, "/data/store", smallTables(slog.New(slog.NewTextHandler(&logged, nil))))
				if err != nil {
					t.Fatalf("open: got error %v, want none", err)
				}
				fill(t, s)
				broken.Store(true)

				err = putUntilError(t, s, durable)
				if !errors.Is(err, test.want) {
					t.Errorf("put: got error %v, want %v", err, test.want)
				}
				<-s.Failed()
				_, err = s.Users(t.Context(), 0, 1)
				if !errors.Is(err, test.want) {
					t.Errorf("read: got error %v, want %v", err, test.want)
				}
				if err := s.Flush(t.Context()); !errors.Is(err, test.want) {
					t.Errorf("flush: got error %v, want %v", err, test.want)
				}
				if err := s.Close(); !errors.Is(err, test.want) {
					t.Errorf("close: got error %v, want %v", err, test.want)
				}
				if got := strings.Count(logged.String(), "store failed"); got != 1 {
					t.Errorf("failure: got logged %d times, want once:\n%s", got, logged.String())
				}
			})
		}
	}
}

// TestOpenFails: a disk that fails while the store is opened or made fails Open,
// and nothing else.
func TestOpenFails(t *testing.T) {
	for skip := range 200 {
		var left atomic.Int64
		left.Store(int64(skip))
		disk := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && left.Add(-1) < 0 {
				return syscall.ENOSPC
			}
			return nil
		}))
		s, err := local.OpenOn(disk, "/data/store", smallTables(nil))
		if err == nil {
			if skip == 0 {
				t.Error("open on a full disk: got no error, want one")
			}
			_ = s.Close() // whether the disk serves for that is another matter
			return
		}
		if !errors.Is(err, chat.ErrNoSpace) {
			t.Errorf("open after %d writes: got error %v, want %v", skip, err, chat.ErrNoSpace)
		}
	}
	t.Error("open: got only errors, want it to end with success")
}

// putUntilError puts from several goroutines until all have got an error, and
// returns one of them.
func putUntilError(t *testing.T, s *local.Store, durable bool) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	const writers = 4
	errs := make(chan error, writers)
	for w := range writers {
		go func() {
			m := sampleMessage()
			m.ID.Epoch = uint32(w)
			m.Text = strings.Repeat("text", 4000)
			for {
				m.ID.Offset++
				err := s.PutMessages(ctx, []chat.Message{m})
				if err == nil && durable {
					err = s.Flush(ctx)
				}
				if err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	var last error
	for range writers {
		last = <-errs
	}
	return last
}

// TestCrash: what was said to be durable survives, and never a watermark without
// the messages that were put before it.
func TestCrash(t *testing.T) {
	for _, unsynced := range []int{0, 30, 100} {
		t.Run(fmt.Sprintf("%d%% of what was not synced survives", unsynced), func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			rng := rand.New(rand.NewPCG(seed, 0))
			disk := vfs.NewCrashableMem()
			s, err := local.OpenOn(disk, "/data/store", smallTables(nil))
			if err != nil {
				t.Fatalf("open: got error %v, want none", err)
			}
			user, token, room, _ := fill(t, s)
			p := chat.Partition{Topic: chat.TopicMessages}
			flushed := int64(0)
			m := sampleMessage()
			for next := int64(100); next < 600; next++ {
				m.ID.Offset = next
				m.Text = strings.Repeat("text", 500)
				err := errors.Join(
					s.PutMessages(t.Context(), []chat.Message{m}),
					s.SetWatermark(t.Context(), p, chat.Watermark{Epoch: 1, Next: next + 1}))
				if err == nil && next%97 == 0 {
					err = s.Flush(t.Context())
					flushed = next + 1
				}
				if err != nil {
					t.Fatalf("put %d: got error %v, want none", next, err)
				}
			}
			crashed := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: rng})
			closeStore(t, s)

			s, err = local.OpenOn(crashed, "/data/store", smallTables(nil))
			if err != nil {
				t.Fatalf("open after the crash: got error %v, want none", err)
			}
			defer closeStore(t, s)
			gotUser, err := s.UserByID(t.Context(), user.ID)
			wantSame(t, "user", gotUser, user, err)
			gotToken, err := s.TokenByHash(t.Context(), token.Hash, token.Created)
			wantSame(t, "token", gotToken, token, err)
			gotRoom, err := s.RoomByURI(t.Context(), room.URI)
			wantSame(t, "room", gotRoom, room, err)
			mark, err := s.Watermark(t.Context(), p)
			if err != nil || mark.Next < flushed {
				t.Errorf("watermark: got %+v, error %v, want at least %d", mark, err, flushed)
			}
			messages, err := s.Messages(t.Context(), chat.MessageQuery{RoomURI: m.RoomURI, Limit: 10_000, Now: m.Time})
			if err != nil || int64(len(messages)) < mark.Next {
				t.Errorf("messages: got %d, error %v, want the %d below the watermark", len(messages), err, mark.Next)
			}
		})
	}
}

// smallDisk is a disk whose free space is set.
type smallDisk struct {
	vfs.FS
	free atomic.Uint64
}

func (d *smallDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: d.free.Load(), TotalBytes: 1 << 40}, nil
}

// TestReserve: a disk that is nearly full refuses what would fill it, lets
// delete, and serves again once there is space.
func TestReserve(t *testing.T) {
	disk := &smallDisk{FS: vfs.NewMem()}
	disk.free.Store(1 << 30)
	s, err := local.OpenOn(disk, "/data/store", local.Options{})
	if err != nil {
		t.Fatalf("open: got error %v, want none", err)
	}
	defer closeStore(t, s)
	user, token, room, messages := fill(t, s)
	ctx := t.Context()
	large := sampleMessage()
	large.Text = strings.Repeat("x", 2<<20)
	disk.free.Store(1 << 20)

	if err := s.PutMessages(ctx, []chat.Message{large}); !errors.Is(err, chat.ErrNoSpace) {
		t.Errorf("put: got error %v, want %v", err, chat.ErrNoSpace)
	}
	if _, err := s.CreateUser(ctx, chat.User{Profile: chat.Profile{Username: "user_b"}}); !errors.Is(err, chat.ErrNoSpace) {
		t.Errorf("create user: got error %v, want %v", err, chat.ErrNoSpace)
	}
	if err := s.DeleteToken(ctx, token.Hash); err != nil {
		t.Errorf("delete token: got error %v, want none", err)
	}
	n, err := s.DeleteMessages(ctx, room.URI, messages[0].Expires, messages[0].Time, false)
	wantSame(t, "deleted", n, len(messages), err)
	got, err := s.UserByID(ctx, user.ID)
	wantSame(t, "user", got, user, err)

	disk.free.Store(1 << 30)
	if err := s.PutMessages(ctx, []chat.Message{large}); err != nil {
		t.Errorf("put after there is space again: got error %v, want none", err)
	}
}

// TestCancelled: a call whose context has ended does not wait.
func TestCancelled(t *testing.T) {
	var slow atomic.Bool
	entered, release := make(chan struct{}), make(chan struct{})
	disk := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpGetDiskUsage && slow.CompareAndSwap(true, false) {
			close(entered)
			<-release
		}
		return nil
	}))
	s, err := local.OpenOn(disk, "/data/store", smallTables(nil))
	if err != nil {
		t.Fatalf("open: got error %v, want none", err)
	}
	defer closeStore(t, s)
	large := sampleMessage()
	large.Text = strings.Repeat("x", 2<<20)
	slow.Store(true)

	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() { first <- s.PutMessages(ctx, []chat.Message{large}) }()
	<-entered
	second := make(chan error)
	go func() { second <- s.SetCutoff(ctx, large.Time) }()
	cancel()
	if err := <-first; !errors.Is(err, chat.ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
		t.Errorf("the change that is being made: got error %v, want %v", err, chat.ErrOutcomeUnknown)
	}
	if err := <-second; !errors.Is(err, context.Canceled) || errors.Is(err, chat.ErrOutcomeUnknown) {
		t.Errorf("the change that waits: got error %v, want %v", err, context.Canceled)
	}
	close(release)
	if _, err := s.Users(ctx, 0, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("read: got error %v, want %v", err, context.Canceled)
	}
	got, err := s.Messages(t.Context(), chat.MessageQuery{RoomURI: large.RoomURI, Limit: 1, Now: large.Time})
	if err != nil || len(got) > 1 {
		t.Errorf("read: got %d messages, error %v, want at most 1", len(got), err)
	}
}

// TestPresenceIsForgotten: rows outside of the window do not pile up.
func TestPresenceIsForgotten(t *testing.T) {
	s := openStore(t, t.TempDir())
	begin := sampleMessage().Time
	row := func(i int) chat.PresenceRow {
		return chat.PresenceRow{
			RoomURI: fmt.Sprintf("room-%d", i%10), Gateway: "gw", User: chat.Profile{ID: int64(i)},
			Updated: begin.Add(time.Duration(i) * time.Second),
		}
	}
	const n = 5000
	for i := range n {
		if err := s.PutPresence(t.Context(), []chat.PresenceRow{row(i)}); err != nil {
			t.Fatalf("put row %d: got error %v, want none", i, err)
		}
	}
	rows, err := s.PresenceOfGateway(t.Context(), "gw")
	wantSame(t, "rows", len(rows), int(chat.PresenceWindow/time.Second)+1, err)
}
