package local_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/store/local"
)

// fill puts one of everything into the store.
func fill(t *testing.T, s *local.Store) (chat.User, chat.Token, chat.Room, []chat.Message) {
	t.Helper()
	ctx := t.Context()
	created := time.UnixMilli(1_700_000_000_000).UTC()
	u, err := s.CreateUser(ctx, chat.User{Profile: chat.Profile{Username: "user_a"}, Created: created})
	token := chat.Token{Hash: chat.TokenHash{1}, UserID: u.ID, Created: created, Expires: created.Add(time.Hour)}
	room, roomErr := s.CreateRoom(ctx, chat.Room{URI: "0123456789abcde", Kind: chat.KindSession, Owner: u.ID, Created: created})
	var messages []chat.Message
	for i := range int64(100) {
		m := sampleMessage()
		m.ID.Offset = i
		messages = append(messages, m)
	}
	err = errors.Join(err, roomErr,
		s.CreateToken(ctx, token),
		s.PutMessages(ctx, messages),
		s.SetWatermark(ctx, chat.Partition{Topic: chat.TopicMessages}, chat.Watermark{Epoch: 1, Next: 100}),
		s.SetCutoff(ctx, created),
		s.PutLease(ctx, "gw", created),
		s.PutPresence(ctx, []chat.PresenceRow{{RoomURI: room.URI, Gateway: "gw", User: u.Profile, Updated: created}}))
	if err != nil {
		t.Fatalf("fill store: got error %v, want none", err)
	}
	return u, token, room, messages
}

func TestReopen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by", "open")
	s := openStore(t, dir)
	user, token, room, messages := fill(t, s)
	closeStore(t, s)

	s = openStore(t, dir)
	ctx := t.Context()
	gotUser, err := s.UserByName(ctx, user.Username)
	wantSame(t, "user", gotUser, user, err)
	gotToken, err := s.TokenByHash(ctx, token.Hash, token.Created)
	wantSame(t, "token", gotToken, token, err)
	gotRoom, err := s.RoomByID(ctx, room.ID)
	wantSame(t, "room", gotRoom, room, err)
	got, err := s.Messages(ctx, chat.MessageQuery{RoomURI: room.URI, Limit: 1000, Now: messages[0].Time})
	if err != nil || !slices.Equal(got, messages) {
		t.Errorf("messages: got %d, error %v, want the %d that were put", len(got), err, len(messages))
	}
	mark, err := s.Watermark(ctx, chat.Partition{Topic: chat.TopicMessages})
	wantSame(t, "watermark", mark, chat.Watermark{Epoch: 1, Next: 100}, err)
	cutoff, err := s.Cutoff(ctx)
	wantSame(t, "cutoff", cutoff, user.Created, err)
	leases, err := s.Leases(ctx)
	wantSame(t, "lease", leases["gw"], user.Created, err)
	rows, err := s.PresenceOfGateway(ctx, "gw")
	wantSame(t, "presence rows", len(rows), 1, err)

	next, err := s.CreateUser(ctx, chat.User{Profile: chat.Profile{Username: "user_b"}})
	if err != nil || next.ID <= user.ID {
		t.Errorf("user after reopening: got id %d, error %v, want one above %d", next.ID, err, user.ID)
	}
}

func TestClosed(t *testing.T) {
	s := openStore(t, t.TempDir())
	closeStore(t, s)
	_, err := s.Users(t.Context(), 0, 1)
	if !errors.Is(err, chat.ErrUnavailable) {
		t.Errorf("read: got error %v, want %v", err, chat.ErrUnavailable)
	}
	if err := s.Flush(t.Context()); !errors.Is(err, chat.ErrUnavailable) {
		t.Errorf("flush: got error %v, want %v", err, chat.ErrUnavailable)
	}
	closeStore(t, s)
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	first := openStore(t, dir)
	if _, err := local.Open(dir, local.Options{}); !errors.Is(err, local.ErrLocked) {
		t.Errorf("open a second time: got error %v, want %v", err, local.ErrLocked)
	}
	closeStore(t, first)
	openStore(t, dir)
}

// snapshot is the contents of all files below dir but those of locks.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "LOCK" {
			return err
		}
		text, err := os.ReadFile(path)
		files[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// glob is the last of the files in dir that match.
func glob(t *testing.T, dir, pattern string) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "pebble", pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("files %s: got %v, error %v, want some", pattern, paths, err)
	}
	return paths[len(paths)-1]
}

