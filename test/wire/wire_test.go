package wire

import (
	"os"
	"strings"
	"testing"

	"github.com/chatcluster/chatcluster/test/chatdtest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	chatdtest.RemoveBinaries()
	os.Exit(code)
}

// eachMode runs a test against each way to run the server.
func eachMode(t *testing.T, test func(t *testing.T, start func(testing.TB, ...string) *chatdtest.Server)) {
	for _, mode := range chatdtest.Modes() {
		t.Run(mode.Name, func(t *testing.T) { test(t, mode.Start) })
	}
}

func TestSessions(t *testing.T) {
	for _, tc := range []struct {
		name    string
		args    []string
		options SessionOptions
	}{
		{"first paths, members only", nil, SessionOptions{Paths: FirstPaths, A: "user_a", B: "user_b"}},
		{"second paths, no slashes, by link", []string{"--session-access=link"}, SessionOptions{Paths: SecondPaths, A: "user_a", B: "user_b", Anonymous: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			eachMode(t, func(t *testing.T, start func(testing.TB, ...string) *chatdtest.Server) {
				if a, b := Sessions(t, start(t, tc.args...), tc.options); a != "1" || b != "2" {
					t.Errorf("ids of the first users: got %s and %s, want 1 and 2", a, b)
				}
			})
		})
	}
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

func TestRooms(t *testing.T) {
	eachMode(t, func(t *testing.T, start func(testing.TB, ...string) *chatdtest.Server) {
		s := start(t)
		stdout, stderr, err := chatdtest.Run(t, chatdtest.Password+"\n", "chatd",
			append([]string{"create-superuser", "--username", "root", "--email", "root@mail.com", "--password-stdin"}, s.Data...)...)
		if err != nil {
			t.Fatalf("create-superuser: %v\n%s%s", err, stdout, stderr)
		}
		root := chatdtest.NewClient(s)
		root.Username = "root"
		root.Login(t)
		Rooms(t, s, root)
	})
}
