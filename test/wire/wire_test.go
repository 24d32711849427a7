// Package wire_test plays the two exchanges of the wire contract against the
// real server, as the two existing clients hold them.
package wire_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/test/chatdtest"
	"github.com/gorilla/websocket"
)

func TestMain(m *testing.M) {
	code := m.Run()
	chatdtest.RemoveBinaries()
	os.Exit(code)
}

// conversation calls the API and compares answers as text.
type conversation struct {
	t      *testing.T
	server *chatdtest.Server
}

// call makes a request with a form and returns the answer.
func (c conversation) call(token, method, path, form string) (status int, body string, header http.Header) {
	c.t.Helper()
	values, err := url.ParseQuery(form)
	if err != nil {
		c.t.Fatal(err)
	}
	client := chatdtest.NewClient(c.server)
	client.Token = token
	answer, err := client.Call(c.t.Context(), method, path, values)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer.Status, string(answer.Body), answer.Header
}

// expect makes a request and fails unless the answer is as it should be.
// pattern is the body, in which … stands for anything.
func (c conversation) expect(token, method, path, form string, status int, pattern string) string {
	c.t.Helper()
	gotStatus, got, _ := c.call(token, method, path, form)
	want := "^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), "…", "(.*)") + "$"
	match := regexp.MustCompile(want).FindStringSubmatch(got)
	if gotStatus != status || match == nil {
		c.t.Fatalf("%s %s %s: got %d %s, want %d %s", method, path, form, gotStatus, got, status, pattern)
	}
	if len(match) > 1 {
		return match[1]
	}
	return ""
}

const (
	userA = `{"id":1,"username":"user_a","email":"user_a@mail.com","first_name":"","last_name":""}`
	userB = `{"id":2,"username":"user_b","email":"user_b@mail.com","first_name":"","last_name":""}`
)

// eachMode runs a test against each way to run the server.
func eachMode(t *testing.T, test func(t *testing.T, start func(testing.TB, ...string) *chatdtest.Server)) {
	for _, mode := range chatdtest.Modes() {
		t.Run(mode.Name, func(t *testing.T) { test(t, mode.Start) })
	}
}

// TestSessions is contract A: REST, and a socket for one session.
func TestSessions(t *testing.T) { eachMode(t, testSessions) }

func testSessions(t *testing.T, start func(testing.TB, ...string) *chatdtest.Server) {
	for _, tc := range []struct {
		name                    string
		register, login, logout string
		slash                   string
		args                    []string
		anonymousReceiver       bool
	}{
		{"first paths, members only", "/auth/users/create/", "/auth/token/login/", "/auth/token/logout/", "/", nil, false},
		{"second paths, no slashes, by link", "/auth/user/create", "/auth/user/login", "/auth/user/logout", "", []string{"--session-access=link"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := start(t, tc.args...)
			c := conversation{t, s}
			c.expect("", "POST", tc.register, "username=user_a&password=user_a_password&email=user_a@mail.com", 201,
				`{"email":"user_a@mail.com","username":"user_a","id":1}`)
			c.expect("", "POST", tc.register, "username=user_b&password=user_b_password&email=user_b@mail.com", 201,
				`{"email":"user_b@mail.com","username":"user_b","id":2}`)
			a := c.expect("", "POST", tc.login, "username=user_a&password=user_a_password", 200, `{"auth_token":"…"}`)
			b := c.expect("", "POST", tc.login, "username=user_b&password=user_b_password", 200, `{"auth_token":"…"}`)
			if !regexp.MustCompile(`^[0-9a-f]{40}$`).MatchString(a) {
				t.Errorf("token: got %q, want 40 hexadecimal digits", a)
			}
			uri := createSession(c, a, tc.slash)
			chat := "/api/chats/" + uri
			c.expect(b, "PATCH", chat+tc.slash, "username=user_b", 200,
				`{"status":"SUCCESS","members":[`+userA+`,`+userB+`],"message":"user_b joined that chat","user":`+userB+`}`)

			header := http.Header{"Authorization": {"Token " + b}}
			if tc.anonymousReceiver {
				header = nil
			}
			receiver := dial(t, "ws://"+s.Gateway+"/"+uri, header)
			c.expect(a, "POST", chat+"/messages"+tc.slash, "message=Hello!", 200,
				`{"status":"SUCCESS","uri":"`+uri+`","message":"Hello!","user":`+userA+`…}`)
			c.expect(b, "POST", chat+"/messages"+tc.slash, "message=<Hé> %26 \"you\"", 200, `…`)
			receiver.expect(`{"user":` + userA + `,"message":"Hello!"}`)
			receiver.expect(`{"user":` + userB + `,"message":"<Hé> & \"you\""}`)

			history := c.expect(b, "GET", chat+"/messages"+tc.slash, "", 200, `{"id":1,"uri":"`+uri+`","messages":[…]}`)
			if first, second := strings.Index(history, `{"user":`+userA+`,"message":"Hello!"`), strings.Index(history, `{"user":`+userB); first != 0 || second < first {
				t.Errorf("history: got %s, want Hello! of user_a first", history)
			}
			sessions := c.expect(b, "GET", "/api/chats"+tc.slash, "", 200, `{"status":"SUCCESS","sessions":[…]}`)
			if !strings.HasPrefix(sessions, `{"uri":"`+uri+`","members":[`+userA+`,`+userB+`]`) {
				t.Errorf("sessions: got %s, want the one with both members", sessions)
			}
			c.expect(b, "POST", tc.logout, "", 204, "")
			c.expect(b, "GET", "/api/chats"+tc.slash, "", 401, `{"detail":"…"}`)
		})
	}
}