// garble overwrites the middle of a file.
func garble(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(text) / 4; i < 3*len(text)/4; i++ {
		text[i] ^= 0x5a
	}
	write(t, path, string(text))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func TestRefuses(t *testing.T) {
	tests := []struct {
		name string
		// damage changes a directory with a store in it.
		damage func(t *testing.T, dir string)
		want   error
		says   string
	}{
		{"another program's files", func(t *testing.T, dir string) {
			remove(t, dir)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "thesis.odt"), "x")
		}, local.ErrForeign, "thesis.odt"},
		{"a store without FORMAT", func(t *testing.T, dir string) {
			remove(t, filepath.Join(dir, "FORMAT"))
		}, local.ErrForeign, "pebble"},
		{"another FORMAT", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "FORMAT"), "ext4 1\n")
		}, local.ErrForeign, "ext4"},
		{"an empty FORMAT", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "FORMAT"), "")
		}, local.ErrForeign, "FORMAT"},
		{"a newer version", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "FORMAT"), "chatcluster-store 7\n")
		}, local.ErrNewer, "version 7, and this release reads up to version 1"},
		{"no engine directory", func(t *testing.T, dir string) {
			remove(t, filepath.Join(dir, "pebble"))
		}, local.ErrDamaged, "pebble"},
		{"an empty engine directory", func(t *testing.T, dir string) {
			remove(t, filepath.Join(dir, "pebble"))
			if err := os.Mkdir(filepath.Join(dir, "pebble"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, local.ErrDamaged, ""},
		{"no list of files", func(t *testing.T, dir string) {
			remove(t, glob(t, dir, "marker.manifest*"))
		}, local.ErrDamaged, ""},
		{"a garbled list of files", func(t *testing.T, dir string) {
			garble(t, glob(t, dir, "MANIFEST-*"))
		}, local.ErrDamaged, ""},
		{"a missing list of files", func(t *testing.T, dir string) {
			remove(t, glob(t, dir, "MANIFEST-*"))
		}, local.ErrDamaged, ""},
		{"a missing table", func(t *testing.T, dir string) {
			remove(t, glob(t, dir, "*.sst"))
		}, local.ErrDamaged, ""},
		{"a garbled write-ahead log", func(t *testing.T, dir string) {
			garble(t, glob(t, dir, "*.log"))
		}, local.ErrDamaged, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			// Opened twice, so that there is a table and a log.
			s := openStore(t, dir)
			fill(t, s)
			closeStore(t, s)
			s = openStore(t, dir)
			for i := range 100 {
				m := sampleMessage()
				m.ID.Offset = int64(1000 + i)
				m.Text = strings.Repeat("text", 500)
				if err := errors.Join(s.PutMessages(t.Context(), []chat.Message{m}), s.Flush(t.Context())); err != nil {
					t.Fatalf("put: got error %v, want none", err)
				}
			}
			closeStore(t, s)
			test.damage(t, dir)

			before := snapshot(t, dir)
			opened, err := local.Open(dir, local.Options{})
			if err == nil {
				closeStore(t, opened)
			}
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("open: got error %v, want %v that says %q", err, test.want, test.says)
			}
			t.Logf("the error: %v", err)
			after := snapshot(t, dir)
			for path, text := range before {
				if got, ok := after[path]; !ok || got != text {
					t.Errorf("file %s: got it changed or gone, want it as it was", path)
				}
			}
		})
	}
}

// TestGarbledTable: a table is only read when it is needed; then the error says
// that it is damaged, and the process lives on.
func TestGarbledTable(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	_, _, room, messages := fill(t, s)
	closeStore(t, s)
	closeStore(t, openStore(t, dir)) // writes what is in the log to a table
	garble(t, glob(t, dir, "*.sst"))

	s, err := local.Open(dir, local.Options{})
	if err == nil {
		t.Cleanup(func() { closeStore(t, s) })
		_, err = s.Messages(t.Context(), chat.MessageQuery{RoomURI: room.URI, Limit: 1000, Now: messages[0].Time})
		if !errors.Is(err, chat.ErrUnavailable) {
			t.Errorf("read: got error %v, want %v", err, chat.ErrUnavailable)
		}
		return
	}
	if !errors.Is(err, local.ErrDamaged) {
		t.Errorf("open: got error %v, want %v", err, local.ErrDamaged)
	}
}

// TestInterruptedCreation: a start that was cut short at any step is finished by
// the next one.
func TestInterruptedCreation(t *testing.T) {
	tests := []struct {
		name   string
		rewind func(t *testing.T, dir string)
	}{
		{"the directory is there", func(t *testing.T, dir string) {
			remove(t, filepath.Join(dir, "pebble"))
			remove(t, filepath.Join(dir, "FORMAT"))
		}},
		{"part of the engine's files", func(t *testing.T, dir string) {
			remove(t, filepath.Join(dir, "FORMAT"))
			rename(t, filepath.Join(dir, "pebble"), filepath.Join(dir, "pebble.new"))
			paths, err := filepath.Glob(filepath.Join(dir, "pebble.new", "marker.*"))
			if err != nil || len(paths) == 0 {
				t.Fatalf("markers: got %v, error %v, want some", paths, err)
			}
			for _, path := range paths {
				remove(t, path)
			}
		}},
		{"an unfinished FORMAT", func(t *testing.T, dir string) {
			rename(t, filepath.Join(dir, "pebble"), filepath.Join(dir, "pebble.new"))
			remove(t, filepath.Join(dir, "FORMAT"))
			write(t, filepath.Join(dir, "FORMAT.new"), "chat")
		}},
		{"all but the last step", func(t *testing.T, dir string) {
			rename(t, filepath.Join(dir, "pebble"), filepath.Join(dir, "pebble.new"))
		}},
		{"a volume of its own", func(t *testing.T, dir string) {
			remove(t, dir)
			if err := os.MkdirAll(filepath.Join(dir, "lost+found"), 0o700); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			closeStore(t, openStore(t, dir))
			test.rewind(t, dir)
			s := openStore(t, dir)
			fill(t, s)
			closeStore(t, s)
			openStore(t, dir)
		})
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}
