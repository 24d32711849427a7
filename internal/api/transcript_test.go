package api_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// step is a call with the answer that the wire contract gives it. {NAME} is a
// value that the answers have given; want is a pattern of the whole body.
type step struct {
	name   string
	call   call
	status int
	want   string
}

const (
	userA   = `{"id":1,"username":"user_a","email":"user_a@mail.com","first_name":"","last_name":""}`
	userB   = `{"id":2,"username":"user_b","email":"user_b@mail.com","first_name":"","last_name":""}`
	extraID = `,"id":"(?P<MESSAGE>[0-9a-f]{28})","time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"`
)

// TestTranscript plays what the first client does. Extra keys stand behind
// those that the client knows.
func TestTranscript(t *testing.T) {
	field := func(pairs ...string) url.Values {
		values := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			values.Set(pairs[i], pairs[i+1])
		}
		return values
	}
	session := `"id":1,"title":"","access":"default","message_ttl":0,"created":"[^"]+"`
	steps := []step{
		{"register", call{method: "POST", path: "/auth/users/create/", form: field("username", "user_a", "password", password, "email", "user_a@mail.com")},
			201, `{"email":"user_a@mail.com","username":"user_a","id":1}`},
		{"register another", call{method: "POST", path: "/auth/users/create/", form: field("username", "user_b", "password", password, "email", "user_b@mail.com")},
			201, `{"email":"user_b@mail.com","username":"user_b","id":2}`},
		{"log in", call{method: "POST", path: "/auth/token/login/", form: field("username", "user_a", "password", password)},
			200, `{"auth_token":"(?P<TOKEN_A>[0-9a-f]{40})"}`},
		{"log in as another", call{method: "POST", path: "/auth/token/login/", form: field("username", "user_b", "password", password)},
			200, `{"auth_token":"(?P<TOKEN_B>[0-9a-f]{40})"}`},
		{"create a session", call{method: "POST", path: "/api/chats/", token: "{TOKEN_A}"},
			200, `{"status":"SUCCESS","uri":"(?P<URI>[0-9a-f]{15})","message":"New chat session created","id":1}`},
		{"my sessions", call{method: "GET", path: "/api/chats/", token: "{TOKEN_A}"},
			200, `{"status":"SUCCESS","sessions":\[{"uri":"{URI}","members":\[` + userA + `\],` + session + `}\]}`},
		{"no sessions", call{method: "GET", path: "/api/chats/", token: "{TOKEN_B}"},
			200, `{"status":"SUCCESS","sessions":\[\]}`},
		{"join", call{method: "PATCH", path: "/api/chats/{URI}/", token: "{TOKEN_B}", form: field("username", "user_b")},
			200, `{"status":"SUCCESS","members":\[` + userA + `,` + userB + `\],"message":"user_b joined that chat","user":` + userB + `}`},
		{"join again", call{method: "PATCH", path: "/api/chats/{URI}/", token: "{TOKEN_B}"},
			200, `{"status":"SUCCESS","members":\[` + userA + `,` + userB + `\],"message":"user_b joined that chat","user":` + userB + `}`},
		{"send", call{method: "POST", path: "/api/chats/{URI}/messages/", token: "{TOKEN_A}", form: field("message", "Hello!")},
			200, `{"status":"SUCCESS","uri":"{URI}","message":"Hello!","user":` + userA + extraID + `}`},
		{"send markup", call{method: "POST", path: "/api/chats/{URI}/messages/", token: "{TOKEN_B}", form: field("message", "<b>&;=+ é😀</b>")},
			200, `{"status":"SUCCESS","uri":"{URI}","message":"<b>&;=\+ é😀</b>","user":` + userB + strings.ReplaceAll(extraID, "MESSAGE", "SECOND") + `}`},
		{"history", call{method: "GET", path: "/api/chats/{URI}/messages/", token: "{TOKEN_B}"},
			200, `{"id":1,"uri":"{URI}","messages":\[{"user":` + userA + `,"message":"Hello!","id":"{MESSAGE}","time":"[^"]+"},{"user":` + userB + `,"message":"<b>&;=\+ é😀</b>","id":"{SECOND}","time":"[^"]+"}\]}`},
		{"log out", call{method: "POST", path: "/auth/token/logout/", token: "{TOKEN_A}"}, 204, ``},
		{"after the log-out", call{method: "GET", path: "/api/chats/", token: "{TOKEN_A}"},
			401, `{"detail":"Invalid token."}`},
		{"without a token", call{method: "GET", path: "/api/chats/"},
			401, `{"detail":"Authentication credentials were not provided."}`},
	}
	s := start(t)
	known := map[string]string{}
	fill := func(text string) string {
		for name, value := range known {
			text = strings.ReplaceAll(text, "{"+name+"}", value)
		}
		return text
	}
	for _, st := range steps {
		st.call.path, st.call.token = fill(st.call.path), fill(st.call.token)
		got := s.do(t, st.call)
		pattern := regexp.MustCompile("^" + fill(st.want) + "$")
		match := pattern.FindStringSubmatch(got.body)
		if got.status != st.status || match == nil {
			t.Fatalf("%s: got %d %s, want %d %s", st.name, got.status, got.body, st.status, pattern)
		}
		for i, name := range pattern.SubexpNames() {
			if name != "" {
				known[name] = match[i]
			}
		}
		wantType := "application/json"
		if st.status == http.StatusNoContent {
			wantType = ""
		}
		if contentType := got.header.Get("Content-Type"); contentType != wantType {
			t.Errorf("%s: got content type %q, want %q", st.name, contentType, wantType)
		}
		if st.status == http.StatusUnauthorized && got.header.Get("WWW-Authenticate") != "Token" {
			t.Errorf("%s: got WWW-Authenticate %q, want Token", st.name, got.header.Get("WWW-Authenticate"))
		}
	}
}

