package gateway_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/gateway"
	"github.com/chatcluster/chatcluster/internal/httpauth"
)

func hashOf(token string) chat.TokenHash { return sha256.Sum256([]byte(token)) }

func TestSessionSocket(t *testing.T) {
	c := newCluster(t)
	a, b := c.person("user_a", false), c.person("user_b", false)
	room := c.session(a, b)
	n := c.start("g1")

	byURI, slash, byID := n.open(b, path(room)), n.open(a, path(room)+"/"), n.open(b, idPath(room))
	c.send(a, room, "Hello!", "")
	c.send(b, room, "<b>\"quoted\" & \\ é \n</b>", "")
	for _, s := range []*socket{byURI, slash, byID} {
		s.hears(
			`{"user":`+userJSON(a)+`,"message":"Hello!"}`,
			`{"user":`+userJSON(b)+`,"message":"<b>\"quoted\" & \\ é \n</b>"}`,
		)
	}
}

func TestSessionSocketIgnoresItsClient(t *testing.T) {
	c := newCluster(t)
	a := c.person("user_a", false)
	room := c.session(a)
	s := c.start("g1").open(a, path(room))
	s.say("anything")
	if err := s.ws.WriteMessage(websocket.BinaryMessage, []byte{0xff}); err != nil {
		t.Fatal(err)
	}
	c.send(a, room, "still here", "")
	s.hears(`{"user":` + userJSON(a) + `,"message":"still here"}`)
}

func TestLinkAccess(t *testing.T) {
	c := newCluster(t)
	a := c.person("user_a", false)
	link := c.sessionWith(a, chat.SessionSettings{Access: chat.AccessLink})
	n := c.start("g1")
	s := n.open(person{}, path(link))
	c.send(a, link, "for all", "")
	s.hears(`{"user":` + userJSON(a) + `,"message":"for all"}`)

	// An integer id can be guessed.
	if _, resp, _ := n.dial(idPath(link), nil); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("by id: got %d, want 401", resp.StatusCode)
	}
}

func TestHandshakeRefused(t *testing.T) {
	c := newCluster(t)
	a, b, admin := c.person("user_a", false), c.person("user_b", false), c.person("root", true)
	session, staffOnly := c.session(a), c.room(admin, "Staff", true)
	n := c.start("g1")
	cookie := func(p person, origin string) http.Header {
		h := http.Header{"Cookie": {httpauth.CookieName + "=" + p.token}}
		if origin != "" {
			h.Set("Origin", origin)
		}
		return h
	}
	const notProvided, invalid = `{"detail":"Authentication credentials were not provided."}`, `{"detail":"Invalid token."}`
	tests := []struct {
		name   string
		path   string
		header http.Header
		code   int
		body   string
	}{
		{"no token", path(session), nil, 401, notProvided},
		{"dead token", path(session), tokenHeader(person{token: "beef"}), 401, invalid},
		{"not a member", path(session), tokenHeader(b), 403, `{"detail":"You are not a member of this session."}`},
		{"staff only", path(staffOnly), tokenHeader(a), 403, `{"detail":"This room is for staff only."}`},
		{"unknown", "/0123456789abcde", tokenHeader(a), 404, `{"detail":"Not found."}`},
		{"no reference", "/", tokenHeader(a), 404, `{"detail":"Not found."}`},
		{"bad after", path(session) + "?after=12", tokenHeader(a), 400, `{"after":["Enter the id of a message or a position: a message id has 28 hexadecimal digits, not 2 characters."]}`},
		{"stream without token", "/chat/stream/", nil, 401, notProvided},
		{"stream with a cookie and no origin", "/chat/stream/", cookie(a, ""), 401, notProvided},
		{"stream with a cookie of a foreign origin", "/chat/stream/", cookie(a, "https://evil.example"), 401, notProvided},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, resp, err := n.dial(tt.path, tt.header)
			if err == nil {
				t.Fatal("the handshake succeeded")
			}
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != tt.code || string(body) != tt.body {
				t.Errorf("got %d %s, want %d %s", resp.StatusCode, body, tt.code, tt.body)
			}
			if got := resp.Header.Get("WWW-Authenticate"); (tt.code == 401) != (got == "Token") {
				t.Errorf("got WWW-Authenticate %q", got)
			}
		})
	}
	for _, origin := range []string{n.server.URL, "https://app.example.com"} {
		ws, _, err := n.dial("/chat/stream/", cookie(a, origin))
		if err != nil {
			t.Fatalf("cookie with origin %s: %v", origin, err)
		}
		ws.Close()
	}
	resp, err := http.Get(n.server.URL + path(session))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("plain GET: got %d, want 426", resp.StatusCode)
	}
}

