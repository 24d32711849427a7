// Package wire plays the exchanges of the wire contract against a server, as the
// two existing clients hold them. It serves the package's own tests, which
// start servers, and those of a whole that runs somewhere already.
package wire

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/test/chatdtest"
	"github.com/gorilla/websocket"
)

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
// pattern is the body, in which … stands for anything and # for a number; the
// last of them is returned.
func (c conversation) expect(token, method, path, form string, status int, pattern string) string {
	c.t.Helper()
	gotStatus, got, _ := c.call(token, method, path, form)
	want := "^" + strings.NewReplacer("…", "(.*)", "#", "([0-9]+)").Replace(regexp.QuoteMeta(pattern)) + "$"
	match := regexp.MustCompile(want).FindStringSubmatch(got)
	if gotStatus != status || match == nil {
		c.t.Fatalf("%s %s %s: got %d %s, want %d %s", method, path, form, gotStatus, got, status, pattern)
	}
	if len(match) > 1 {
		return match[len(match)-1]
	}
	return ""
}

// Paths are where accounts are managed, and what all paths end with.
type Paths struct{ Register, Login, Logout, Slash string }

// The two sets of paths that clients use.
var (
	FirstPaths  = Paths{"/auth/users/create/", "/auth/token/login/", "/auth/token/logout/", "/"}
	SecondPaths = Paths{"/auth/user/create", "/auth/user/login", "/auth/user/logout", ""}
)

// SessionOptions are the choices of Sessions.
type SessionOptions struct {
	Paths
	// A and B are names of users to register.
	A, B string
	// Anonymous has the receiver show no token, as a server allows that gives
	// access by link.
	Anonymous bool
}

// Sessions is contract A: REST, and a socket for one session. It returns the
// ids that the users got.
func Sessions(t *testing.T, s *chatdtest.Server, o SessionOptions) (idA, idB string) {
	t.Helper()
	c := conversation{t, s}
	register := func(name string) (id, user string) {
		id = c.expect("", "POST", o.Register, "username="+name+"&password="+name+"_password&email="+name+"@mail.com", 201,
			`{"email":"`+name+`@mail.com","username":"`+name+`","id":#}`)
		return id, `{"id":` + id + `,"username":"` + name + `","email":"` + name + `@mail.com","first_name":"","last_name":""}`
	}
	idA, userA := register(o.A)
	idB, userB := register(o.B)
	a := c.expect("", "POST", o.Login, "username="+o.A+"&password="+o.A+"_password", 200, `{"auth_token":"…"}`)
	b := c.expect("", "POST", o.Login, "username="+o.B+"&password="+o.B+"_password", 200, `{"auth_token":"…"}`)
	if !regexp.MustCompile(`^[0-9a-f]{40}$`).MatchString(a) {
		t.Errorf("token: got %q, want 40 hexadecimal digits", a)
	}
	uri := createSession(c, a, o.Slash)
	chat := "/api/chats/" + uri
	c.expect(b, "PATCH", chat+o.Slash, "username="+o.B, 200,
		`{"status":"SUCCESS","members":[`+userA+`,`+userB+`],"message":"`+o.B+` joined that chat","user":`+userB+`}`)

	header := http.Header{"Authorization": {"Token " + b}}
	if o.Anonymous {
		header = nil
	}
	receiver := dial(t, "ws://"+s.Gateway+"/"+uri, header)
	c.expect(a, "POST", chat+"/messages"+o.Slash, "message=Hello!", 200,
		`{"status":"SUCCESS","uri":"`+uri+`","message":"Hello!","user":`+userA+`…}`)
	c.expect(b, "POST", chat+"/messages"+o.Slash, "message=<Hé> %26 \"you\"", 200, `…`)
	receiver.expect(`{"user":%s,"message":"Hello!"}`, userA)
	receiver.expect(`{"user":%s,"message":"<Hé> & \"you\""}`, userB)

	history := c.expect(b, "GET", chat+"/messages"+o.Slash, "", 200, `{"id":#,"uri":"`+uri+`","messages":[{"user":`+userA+`,"message":"Hello!"…]}`)
	if !strings.Contains(history, `{"user":`+userB) {
		t.Errorf("history: got …%s after Hello!, want the message of %s", history, o.B)
	}
	sessions := c.expect(b, "GET", "/api/chats"+o.Slash, "", 200, `{"status":"SUCCESS","sessions":[…]}`)
	if !strings.HasPrefix(sessions, `{"uri":"`+uri+`","members":[`+userA+`,`+userB+`]`) {
		t.Errorf("sessions: got %s, want the one with both members", sessions)
	}
	c.expect(b, "POST", o.Logout, "", 204, "")
	c.expect(b, "GET", "/api/chats"+o.Slash, "", 401, `{"detail":"…"}`)
	return idA, idB
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

// Rooms is contract B: many rooms over one socket, on both addresses. root is an
// administrator.
func Rooms(t *testing.T, s *chatdtest.Server, root *chatdtest.Client) {
	t.Helper()
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
	// Another replica may believe for a second what it knew.
	time.Sleep(1100 * time.Millisecond)

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
