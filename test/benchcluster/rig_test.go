// Package benchcluster_test measures the cluster mode over a real Kafka and a
// real Cassandra, one node of each. Wherever there is a bare client that could
// do the same work, the two take turns in one run and their ratio is what
// counts: the machines are shared and noisy. Run it with make bench-cluster.
package benchcluster_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/archive"
	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/gateway/feed"
	"github.com/chatcluster/chatcluster/internal/log/kafka"
	"github.com/chatcluster/chatcluster/internal/metrics"
	"github.com/chatcluster/chatcluster/internal/store/cached"
	"github.com/chatcluster/chatcluster/internal/store/cassandra"
	"github.com/chatcluster/chatcluster/test/backends"
	"github.com/chatcluster/chatcluster/test/chatdtest"
)

var (
	window  = flag.Duration("window", time.Second, "how long each turn of a measurement takes")
	backlog = flag.Int("backlog", 200_000, "messages that the archiver has to move in each turn")
	sockets = flag.Int("sockets", 2000, "sockets of the gateway that is killed")
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Senders that overlap each keep a connection, as a proxy before the API
	// would: with two, most requests would open a new one.
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 1000
	code := m.Run()
	chatdtest.RemoveBinaries()
	os.Exit(code)
}

const (
	// rounds is how often things that are compared take turns.
	rounds     = 3
	partitions = 8
	retention  = 48 * time.Hour
	// firstMinute is the one after which a process believes what it remembers for
	// longer, and a moment for it to notice.
	firstMinute = time.Minute + 2*time.Second
)

// text is a message of the size that chat messages have.
var text = strings.Repeat("x", 100)

// value is a record of the size that such a message makes.
var value = chat.AppendEvent(nil, chat.Event{
	Kind: chat.EventMessage, Sender: chat.Profile{ID: 1, Username: "amir", Email: "amir@mail.com"},
	Text: text, TTL: retention, Accepted: time.Now(),
})

// rig is the services over Kafka and Cassandra, wired as chatd does it.
type rig struct {
	brokers, hosts []string
	keyspace       string
	store          *cached.Store
	rooms          *chat.Rooms
	messages       *chat.Messages
	archiver       *archive.Archiver
	user           chat.User
	// listens is since when the store hears of announcements.
	listens time.Time
}

func newRig(b *testing.B) *rig {
	b.Helper()
	r := &rig{brokers: backends.Kafka(b), hosts: backends.Cassandra(b), keyspace: unique()}
	logger := slog.New(slog.DiscardHandler)
	disk := openStore(b, cassandra.Options{Hosts: r.hosts, Keyspace: r.keyspace, Logger: logger})
	log := openLog(b, kafka.Options{
		Brokers: r.brokers, TopicPrefix: r.keyspace, Epochs: disk, Logger: logger, FetchLinger: archive.Linger,
	})
	publisher := chat.NewPublisher(log)
	r.store = cached.New(disk, cached.Options{
		Entries: 1000, Fresh: time.Second, Followed: time.Minute, Stale: time.Minute, Announce: publisher.Announce, Now: time.Now,
	})
	b.Cleanup(r.store.Close)
	r.listen(b, log)
	accounts := chat.NewAccounts(r.store, publisher, chat.AccountsOptions{TokenTTL: 24 * time.Hour, Now: time.Now})
	limits := chat.Limits{MessageBytes: 64 << 10, MinTTL: time.Minute, MaxTTL: retention}
	r.rooms = chat.NewRooms(r.store, accounts, publisher, chat.RoomsOptions{SessionAccess: chat.AccessMembers, Limits: limits, Now: time.Now})
	r.messages = chat.NewMessages(log, r.store, r.rooms, publisher, chat.MessagesOptions{
		TTL: retention, Limits: limits, MaxLag: 16 << 20, Now: time.Now,
	})
	r.archiver = archive.New(log, r.store, archive.Options{Metrics: metrics.New("bench"), Logger: logger, Now: time.Now})
	var err error
	r.user, err = accounts.Register(b.Context(), chat.NewUser{Username: "amir", Password: chatdtest.Password, Email: "amir@mail.com"})
	if err != nil {
		b.Fatal(err)
	}
	return r
}

// listen has the store hear of announcements, as a gateway does.
func (r *rig) listen(b *testing.B, log chat.Log) {
	ctx, cancel := context.WithCancel(context.Background())
	var following sync.WaitGroup
	b.Cleanup(func() {
		cancel()
		following.Wait()
	})
	ready := make(chan struct{})
	r.listens = time.Now()
	following.Go(func() {
		feed.Signals(ctx, log, feed.SignalOptions{
			Ready: func() { close(ready) }, Handle: r.store.Changed, Heard: r.store.Heard, Lost: r.store.Missed, Now: time.Now,
		})
	})
	<-ready
}

// settle waits for the end of the first minute of a process, in which it asks
// Cassandra once a second for what it uses.
func (r *rig) settle() { time.Sleep(time.Until(r.listens.Add(firstMinute))) }

// unique is a name that no other keyspace and no other topic has.
func unique() string {
	var id [6]byte
	rand.Read(id[:])
	return "bench" + hex.EncodeToString(id[:])
}

func openStore(b *testing.B, o cassandra.Options) *cassandra.Store {
	b.Helper()
	if err := cassandra.Migrate(b.Context(), o); err != nil {
		b.Fatal(err)
	}
	store, err := cassandra.Open(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(store.Close)
	return store
}

func openLog(b *testing.B, o kafka.Options) *kafka.Log {
	b.Helper()
	err := kafka.Migrate(b.Context(), o, kafka.TopicSettings{
		Partitions: map[chat.Topic]int32{chat.TopicMessages: partitions, chat.TopicRooms: 1}, ReplicationFactor: 1,
	})
	if err != nil {
		b.Fatal(err)
	}
	log, err := kafka.Open(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := log.Close(); err != nil {
			b.Error(err)
		}
	})
	return log
}

// sessions makes n sessions.
func (r *rig) sessions(b *testing.B, n int) []chat.Room {
	b.Helper()
	rooms := make([]chat.Room, n)
	for i := range rooms {
		var err error
		if rooms[i], err = r.rooms.CreateSession(b.Context(), r.user, chat.SessionSettings{}); err != nil {
			b.Fatal(err)
		}
	}
	return rooms
}

// send sends the i-th of many messages, which go to all rooms in turn.
func (r *rig) send(ctx context.Context, rooms []chat.Room, i int) error {
	_, err := r.messages.Send(ctx, r.user, rooms[i%len(rooms)], text, "")
	return err
}

// archiving runs the archiver until the returned function is called, which
// waits until it has caught up.
func (r *rig) archiving(b *testing.B) (finish func()) {
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- r.archiver.Run(ctx) }()
	return func() {
		b.Helper()
		err := r.archiver.Await(ctx)
		cancel()
		if err = errors.Join(err, <-done); err != nil {
			b.Fatal(err)
		}
	}
}

func name(key string, value int) string { return fmt.Sprintf("%s=%d", key, value) }
