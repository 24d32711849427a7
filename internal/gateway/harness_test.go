package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/gateway"
	"github.com/chatcluster/chatcluster/internal/httpauth"
	locallog "github.com/chatcluster/chatcluster/internal/log/local"
	"github.com/chatcluster/chatcluster/internal/metrics"
	localstore "github.com/chatcluster/chatcluster/internal/store/local"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wait is how long a test waits for what must happen.
const wait = 5 * time.Second

// cluster is a log and a store, and the services over them.
type cluster struct {
	t         testing.TB
	log       chat.Log
	store     chat.Store
	publisher *chat.Publisher
	accounts  *chat.Accounts
	rooms     *chat.Rooms
	messages  *chat.Messages
}

func newCluster(t testing.TB) *cluster {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	log, err := locallog.Open(t.TempDir(), locallog.Options{
		Partitions: map[chat.Topic]int32{chat.TopicMessages: 2, chat.TopicRooms: 2},
		Sync:       []chat.Topic{}, Logger: quiet,
	})
	if err != nil {
		t.Fatalf("open log: %v", err)
	}
	t.Cleanup(func() { log.Close() })
	store, err := localstore.Open(t.TempDir(), localstore.Options{Logger: quiet})
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	t.Cleanup(func() { store.Close() })
	return overPorts(t, log, store)
}

func overPorts(t testing.TB, log chat.Log, store chat.Store) *cluster {
	c := &cluster{t: t, log: log, store: store, publisher: chat.NewPublisher(log)}
	limits := chat.Limits{MessageBytes: 8192, MinTTL: time.Second, MaxTTL: 24 * time.Hour}
	c.accounts = chat.NewAccounts(store, c.publisher, chat.AccountsOptions{TokenTTL: time.Hour, Now: time.Now})
	c.rooms = chat.NewRooms(store, c.accounts, c.publisher, chat.RoomsOptions{SessionAccess: chat.AccessMembers, Limits: limits, Now: time.Now})
	c.messages = chat.NewMessages(log, store, c.rooms, c.publisher, chat.MessagesOptions{
		TTL: time.Hour, Limits: limits, MaxLag: 64 << 20, Now: time.Now,
	})
	return c
}

// person is a user with a token.
type person struct {
	chat.User
	token string
}

// person makes a user straight in the store: a password hash takes its time.
func (c *cluster) person(name string, staff bool) person {
	c.t.Helper()
	user, err := c.store.CreateUser(c.t.Context(), chat.User{
		Profile: chat.Profile{Username: name, Email: name + "@mail.com"}, IsStaff: staff, IsActive: true, Created: time.Now(),
	})
	if err != nil {
		c.t.Fatalf("create %s: %v", name, err)
	}
	return c.login(user, time.Hour)
}

func (c *cluster) login(user chat.User, lives time.Duration) person {
	c.t.Helper()
	token := fmt.Sprintf("%s-%d", user.Username, time.Now().UnixNano())
	err := c.store.CreateToken(c.t.Context(), chat.Token{
		Hash: hashOf(token), UserID: user.ID, Created: time.Now(), Expires: time.Now().Add(lives),
	})
	if err != nil {
		c.t.Fatalf("create token: %v", err)
	}
	return person{user, token}
}

func (c *cluster) session(owner person, members ...person) chat.Room {
	c.t.Helper()
	return c.sessionWith(owner, chat.SessionSettings{}, members...)
}

func (c *cluster) sessionWith(owner person, s chat.SessionSettings, members ...person) chat.Room {
	c.t.Helper()
	room, err := c.rooms.CreateSession(c.t.Context(), owner.User, s)
	if err != nil {
		c.t.Fatalf("create session: %v", err)
	}
	for _, m := range members {
		if _, err := c.rooms.Join(c.t.Context(), m.User, room, ""); err != nil {
			c.t.Fatalf("join: %v", err)
		}
	}
	return room
}

func (c *cluster) room(admin person, title string, staffOnly bool) chat.Room {
	c.t.Helper()
	room, err := c.rooms.CreateRoom(c.t.Context(), admin.User, title, staffOnly)
	if err != nil {
		c.t.Fatalf("create room: %v", err)
	}
	return room
}

func (c *cluster) send(from person, room chat.Room, text, key string) chat.Message {
	c.t.Helper()
	m, err := c.messages.Send(c.t.Context(), from.User, room, text, key)
	if err != nil {
		c.t.Fatalf("send %q: %v", text, err)
	}
	return m
}

// node is a running gateway.
type node struct {
	*gateway.Gateway
	t       testing.TB
	metrics *metrics.Metrics
	server  *httptest.Server
	stop    func()
}