// TestEveryPathVariant makes each call of the contract on each of its paths,
// with and without the slash, as a form, as multipart and as JSON.
func TestEveryPathVariant(t *testing.T) {
	s := start(t)
	a := s.user(t, "user_a")
	room := s.session(t, 0, a)
	bodies := func(name, text string) map[string]call {
		return map[string]call{
			"form": {form: url.Values{name: {text}}},
			"JSON": {json: `{"` + name + `":"` + text + `"}`},
			"multipart": {
				contentType: "multipart/form-data; boundary=b",
				body:        "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + text + "\r\n--b--\r\n",
			},
		}
	}
	tests := []struct {
		method string
		paths  []string
		bodies map[string]call
		status int
	}{
		{"POST", []string{"/auth/users/create", "/auth/user/create"}, bodies("email", "user_c@mail.com"), 400},
		{"POST", []string{"/auth/token/login", "/auth/user/login"}, bodies("username", "user_a"), 400},
		{"POST", []string{"/api/chats"}, bodies("title", "Planning"), 200},
		{"GET", []string{"/api/chats", "/api/chats/" + room.URI, "/api/chats/" + room.URI + "/messages", "/api/chats/" + room.URI + "/members", "/auth/users/me", "/api/rooms", "/docs"}, map[string]call{"no body": {}}, 200},
		{"GET", []string{"/api/chats/1", "/api/chats/1/messages", "/api/chats/1/members"}, map[string]call{"no body": {}}, 200},
		{"PATCH", []string{"/api/chats/" + room.URI, "/api/chats/1"}, bodies("username", "user_a"), 200},
		{"PATCH", []string{"/api/chats/" + room.URI, "/api/chats/1"}, bodies("title", "Plans"), 200},
		{"POST", []string{"/api/chats/" + room.URI + "/messages", "/api/chats/1/messages"}, bodies("message", "Hello!"), 200},
		{"DELETE", []string{"/api/chats/" + room.URI + "/members/user_a"}, map[string]call{"no body": {}}, 403},
		{"POST", []string{"/auth/token/logout", "/auth/user/logout"}, map[string]call{"no body": {}}, 204},
	}
	for _, tt := range tests {
		for _, path := range tt.paths {
			for _, slash := range []string{"", "/"} {
				for name, c := range tt.bodies {
					t.Run(tt.method+" "+path+slash+" "+name, func(t *testing.T) {
						c.method, c.path, c.token = tt.method, path+slash, a.token
						if strings.Contains(path, "logout") {
							token, _, err := s.accounts.Login(t.Context(), "user_a", password, "")
							if err != nil {
								t.Fatal(err)
							}
							c.token = token
						}
						s.want(t, tt.status, c)
					})
				}
			}
		}
	}
}
