package cached_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/store/cached"
)

// everything is a store that has whatever it is asked for, as large as usual.
type everything struct{ chat.Store }

func (everything) TokenByHash(_ context.Context, hash chat.TokenHash, now time.Time) (chat.Token, error) {
	return chat.Token{Hash: hash, UserID: 1, Created: now, Expires: now.Add(time.Hour)}, nil
}

func (everything) UserByID(_ context.Context, id int64) (chat.User, error) {
	name := fmt.Sprint("user-", id)
	return chat.User{
		Profile:      chat.Profile{ID: id, Username: name, Email: name + "@mail.example", FirstName: fmt.Sprint("First", id), LastName: fmt.Sprint("Last", id)},
		PasswordHash: strings.Repeat("x", 97), IsActive: true,
	}, nil
}

func (everything) RoomByURI(_ context.Context, uri string) (chat.Room, error) {
	return chat.Room{ID: 1, URI: uri, Title: "A room of " + uri, Kind: chat.KindSession}, nil
}

func (everything) Member(_ context.Context, uri string, userID int64) (chat.Member, error) {
	return chat.Member{RoomURI: uri, UserID: userID}, nil
}

// BenchmarkMemory measures the bytes that an entry of each kind takes.
func BenchmarkMemory(b *testing.B) {
	const entries = 100_000
	for _, kind := range []struct {
		name string
		fill func(s *cached.Store, i int) error
	}{
		{"token", func(s *cached.Store, i int) error {
			_, err := s.TokenByHash(b.Context(), sha256.Sum256(fmt.Append(nil, i)), time.Now())
			return err
		}},
		{"user", func(s *cached.Store, i int) error {
			_, err := s.UserByID(b.Context(), int64(i))
			return err
		}},
		{"room", func(s *cached.Store, i int) error {
			_, err := s.RoomByURI(b.Context(), fmt.Sprintf("%015d", i))
			return err
		}},
		{"member", func(s *cached.Store, i int) error {
			_, err := s.Member(b.Context(), fmt.Sprintf("%015d", i), int64(i))
			return err
		}},
	} {
		b.Run(kind.name, func(b *testing.B) {
			for b.Loop() {
				before := heap()
				s := cached.New(everything{}, cached.Options{Entries: entries, Fresh: time.Hour, Stale: time.Hour, Now: time.Now})
				for i := range entries {
					if err := kind.fill(s, i); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(heap()-before)/entries, "B/entry")
				runtime.KeepAlive(s)
				s.Close()
			}
		})
	}
}

// heap is how much is in use once what is not has been collected.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