func createSession(c conversation, token, slash string) string {
	c.t.Helper()
	status, body, _ := c.call(token, "POST", "/api/chats"+slash, "")
	match := regexp.MustCompile(`^\{"status":"SUCCESS","uri":"([0-9a-f]{15})","message":"New chat session created"[,}]`).FindStringSubmatch(body)
	if status != 200 || match == nil {
		c.t.Fatalf("create session: got %d %s", status, body)
	}
	return match[1]
}

func TestErrors(t *testing.T) { eachMode(t, testErrors) }

func testErrors(t *testing.T, start func(testing.TB, ...string) *chatdtest.Server) {
	s := start(t)
	c := conversation{t, s}
	user := chatdtest.Register(t, s, "user_a")
	stranger := chatdtest.Register(t, s, "user_b")
	uri := user.CreateSession(t)
	for _, tc := range []struct {
		name, token, method, path, form string
		status                          int
		pattern                         string
	}{
		{"no token", "", "GET", "/api/chats/", "", 401, `{"detail":"…"}`},
		{"dead token", strings.Repeat("0", 40), "GET", "/api/chats/", "", 401, `{"detail":"…"}`},
		{"not a member", stranger.Token, "GET", "/api/chats/" + uri + "/messages/", "", 403, `{"detail":"…"}`},
		{"not a member sends", stranger.Token, "POST", "/api/chats/" + uri + "/messages/", "message=hi", 403, `{"detail":"…"}`},
		{"no such session", user.Token, "GET", "/api/chats/fffffffffffffff/messages/", "", 404, `{"detail":"…"}`},
		{"field missing", user.Token, "POST", "/api/chats/" + uri + "/messages/", "", 400, `{"message":["…"]}`},
		{"username taken", "", "POST", "/auth/users/create/", "username=user_a&password=user_a_password", 400, `{"username":["…"]}`},
		{"wrong password", "", "POST", "/auth/token/login/", "username=user_a&password=wrong", 400, `{"non_field_errors":["…"]}`},
		{"unknown user", "", "POST", "/auth/token/login/", "username=nobody&password=wrong", 400, `{"non_field_errors":["…"]}`},
		{"wrong method", user.Token, "PUT", "/api/chats/", "", 405, `{"detail":"…"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			conversation{t, s}.expect(tc.token, tc.method, tc.path, tc.form, tc.status, tc.pattern)
		})
	}
	if _, _, header := c.call("", "GET", "/api/chats/", ""); header.Get("WWW-Authenticate") != "Token" {
		t.Errorf("WWW-Authenticate: got %q, want Token", header.Get("WWW-Authenticate"))
	}
	_, wrong, _ := c.call("", "POST", "/auth/token/login/", "username=user_b&password=wrong")
	_, unknown, _ := c.call("", "POST", "/auth/token/login/", "username=nobody2&password=wrong")
	if wrong != unknown {
		t.Errorf("a wrong password answers %s, an unknown user %s: want the same", wrong, unknown)
	}
}

// TestRooms is contract B: many rooms over one socket, on both addresses.
func TestRooms(t *testing.T) { eachMode(t, testRooms) }

func testRooms(t *testing.T, start func(testing.TB, ...string) *chatdtest.Server) {
	s := start(t)
	stdout, stderr, err := chatdtest.Run(t, chatdtest.Password+"\n", "chatd",
		append([]string{"create-superuser", "--username", "root", "--email", "root@mail.com", "--password-stdin"}, s.Data...)...)
	if err != nil {
		t.Fatalf("create-superuser: %v\n%s%s", err, stdout, stderr)
	}
	root := chatdtest.NewClient(s)
	root.Username = "root"
	root.Login(t)
	room := func(title, staffOnly string) int {
		return int(root.MustCall(t, http.MethodPost, "/api/admin/rooms/", url.Values{"title": {title}, "staff_only": {staffOnly}})["id"].(float64))
	}
	lobby, staff := room("Lobby", "false"), room("Backstage", "true")
	amir, binh := chatdtest.Register(t, s, "amir"), chatdtest.Register(t, s, "binh")
	id := func(c *chatdtest.Client) int {
		return int(c.MustCall(t, http.MethodGet, "/auth/users/me/", nil)["id"].(float64))
	}
	amirID, binhID := id(amir), id(binh)
	root.MustCall(t, http.MethodPatch, fmt.Sprintf("/api/admin/users/%d/", amirID), url.Values{"first_name": {"Amir"}, "last_name": {"S"}})

	if conn, response, err := websocket.DefaultDialer.Dial("ws://"+s.API+"/chat/stream/", nil); err == nil {
		conn.Close()
		t.Error("an anonymous socket was let in")
	} else if response == nil || response.StatusCode != http.StatusUnauthorized {
		t.Errorf("an anonymous socket: got %v %v, want 401", response, err)
	}
	a := dial(t, "ws://"+s.API+"/chat/stream/", http.Header{"Authorization": {"Token " + amir.Token}})
	b := dial(t, "ws://"+s.Gateway+"/chat/stream/", http.Header{"Authorization": {"Token " + binh.Token}})

	b.send(`{"command":"join","room":%d}`, lobby)
	b.expect(`{"join":"%d","title":"Lobby"}`, lobby)
	a.send(`{"command":"send","room":%d,"message":"too early"}`, lobby)
	a.expect(`{"error":"ROOM_ACCESS_DENIED"}`)
	a.send(`{"command":"join","room":%d}`, lobby)
	a.expect(`{"join":"%d","title":"Lobby"}`, lobby)
	b.expect(`{"msg_type":4,"room":%d,"username":"amir"}`, lobby)
	a.send(`{"command":"send","room":%d,"message":"hi"}`, lobby)
	for _, conn := range []*socket{a, b} {
		conn.expect(`{"msg_type":0,"room":%d,"username":"amir","message":"hi"}`, lobby)
	}
	a.send(`{"command":"room_users","room":%d}`, lobby)
	users := a.match(`^\{"type":6,"room":%d,"data":\{"users":\{"%d":\{"username":"amir","name":"Amir S","left":false,"last_update":([0-9.]+)\},"%d":\{"username":"binh","name":"binh","left":false,"last_update":[0-9.]+\}\}\}\}$`, lobby, amirID, binhID)
	a.send(`{"command":"join","room":%d}`, staff)
	a.expect(`{"error":"ROOM_ACCESS_DENIED"}`)
	a.send(`{"command":"join","room":999999}`)
	a.expect(`{"error":"ROOM_INVALID"}`)
	a.send(`{"command":"leave","room":%d}`, lobby)
	a.expect(`{"leave":"%d"}`, lobby)
	b.expect(`{"msg_type":5,"room":%d,"username":"amir"}`, lobby)

	// Joined again, and then gone without a word.
	a.send(`{"command":"join","room":%d}`, lobby)
	a.expect(`{"join":"%d","title":"Lobby"}`, lobby)
	b.expect(`{"msg_type":4,"room":%d,"username":"amir"}`, lobby)
	a.conn.NetConn().Close()
	b.expect(`{"msg_type":5,"room":%d,"username":"amir"}`, lobby)
	b.send(`{"command":"room_users","room":%d}`, lobby)
	later := b.match(`"%d":\{"username":"amir","name":"Amir S","left":true,"last_update":([0-9.]+)\}`, amirID)
	if later <= users {
		t.Errorf("last_update: got %s after another join, want more than %s", later, users)
	}
}

// socket is a WebSocket whose frames are compared as text.
type socket struct {
	t    *testing.T
	conn *websocket.Conn
}

func dial(t *testing.T, target string, header http.Header) *socket {
	t.Helper()
	conn, response, err := websocket.DefaultDialer.DialContext(t.Context(), target, header)
	if err != nil {
		t.Fatalf("dial %s: %v (%v)", target, err, response)
	}
	t.Cleanup(func() { conn.Close() })
	return &socket{t, conn}
}

func (s *socket) send(format string, args ...any) {
	s.t.Helper()
	if err := s.conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, format, args...)); err != nil {
		s.t.Fatalf("send: %v", err)
	}
}

func (s *socket) read() string {
	s.t.Helper()
	if err := s.conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	kind, data, err := s.conn.ReadMessage()
	if err != nil || kind != websocket.TextMessage {
		s.t.Fatalf("read: got kind %d, %v, want a text frame", kind, err)
	}
	return string(data)
}

func (s *socket) expect(format string, args ...any) {
	s.t.Helper()
	if got, want := s.read(), fmt.Sprintf(format, args...); got != want {
		s.t.Fatalf("got %s, want %s", got, want)
	}
}

// match reads a frame and returns what the pattern's group matched.
func (s *socket) match(format string, args ...any) string {
	s.t.Helper()
	got, pattern := s.read(), format
	if len(args) > 0 {
		pattern = fmt.Sprintf(format, args...)
	}
	match := regexp.MustCompile(pattern).FindStringSubmatch(got)
	if match == nil {
		s.t.Fatalf("got %s, want %s", got, pattern)
	}
	return match[1]
}
