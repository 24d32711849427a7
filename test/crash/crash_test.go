// Package crash_test kills the server under load, again and again, and checks
// every promise after each restart from what the clients saw.
package crash_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/test/chatdtest"
	"github.com/chatcluster/chatcluster/test/checker"
)

var (
	kills = flag.Int("kills", 50, "how often to kill the server")
	seed  = flag.Uint64("seed", 0, "seed of the run; 0 for a random one")
)

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	chatdtest.RemoveBinaries()
	os.Exit(code)
}

const (
	rooms     = 3
	senders   = 6
	receivers = 4
	readers   = 2
)

func TestCrash(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("seed %d (repeat with: go test ./test/crash -args -seed=%[1]d)", *seed)
	random := rand.New(rand.NewPCG(*seed, 0))

	r := newRun(t, random)
	for kill := range *kills {
		if random.IntN(5) == 0 {
			r.killWhileStarting(t)
		}
		r.start(t)
		r.check(t, kill)
		r.load(t, func() {
			// How far it gets by then is what is random, not whether it works.
			time.Sleep(time.Duration(20+random.IntN(300)) * time.Millisecond)
			r.server.Kill()
		})
	}
	r.start(t)
	r.check(t, *kills)
	r.server.Stop(t)
	acked, received, reads := r.log.Counts()
	t.Logf("%d kills; %d sends acknowledged, %d messages received, %d histories read", *kills, acked, received, reads)
	// A run in which nothing happened proves nothing.
	if acked < 10**kills || received < 10**kills {
		t.Errorf("%d sends acknowledged and %d messages received in %d kills, want at least 10 of each for every kill", acked, received, *kills)
	}
}

// run is the state that outlives the server's crashes.
type run struct {
	random    *rand.Rand
	dir       string
	args      []string
	server    *chatdtest.Server
	log       *checker.Log
	uris      []string
	senders   []*sender
	receivers []*chatdtest.Receiver
	readers   []*chatdtest.Client
	texts     atomic.Int64
}

// sender is one client that sends, and what it does not know the outcome of.
type sender struct {
	*chatdtest.Client
	room      string
	text, key string
}

func newRun(t *testing.T, random *rand.Rand) *run {
	r := &run{random: random, dir: t.TempDir(), log: &checker.Log{}}
	r.server = chatdtest.Start(t, r.dir)
	r.args = []string{"--api-addr", r.server.API, "--gateway-addr", r.server.Gateway}
	owner := chatdtest.Register(t, r.server, "owner")
	for range rooms {
		r.uris = append(r.uris, owner.CreateSession(t))
	}
	user := func(role string, n int) (*chatdtest.Client, string) {
		c := chatdtest.Register(t, r.server, fmt.Sprintf("%s-%d", role, n))
		uri := r.uris[n%rooms]
		c.Join(t, uri)
		return c, uri
	}
	for n := range senders {
		c, uri := user("sender", n)
		r.senders = append(r.senders, &sender{Client: c, room: uri})
	}
	for n := range receivers {
		c, uri := user("receiver", n)
		r.receivers = append(r.receivers, c.NewReceiver(r.log, uri))
	}
	for range readers {
		r.readers = append(r.readers, owner)
	}
	r.server.Kill()
	return r
}

func (r *run) start(t *testing.T) {
	t.Helper()
	r.server = chatdtest.Start(t, r.dir, r.args...)
}

// killWhileStarting kills a server that is still recovering.
func (r *run) killWhileStarting(t *testing.T) {
	t.Helper()
	if err := chatdtest.StartAndKill(t, time.Duration(r.random.IntN(80))*time.Millisecond, r.dir, r.args...); err != nil {
		t.Fatal(err)
	}
}

// load runs all clients until kill has returned.
func (r *run) load(t *testing.T, kill func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for _, s := range r.senders {
		clients.Go(func() { r.send(ctx, s) })
	}
	for _, receiver := range r.receivers {
		clients.Go(func() {
			for ctx.Err() == nil {
				// It ends when the server does; anything worse shows in its log.
				_ = receiver.Receive(ctx)
			}
		})
	}
	for n, reader := range r.readers {
		clients.Go(func() {
			for ctx.Err() == nil {
				if read, err := reader.Newest(ctx, r.uris[n%rooms], 200); err == nil {
					r.log.AddRead(read)
				}
			}
		})
	}
	kill()
	cancel()
	clients.Wait()
}

// send sends messages one after the other; every third without a key. One
// whose outcome is unknown is sent again with its key, also after a restart.
func (r *run) send(ctx context.Context, s *sender) {
	for ctx.Err() == nil {
		if s.text == "" {
			n := r.texts.Add(1)
			s.text, s.key = fmt.Sprintf("message %d", n), fmt.Sprintf("key %d", n)
			if n%3 == 0 {
				s.key = ""
			}
		}
		sent := s.Send(ctx, s.room, s.text, s.key)
		r.log.AddSend(sent)
		if sent.Outcome != checker.Unknown || s.key == "" {
			s.text = ""
		}
	}
}

// check reads everything and proves the promises.
func (r *run) check(t *testing.T, kill int) {
	t.Helper()
	final := map[string][]checker.Message{}
	for _, uri := range r.uris {
		messages, err := r.readers[0].WholeHistory(t.Context(), uri)
		if err != nil {
			t.Fatalf("read history after kill %d: %v\n%s", kill, err, r.server.Output())
		}
		final[uri] = messages
	}
	violations := r.log.Check(final)
	for i, v := range violations {
		if i == 20 {
			t.Errorf("… and %d more", len(violations)-i)
			break
		}
		t.Errorf("after kill %d: %v", kill, v)
	}
	if len(violations) > 0 {
		t.FailNow()
	}
	// The log-ins have survived too.
	if answer, err := r.senders[0].Call(t.Context(), http.MethodGet, "/api/chats/", nil); err != nil || answer.Status != http.StatusOK {
		t.Fatalf("sessions after kill %d: %d %s %v", kill, answer.Status, answer.Body, err)
	}
}