// Handshakes that arrive together do not get more places than there are.
func TestMaxSocketsInABurst(t *testing.T) {
	const places, clients = 3, 30
	c := newCluster(t)
	a := c.person("user_a", false)
	n := c.start("g1", func(o *gateway.Options) { o.MaxSockets = places })
	var opened atomic.Int64
	var dials sync.WaitGroup
	for range clients {
		dials.Go(func() {
			ws, _, err := n.dial("/chat/stream/", tokenHeader(a))
			if err == nil {
				opened.Add(1)
				t.Cleanup(func() { ws.Close() })
			}
		})
	}
	dials.Wait()
	if got := opened.Load(); got < 1 || got > places {
		t.Errorf("%d sockets were opened, want at least one and at most %d", got, places)
	}
}

func TestMaxSockets(t *testing.T) {
	c := newCluster(t)
	a := c.person("user_a", false)
	n := c.start("g1", func(o *gateway.Options) { o.MaxSockets = 1 })
	first := n.stream(a)
	_, resp, err := n.dial("/chat/stream/", tokenHeader(a))
	if err == nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Fatalf("got %v, want 503 with Retry-After", resp)
	}
	first.ws.Close()
	eventually(t, "the place is free again", func() bool {
		ws, _, err := n.dial("/chat/stream/", tokenHeader(a))
		if err == nil {
			ws.Close()
		}
		return err == nil
	})
}

// TestStreamContract is the table of the wire contract, byte for byte.
func TestStreamContract(t *testing.T) {
	c := newCluster(t)
	admin := c.person("root", true)
	amir, sara := c.person("amir", false), c.person("sara", false)
	first, last := "Amir", "S"
	if _, err := c.store.UpdateUser(t.Context(), amir.ID, chat.UserChange{FirstName: &first, LastName: &last}); err != nil {
		t.Fatal(err)
	}
	lobby, staff := c.room(admin, "Lobby", false), c.room(admin, "Staff", true)
	n := c.start("g1")

	s, other := n.stream(amir), n.joinedStream(sara, lobby)
	s.say(`{"command":"join","room":%d}`, lobby.ID)
	s.hears(fmt.Sprintf(`{"join":"%d","title":"Lobby"}`, lobby.ID))
	other.hears(fmt.Sprintf(`{"msg_type":4,"room":%d,"username":"amir"}`, lobby.ID))

	s.say(`{"command":"send","room":%d,"message":"hi"}`, lobby.ID)
	said := fmt.Sprintf(`{"msg_type":0,"room":%d,"username":"amir","message":"hi"}`, lobby.ID)
	s.hears(said)
	other.hears(said)

	s.say(`{"command":"room_users","room":%d}`, lobby.ID)
	got := regexp.MustCompile(`\d{10}\.\d{3}`).ReplaceAllString(s.next(), "T")
	want := fmt.Sprintf(`{"type":6,"room":%d,"data":{"users":{"%d":{"username":"amir","name":"Amir S","left":false,"last_update":T},"%d":{"username":"sara","name":"sara","left":false,"last_update":T}}}}`, lobby.ID, amir.ID, sara.ID)
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}

	s.say(`{"command":"join","room":"%s"}`, lobby.URI) // announces nothing
	s.hears(fmt.Sprintf(`{"join":"%d","title":"Lobby"}`, lobby.ID))
	s.say(`{"command":"leave","room":"%d"}`, lobby.ID)
	s.hears(fmt.Sprintf(`{"leave":"%d"}`, lobby.ID))
	other.hears(fmt.Sprintf(`{"msg_type":5,"room":%d,"username":"amir"}`, lobby.ID))
	s.say(`{"command":"leave","room":%d}`, lobby.ID)
	s.hears(fmt.Sprintf(`{"leave":"%d"}`, lobby.ID))

	s.say(`{"command":"send","room":%d,"message":"hi"}`, lobby.ID)
	s.hears(`{"error":"ROOM_ACCESS_DENIED"}`)
	s.say(`{"command":"join","room":%d}`, staff.ID)
	s.hears(`{"error":"ROOM_ACCESS_DENIED"}`)
	s.say(`{"command":"join","room":999}`)
	s.hears(`{"error":"ROOM_INVALID"}`)
	s.say(`{"command":"send","room":-3,"message":"hi"}`)
	s.hears(`{"error":"ROOM_INVALID"}`)
}

func TestClosedSocketLeaves(t *testing.T) {
	c := newCluster(t)
	admin, amir, sara := c.person("root", true), c.person("amir", false), c.person("sara", false)
	lobby := c.room(admin, "Lobby", false)
	n := c.start("g1")
	watcher := n.joinedStream(sara, lobby)
	for name, end := range map[string]func(*socket){
		"close frame": func(s *socket) {
			s.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(wait))
		},
		"connection": func(s *socket) { s.ws.NetConn().Close() },
	} {
		s := n.joinedStream(amir, lobby)
		watcher.hears(fmt.Sprintf(`{"msg_type":4,"room":%d,"username":"amir"}`, lobby.ID))
		end(s)
		t.Log(name)
		watcher.hears(fmt.Sprintf(`{"msg_type":5,"room":%d,"username":"amir"}`, lobby.ID))
	}
	watcher.say(`{"command":"room_users","room":%d}`, lobby.ID)
	if got := watcher.next(); !strings.Contains(got, `"username":"amir","name":"amir","left":true`) {
		t.Errorf("got %s, want amir to have left", got)
	}
}