// start runs a gateway until stop is called or the test ends.
func (c *cluster) start(id string, change ...func(*gateway.Options)) *node {
	c.t.Helper()
	return c.startWith(id, c.store, change...)
}

func (c *cluster) startWith(id string, presence chat.PresenceStore, change ...func(*gateway.Options)) *node {
	c.t.Helper()
	o := gateway.Options{
		ID: id, Authenticate: httpauth.New(c.accounts, []string{"https://app.example.com"}).Identify,
		Logger: slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&o)
	}
	m := metrics.New("test")
	g := gateway.New(c.log, presence, c.accounts, c.rooms, c.messages, m, o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	mux := http.NewServeMux()
	mux.Handle("/chat/stream/", g.StreamHandler())
	mux.Handle("/", g.SessionHandler())
	n := &node{Gateway: g, t: c.t, metrics: m, server: httptest.NewServer(mux)}
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			c.t.Errorf("gateway ended with %v", err)
		}
		n.server.Close()
	})
	c.t.Cleanup(n.stop)
	eventually(c.t, "gateway serves", func() bool { return g.Ready() == nil })
	return n
}

// eventually polls until ok; what it waits for is visible from outside only.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(wait); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("timed out: %s", what)
		}
	}
}

// socket is a client.
type socket struct {
	t  testing.TB
	ws *websocket.Conn
}

func (n *node) dial(path string, header http.Header) (*websocket.Conn, *http.Response, error) {
	return websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(n.server.URL, "http")+path, header)
}

func tokenHeader(p person) http.Header {
	if p.token == "" {
		return nil
	}
	return http.Header{"Authorization": {"Token " + p.token}}
}

func (n *node) open(who person, path string) *socket {
	n.t.Helper()
	ws, _, err := n.dial(path, tokenHeader(who))
	if err != nil {
		n.t.Fatalf("dial %s: %v", path, err)
	}
	n.t.Cleanup(func() { ws.Close() })
	return &socket{n.t, ws}
}

func (n *node) stream(who person) *socket {
	n.t.Helper()
	return n.open(who, "/chat/stream/")
}

// joinedStream is a stream that is in the room, and has read the answer.
func (n *node) joinedStream(who person, room chat.Room) *socket {
	n.t.Helper()
	s := n.stream(who)
	s.say(`{"command":"join","room":%d}`, room.ID)
	s.hears(fmt.Sprintf(`{"join":"%d","title":%q}`, room.ID, room.Title))
	return s
}

func (s *socket) say(format string, args ...any) {
	s.t.Helper()
	if err := s.ws.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, format, args...)); err != nil {
		s.t.Fatalf("say: %v", err)
	}
}

func (s *socket) read() (string, error) {
	s.ws.SetReadDeadline(time.Now().Add(wait))
	_, data, err := s.ws.ReadMessage()
	return string(data), err
}

func (s *socket) next() string {
	s.t.Helper()
	data, err := s.read()
	if err != nil {
		s.t.Fatalf("read: %v", err)
	}
	return data
}

func (s *socket) hears(want ...string) {
	s.t.Helper()
	for _, w := range want {
		if got := s.next(); got != w {
			s.t.Fatalf("got frame %s, want %s", got, w)
		}
	}
}

// ends reads until the socket closes, and answers the code.
func (s *socket) ends() int {
	s.t.Helper()
	for {
		_, err := s.read()
		var closed *websocket.CloseError
		switch {
		case errors.As(err, &closed):
			return closed.Code
		case err != nil:
			s.t.Fatalf("socket ended with %v, want a close frame", err)
		}
	}
}

// frame is a message frame of a socket with ids, or its first frame.
type frame struct {
	Message   string `json:"message"`
	ID        string `json:"id"`
	Prev      string `json:"prev"`
	Time      string `json:"time"`
	Position  string `json:"position"`
	Recovered *bool  `json:"recovered"`
}

func parse(t testing.TB, data string) frame {
	t.Helper()
	var f frame
	if err := json.Unmarshal([]byte(data), &f); err != nil {
		t.Fatalf("frame %s: %v", data, err)
	}
	return f
}

func userJSON(p person) string {
	return fmt.Sprintf(`{"id":%d,"username":%q,"email":%q,"first_name":%q,"last_name":%q}`,
		p.ID, p.Username, p.Email, p.FirstName, p.LastName)
}

func path(room chat.Room) string { return "/" + room.URI }

func idPath(room chat.Room) string { return "/" + strconv.FormatInt(room.ID, 10) }
