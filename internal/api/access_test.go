package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// TestAccess tries every call as everyone.
func TestAccess(t *testing.T) {
	s := start(t)
	creator, member, stranger := s.user(t, "creator"), s.user(t, "member"), s.user(t, "stranger")
	removed, admin := s.user(t, "removed"), s.staff(t, "admin")
	session := func() chat.Room {
		r := s.session(t, chat.AccessMembers, creator, member, removed)
		if err := s.rooms.Remove(t.Context(), creator.User, r, "removed"); err != nil {
			t.Fatal(err)
		}
		return r
	}
	link := s.session(t, chat.AccessLink, creator, member, removed)
	if err := s.rooms.Remove(t.Context(), creator.User, link, "removed"); err != nil {
		t.Fatal(err)
	}
	room := func(staffOnly bool) chat.Room {
		r, err := s.rooms.CreateRoom(t.Context(), admin.User, "Lobby", staffOnly)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	lobby, office := room(false), room(true)

	// Those who may change something get a session of their own each time.
	byURI := func(suffix string) func() string {
		return func() string { return "/api/chats/" + session().URI + "/" + suffix }
	}
	byID := func(suffix string) func() string {
		return func() string { return fmt.Sprintf("/api/chats/%d/%s", session().ID, suffix) }
	}
	at := func(format string, args ...any) func() string {
		return func() string { return fmt.Sprintf(format, args...) }
	}
	newRoom := func() string { return fmt.Sprintf("/api/admin/rooms/%d/", room(false).ID) }
	self := url.Values{"username": {""}}
	title, text := url.Values{"title": {"New"}}, url.Values{"message": {"Hello!"}}

	type statuses struct{ anonymous, stranger, removed, member, creator, staff int }
	everyone := func(status int) statuses { return statuses{status, status, status, status, status, status} }
	users := func(status int) statuses { return statuses{401, status, status, status, status, status} }
	staff := func(status int) statuses { return statuses{401, 403, 403, 403, 403, status} }
	members := statuses{401, 403, 403, 200, 200, 403}

	tests := []struct {
		name   string
		method string
		path   func() string
		form   url.Values
		want   statuses
	}{
		{"register", "POST", at("/auth/users/create/"), nil, everyone(400)},
		{"log in", "POST", at("/auth/token/login/"), nil, everyone(400)},
		{"change password", "POST", at("/auth/users/set_password/"), nil, users(400)},
		{"my account", "GET", at("/auth/users/me/"), nil, users(200)},
		{"change my account", "PATCH", at("/auth/users/me/"), url.Values{"first_name": {"A"}}, users(200)},

		{"create a session", "POST", at("/api/chats/"), nil, users(200)},
		{"my sessions", "GET", at("/api/chats/"), nil, users(200)},
		{"a session by URI", "GET", byURI(""), nil, members},
		{"a session by id", "GET", byID(""), nil, members},
		{"its members", "GET", byURI("members/"), nil, members},
		{"its history", "GET", byURI("messages/"), nil, members},
		{"its history by id", "GET", byID("messages/"), nil, members},
		{"send to it", "POST", byURI("messages/"), text, members},
		{"send to it by id", "POST", byID("messages/"), text, members},
		{"join by URI", "PATCH", byURI(""), self, statuses{401, 200, 403, 200, 200, 200}},
		{"join by id", "PATCH", byID(""), self, statuses{401, 403, 403, 200, 200, 200}},
		{"join another", "PATCH", byURI(""), url.Values{"username": {"removed"}}, statuses{401, 403, 403, 403, 200, 200}},
		{"change its settings", "PATCH", byURI(""), title, statuses{401, 403, 403, 403, 200, 200}},
		{"remove a member", "DELETE", byURI("members/member/"), nil, statuses{401, 403, 403, 204, 204, 204}},
		{"remove a member by id", "DELETE", byID("members/member/"), nil, statuses{401, 403, 403, 204, 204, 204}},
		{"remove the creator", "DELETE", byURI("members/creator/"), nil, users(403)},
		{"remove who is no member", "DELETE", byURI("members/stranger/"), nil, statuses{401, 403, 403, 403, 404, 404}},
		{"remove whom nobody knows", "DELETE", byURI("members/a%2Fb/"), nil, statuses{401, 403, 403, 403, 404, 404}},

		{"a session with a link", "GET", at("/api/chats/%s/", link.URI), nil, users(200)},
		{"its history", "GET", at("/api/chats/%s/messages/", link.URI), nil, users(200)},
		{"its history by id", "GET", at("/api/chats/%d/messages/", link.ID), nil, members},
		{"send to it unless a member", "POST", at("/api/chats/%s/messages/", link.URI), text, members},

		{"an unknown URI", "GET", at("/api/chats/000000000000000/"), nil, users(404)},
		{"an unknown id", "POST", at("/api/chats/4711/messages/"), text, users(404)},
		{"no id", "PATCH", at("/api/chats/..%%2F1/"), self, users(404)},
		{"an id that is not UTF-8", "GET", at("/api/chats/%%ff/"), nil, users(404)},

		{"rooms", "GET", at("/api/rooms/"), nil, users(200)},
		{"a room", "GET", at("/api/chats/%d/", lobby.ID), nil, users(200)},
		{"history of a room", "GET", at("/api/chats/%d/messages/", lobby.ID), nil, users(200)},
		{"send to a room", "POST", at("/api/chats/%d/messages/", lobby.ID), text, users(200)},
		{"join a room", "PATCH", at("/api/chats/%d/", lobby.ID), self, users(403)},
		{"change a room as a session", "PATCH", at("/api/chats/%d/", lobby.ID), title, users(403)},
		{"a room for staff", "GET", at("/api/chats/%s/", office.URI), nil, staff(200)},
		{"send to a room for staff", "POST", at("/api/chats/%d/messages/", office.ID), text, staff(200)},

		{"all rooms", "GET", at("/api/admin/rooms/"), nil, staff(200)},
		{"create a room", "POST", at("/api/admin/rooms/"), title, staff(201)},
		{"change a room", "PATCH", newRoom, title, staff(200)},
		{"delete a room", "DELETE", newRoom, nil, staff(204)},
		{"change a session as a room", "PATCH", at("/api/admin/rooms/%d/", link.ID), title, staff(404)},
		{"delete a session as a room", "DELETE", at("/api/admin/rooms/%d/", link.ID), nil, staff(404)},
		{"change an unknown room", "PATCH", at("/api/admin/rooms/4711/"), title, staff(404)},
		{"all users", "GET", at("/api/admin/users/"), nil, staff(200)},
		{"change a user", "PATCH", at("/api/admin/users/%d/", stranger.ID), url.Values{"last_name": {"B"}}, staff(200)},
		{"change an unknown user", "PATCH", at("/api/admin/users/4711/"), nil, staff(404)},
		{"change no user", "PATCH", at("/api/admin/users/me/"), nil, staff(404)},

		{"the document", "GET", at("/api/openapi.json"), nil, everyone(200)},
		{"the page", "GET", at("/docs/"), nil, users(200)},
		{"alive", "GET", at("/livez"), nil, everyone(200)},
		{"ready", "GET", at("/readyz"), nil, everyone(200)},
		{"log out with a dead token", "POST", at("/auth/token/logout/"), nil, statuses{anonymous: 401}},
	}
	for _, tt := range tests {
		for _, as := range []struct {
			name  string
			token string
			want  int
		}{
			{"anonymous", "", tt.want.anonymous},
			{"stranger", stranger.token, tt.want.stranger},
			{"removed", removed.token, tt.want.removed},
			{"member", member.token, tt.want.member},
			{"creator", creator.token, tt.want.creator},
			{"staff", admin.token, tt.want.staff},
		} {
			if as.want == 0 {
				continue // it would end the others' tokens
			}
			t.Run(tt.name+" as "+as.name, func(t *testing.T) {
				s.want(t, as.want, call{method: tt.method, path: tt.path(), token: as.token, form: tt.form})
			})
		}
	}
}

// TestCookie: the page's cookie counts as a token, but not for another site.
func TestCookie(t *testing.T) {
	s := start(t)
	a := s.user(t, "user_a")
	tests := []struct {
		name   string
		method string
		header http.Header
		want   int
	}{
		{"read", "GET", nil, 200},
		{"read from the own page", "GET", http.Header{"Origin": {s.URL}}, 200},
		{"read from another site", "GET", http.Header{"Origin": {"https://evil.example"}}, 401},
		{"embedded by another site", "GET", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"no-cors"}}, 401},
		{"write from the own page", "POST", http.Header{"Origin": {s.URL}}, 200},
		{"write without an origin", "POST", nil, 401},
		{"write from another site", "POST", http.Header{"Origin": {"https://evil.example"}}, 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			header := tt.header.Clone()
			if header == nil {
				header = http.Header{}
			}
			header.Set("Cookie", "chat_token="+a.token)
			s.want(t, tt.want, call{method: tt.method, path: "/api/chats/", header: header})
		})
	}
}