func TestBothSocketsSeeOneSession(t *testing.T) {
	c := newCluster(t)
	a, b, stranger := c.person("user_a", false), c.person("user_b", false), c.person("stranger", false)
	room := c.session(a, b)
	n := c.start("g1")
	watch, stream := n.open(a, path(room)), n.joinedStream(b, room)
	stream.say(`{"command":"send","room":"%s","message":"hi","ack":true}`, room.URI)
	watch.hears(`{"user":` + userJSON(b) + `,"message":"hi"}`)
	// The answer and the message come in either order.
	got := stream.next() + stream.next()
	for _, want := range []string{fmt.Sprintf(`{"msg_type":0,"room":%d,"username":"user_b","message":"hi"}`, room.ID), fmt.Sprintf(`,"room":%d}`, room.ID), `{"ack":"`} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s, want it to contain %s", got, want)
		}
	}
	outside := n.stream(stranger)
	outside.say(`{"command":"join","room":%d}`, room.ID)
	outside.hears(`{"error":"ROOM_ACCESS_DENIED"}`)
}

func TestRepeatedKeyIsDeliveredOnce(t *testing.T) {
	c := newCluster(t)
	a := c.person("user_a", false)
	room := c.session(a)
	s := c.start("g1").open(a, path(room))
	for range 3 {
		c.send(a, room, "once", "key-1")
	}
	c.send(a, room, "end", "")
	s.hears(`{"user":`+userJSON(a)+`,"message":"once"}`, `{"user":`+userJSON(a)+`,"message":"end"}`)
}

func TestCommandErrors(t *testing.T) {
	c := newCluster(t)
	admin := c.person("root", true)
	one, two := c.room(admin, "One", false), c.room(admin, "Two", false)
	n := c.start("g1", func(o *gateway.Options) { o.MaxRoomsPerSocket = 1 })
	s := n.joinedStream(admin, one)
	tests := []struct{ name, say, code, detail string }{
		{"no JSON", `join`, "COMMAND_INVALID", "JSON"},
		{"no object", `[]`, "COMMAND_INVALID", "JSON object"},
		{"no command", `{"room":7}`, "COMMAND_INVALID", `"command" is missing`},
		{"unknown", `{"command":"dance","room":7}`, "COMMAND_INVALID", `no command "dance"`},
		{"no room", `{"command":"join"}`, "COMMAND_INVALID", `"room"`},
		{"room of a wrong type", `{"command":"join","room":1.5}`, "COMMAND_INVALID", `"room"`},
		{"no message", `{"command":"send","room":7}`, "COMMAND_INVALID", `"message" is missing`},
		{"message of a wrong type", `{"command":"send","room":7,"message":1}`, "COMMAND_INVALID", `"message" must be a string`},
		{"bad after", `{"command":"join","room":7,"after":"x"}`, "COMMAND_INVALID", `"after"`},
		{"blank message", fmt.Sprintf(`{"command":"send","room":%d,"message":" "}`, one.ID), "MESSAGE_INVALID", "blank"},
		{"long message", fmt.Sprintf(`{"command":"send","room":%d,"message":%q}`, one.ID, strings.Repeat("x", 9000)), "MESSAGE_INVALID", "8192"},
		{"long key", fmt.Sprintf(`{"command":"send","room":%d,"message":"x","key":%q}`, one.ID, strings.Repeat("x", 65)), "MESSAGE_INVALID", "64"},
		{"too many rooms", fmt.Sprintf(`{"command":"join","room":%d}`, two.ID), "TOO_MANY_ROOMS", "1 rooms"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.say("%s", tt.say)
			var got struct{ Error, Detail string }
			frame := s.next()
			if err := json.Unmarshal([]byte(frame), &got); err != nil {
				t.Fatal(err)
			}
			if got.Error != tt.code || !strings.Contains(got.Detail, tt.detail) {
				t.Errorf("got %s, want %s with %q", frame, tt.code, tt.detail)
			}
		})
	}
	s.ws.WriteMessage(websocket.BinaryMessage, []byte(`{}`))
	if got := s.next(); !strings.Contains(got, "COMMAND_INVALID") {
		t.Errorf("binary frame: got %s", got)
	}
}

func TestSendRate(t *testing.T) {
	c := newCluster(t)
	c.messages = chat.NewMessages(c.log, c.store, c.rooms, c.publisher, chat.MessagesOptions{
		TTL: time.Hour, Limits: chat.Limits{MessageBytes: 100}, SendRate: chat.Rate{PerSecond: 0.1, Burst: 1}, MaxLag: 1 << 20, Now: time.Now,
	})
	admin := c.person("root", true)
	room := c.room(admin, "One", false)
	s := c.start("g1").joinedStream(admin, room)
	s.say(`{"command":"send","room":%d,"message":"1"}`, room.ID)
	s.next()
	s.say(`{"command":"send","room":%d,"message":"2"}`, room.ID)
	s.hears(`{"error":"RATE_LIMITED","detail":"You are sending too many messages.","retry_after":10}`)
}
