package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chatcluster/chatcluster/internal/api"
	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/httpauth"
	loglocal "github.com/chatcluster/chatcluster/internal/log/local"
	"github.com/chatcluster/chatcluster/internal/metrics"
	storelocal "github.com/chatcluster/chatcluster/internal/store/local"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is an API on the embedded log and store. What it is asked and answers
// is checked against the OpenAPI document.
type server struct {
	*httptest.Server
	api      *api.API
	accounts *chat.Accounts
	rooms    *chat.Rooms
	metrics  *metrics.Metrics
	log      *faultyLog
	// logged is what the API has told its logger.
	logged *logBuffer
}

// settings are what a test may want otherwise.
type settings struct {
	api      api.Options
	accounts chat.AccountsOptions
	messages chat.MessagesOptions
}

func start(t testing.TB, adjust ...func(*settings)) *server {
	t.Helper()
	limits := chat.Limits{MessageBytes: 64 << 10, MinTTL: time.Minute, MaxTTL: 24 * time.Hour}
	logged := &logBuffer{}
	s := settings{
		api:      api.Options{Logger: slog.New(slog.NewTextHandler(logged, nil))},
		accounts: chat.AccountsOptions{TokenTTL: time.Hour, Now: time.Now},
		messages: chat.MessagesOptions{TTL: time.Hour, Limits: limits, MaxLag: 64 << 20, Now: time.Now},
	}
	for _, f := range adjust {
		f(&s)
	}
	quiet := slog.New(slog.DiscardHandler)
	embedded, err := loglocal.Open(t.TempDir(), loglocal.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeOrFail(t, embedded) })
	store, err := storelocal.Open(t.TempDir(), storelocal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeOrFail(t, store) })

	log := &faultyLog{Log: embedded}
	publisher := chat.NewPublisher(log)
	accounts := chat.NewAccounts(store, publisher, s.accounts)
	rooms := chat.NewRooms(store, accounts, publisher, chat.RoomsOptions{SessionAccess: chat.AccessMembers, Limits: limits, Now: time.Now})
	messages := chat.NewMessages(log, store, rooms, publisher, s.messages)
	m := metrics.New("test")
	a := api.New(accounts, rooms, messages, httpauth.New(accounts, nil), m, s.api)
	hs := httptest.NewServer(a.Handler())
	hs.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(hs.Close)
	return &server{Server: hs, api: a, accounts: accounts, rooms: rooms, metrics: m, log: log, logged: logged}
}

func closeOrFail(t testing.TB, c io.Closer) {
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// errPanic makes a faultyLog panic.
var errPanic = errors.New("the log has a bug")

// faultyLog fails appends with fail, if it is set, or panics if that is
// errPanic.
type faultyLog struct {
	chat.Log
	mu   sync.Mutex // guards fail
	fail error
}

func (l *faultyLog) failWith(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = err
}

func (l *faultyLog) Append(ctx context.Context, p chat.Partition, key string, value []byte) (chat.Record, uint32, error) {
	l.mu.Lock()
	fail := l.fail
	l.mu.Unlock()
	switch fail {
	case nil:
		return l.Log.Append(ctx, p, key, value)
	case errPanic:
		panic(fail)
	default:
		return chat.Record{}, 0, fail
	}
}

// logBuffer is a bytes.Buffer for many goroutines.
type logBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// password is everyone's.
const password = "correct-horse"

// caller is a user with a token.
type caller struct {
	chat.User
	token string
}

func (s *server) user(t testing.TB, username string) caller {
	t.Helper()
	return s.newUser(t, chat.NewUser{Username: username})
}

func (s *server) staff(t *testing.T, username string) caller {
	t.Helper()
	return s.newUser(t, chat.NewUser{Username: username, IsStaff: true})
}

func (s *server) newUser(t testing.TB, n chat.NewUser) caller {
	t.Helper()
	n.Password, n.Email = password, n.Username+"@mail.com"
	u, err := s.accounts.Register(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := s.accounts.Login(t.Context(), n.Username, password, "")
	if err != nil {
		t.Fatal(err)
	}
	return caller{u, token}
}

// session makes a session of owner with the members, and returns it.
func (s *server) session(t testing.TB, access chat.Access, owner caller, members ...caller) chat.Room {
	t.Helper()
	room, err := s.rooms.CreateSession(t.Context(), owner.User, chat.SessionSettings{Access: access})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		if _, err := s.rooms.Join(t.Context(), m.User, room, ""); err != nil {
			t.Fatal(err)
		}
	}
	return room
}

// call is a request. A body of a type of its own goes into body and
// contentType; form and json are shorter ways to say it.
type call struct {
	method, path      string
	token             string
	form              url.Values
	json              string
	contentType, body string
	header            http.Header
}

func (c call) request(base string) *http.Request {
	body, contentType := c.body, c.contentType
	switch {
	case c.form != nil:
		body, contentType = c.form.Encode(), "application/x-www-form-urlencoded"
	case c.json != "":
		body, contentType = c.json, "application/json"
	}
	r, err := http.NewRequest(c.method, base+c.path, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	for name, values := range c.header {
		r.Header[name] = values
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Token "+c.token)
	}
	return r
}

type received struct {
	status int
	header http.Header
	body   string
}

// field is a field of the answer, as it stands there.
func (r received) field(t *testing.T, name string) string {
	t.Helper()
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(r.body), &object); err != nil {
		t.Fatalf("got %q, which is no object: %v", r.body, err)
	}
	return strings.Trim(string(object[name]), `"`)
}

// do makes the call and checks both sides of it against the document.
func (s *server) do(t *testing.T, c call) received {
	t.Helper()
	response, err := s.Client().Do(c.request(s.URL))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	r := received{response.StatusCode, response.Header, string(body)}
	checkDocumented(t, c, r)
	return r
}

// want makes the call and checks the answer's status.
func (s *server) want(t *testing.T, status int, c call) received {
	t.Helper()
	got := s.do(t, c)
	if got.status != status {
		t.Fatalf("%s %s: got %d %s, want %d", c.method, c.path, got.status, got.body, status)
	}
	return got
}
