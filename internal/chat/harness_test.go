package chat_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/archive"
	"github.com/chatcluster/chatcluster/internal/chat"
	loglocal "github.com/chatcluster/chatcluster/internal/log/local"
	"github.com/chatcluster/chatcluster/internal/metrics"
	storelocal "github.com/chatcluster/chatcluster/internal/store/local"
	"github.com/chatcluster/chatcluster/test/embedded"
)

// clock is a clock that tests set.
type clock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// server is the services over the embedded adapters.
type server struct {
	clock    *clock
	log      *loglocal.Log
	store    *storelocal.Store
	away     *awayStore
	accounts *chat.Accounts
	rooms    *chat.Rooms
	messages *chat.Messages
	archiver *archive.Archiver
}

const (
	messageTTL   = 48 * time.Hour
	messageBytes = 1000
	password     = "correct horse"
)

func newServer(t *testing.T) *server {
	t.Helper()
	// The log's epochs are from when it was made: like Kafka's they begin with 1.
	c := &clock{now: time.Unix(1, 0)}
	log, store := embedded.Open(t, loglocal.Options{Partitions: map[chat.Topic]int32{chat.TopicMessages: 2}, Now: c.Now})
	c.now = time.UnixMilli(1_700_000_000_000)
	s := &server{clock: c, log: log, store: store, away: &awayStore{Store: store}}
	publisher := chat.NewPublisher(log)
	s.accounts = chat.NewAccounts(store, publisher, chat.AccountsOptions{
		TokenTTL: 24 * time.Hour, LoginsPerAccount: chat.Rate{PerSecond: 1. / 60, Burst: 3},
		LoginsPerAddress: chat.Rate{PerSecond: 1. / 60, Burst: 5}, Now: c.Now,
	})
	limits := chat.Limits{MessageBytes: messageBytes, MinTTL: time.Minute, MaxTTL: messageTTL}
	s.rooms = chat.NewRooms(store, s.accounts, publisher, chat.RoomsOptions{SessionAccess: chat.AccessMembers, Limits: limits, Now: c.Now})
	s.messages = s.messagesOver(log)
	s.archiver = archive.New(log, store, archive.Options{
		Metrics: metrics.New("test"), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: c.Now,
	})
	return s
}

// messagesOver are Messages over another log than the server's.
func (s *server) messagesOver(log chat.Log) *chat.Messages {
	return chat.NewMessages(log, s.away, s.rooms, chat.NewPublisher(log), chat.MessagesOptions{
		TTL: messageTTL, Limits: chat.Limits{MessageBytes: messageBytes, MinTTL: time.Minute, MaxTTL: messageTTL}, MaxLag: 1 << 20, Now: s.clock.Now,
	})
}

// archive runs the archiver until it has caught up.
func (s *server) archive(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.archiver.Run(ctx) }()
	if err := s.archiver.Await(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func (s *server) user(t *testing.T, name string) chat.User {
	t.Helper()
	user, err := s.accounts.Register(t.Context(), chat.NewUser{Username: name, Password: password, Email: name + "@mail.com"})
	if err != nil {
		t.Fatal(err)
	}
	return user
}

func (s *server) staff(t *testing.T, name string) chat.User {
	t.Helper()
	user, err := s.accounts.Register(t.Context(), chat.NewUser{Username: name, Password: password, IsStaff: true})
	if err != nil {
		t.Fatal(err)
	}
	return user
}

func (s *server) session(t *testing.T, owner chat.User, settings chat.SessionSettings) chat.Room {
	t.Helper()
	room, err := s.rooms.CreateSession(t.Context(), owner, settings)
	if err != nil {
		t.Fatal(err)
	}
	return room
}

func (s *server) send(t *testing.T, sender chat.User, room chat.Room, text, key string) chat.Message {
	t.Helper()
	msg, err := s.messages.Send(t.Context(), sender, room, text, key)
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

func (s *server) history(t *testing.T, room chat.Room, page chat.Page) chat.HistoryPage {
	t.Helper()
	if page.Limit == 0 {
		page.Limit = 1000
	}
	got, err := s.messages.History(t.Context(), room, page)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func texts(messages []chat.Message) []string {
	var all []string
	for _, m := range messages {
		all = append(all, m.Text)
	}
	return all
}

// fields are the fields that err complains of.
func fields(t *testing.T, err error) chat.FieldErrors {
	t.Helper()
	var errs chat.FieldErrors
	if !errors.As(err, &errs) {
		t.Fatalf("got %v, want FieldErrors", err)
	}
	return errs
}
