package api_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/chatcluster/chatcluster/internal/chat"
)

func TestPasswordChangeEndsOtherTokens(t *testing.T) {
	s := start(t)
	a := s.user(t, "user_a")
	other, _, err := s.accounts.Login(t.Context(), "user_a", password, "")
	if err != nil {
		t.Fatal(err)
	}
	change := func(current, replacement string) call {
		return call{method: "POST", path: "/auth/users/set_password/", token: a.token, json: fmt.Sprintf(`{"current_password":%q,"new_password":%q}`, current, replacement)}
	}
	me := func(token string) call { return call{method: "GET", path: "/auth/users/me/", token: token} }
	s.want(t, http.StatusOK, me(other))

	wrong := s.want(t, http.StatusBadRequest, change("wrong", "battery-staple"))
	if want := `{"current_password":["Invalid password."]}`; wrong.body != want {
		t.Errorf("got %s, want %s", wrong.body, want)
	}
	short := s.want(t, http.StatusBadRequest, change(password, "short"))
	if want := `{"new_password":["This password is too short. It must contain at least 8 characters."]}`; short.body != want {
		t.Errorf("got %s, want %s", short.body, want)
	}
	s.want(t, http.StatusNoContent, change(password, "battery-staple"))
	s.want(t, http.StatusUnauthorized, me(other))
	s.want(t, http.StatusOK, me(a.token))
	logIn := func(password string) call {
		return call{method: "POST", path: "/auth/user/login", json: fmt.Sprintf(`{"username":"user_a","password":%q}`, password)}
	}
	s.want(t, http.StatusBadRequest, logIn(password))
	token := s.want(t, http.StatusOK, logIn("battery-staple")).field(t, "auth_token")
	s.want(t, http.StatusNoContent, call{method: "POST", path: "/auth/user/logout", token: token})
	s.want(t, http.StatusUnauthorized, me(token))
}

func TestMyAccount(t *testing.T) {
	s := start(t)
	a := s.user(t, "user_a")
	// What is not theirs to change is ignored, as any unknown field.
	got := s.want(t, http.StatusOK, call{method: "PATCH", path: "/auth/users/me/", token: a.token, json: `{"first_name":"Ann","is_staff":true,"username":"root"}`})
	for name, want := range map[string]string{"username": "user_a", "first_name": "Ann", "last_name": "", "is_staff": "false"} {
		if value := got.field(t, name); value != want {
			t.Errorf("%s: got %q, want %q", name, value, want)
		}
	}
	if again := s.want(t, http.StatusOK, call{method: "GET", path: "/auth/users/me/", token: a.token}); again.body != got.body {
		t.Errorf("got %s, want %s", again.body, got.body)
	}
}

func TestUserPages(t *testing.T) {
	s := start(t)
	admin := s.staff(t, "admin")
	s.user(t, "user_b")
	s.user(t, "user_c")
	first := s.want(t, http.StatusOK, call{method: "GET", path: "/api/admin/users?limit=2", token: admin.token})
	if link, want := first.header.Get("Link"), `</api/admin/users?after=2&limit=2>; rel="next"`; link != want {
		t.Fatalf("got Link %s, want %s", link, want)
	}
	last := s.want(t, http.StatusOK, call{method: "GET", path: "/api/admin/users?after=2&limit=2", token: admin.token})
	if link := last.header.Get("Link"); link != "" {
		t.Errorf("got Link %s on the last page, want none", link)
	}
	if users := last.field(t, "users"); users == "[]" {
		t.Error("got no users on the last page, want user_c")
	}
}

func TestAdministration(t *testing.T) {
	s := start(t)
	admin, a := s.staff(t, "admin"), s.user(t, "user_a")
	created := s.want(t, http.StatusCreated, call{method: "POST", path: "/api/admin/rooms/", token: admin.token, form: map[string][]string{"title": {"Office"}, "staff_only": {"true"}}})
	path := "/api/admin/rooms/" + created.field(t, "id") + "/"
	s.want(t, http.StatusCreated, call{method: "POST", path: "/api/admin/rooms/", token: admin.token, json: `{"title":"attic","staff_only":false}`})
	listed := func(c caller) string {
		return s.want(t, http.StatusOK, call{method: "GET", path: "/api/rooms/", token: c.token}).field(t, "rooms")
	}
	attic := fmt.Sprintf(`{"id":2,"uri":"%s","title":"attic","staff_only":false}`, uriOf(t, s, "2"))
	office := fmt.Sprintf(`{"id":1,"uri":"%s","title":"Office","staff_only":true}`, uriOf(t, s, "1"))
	if got, want := listed(a), "["+attic+"]"; got != want {
		t.Errorf("got %s for a user, want %s", got, want)
	}
	if got, want := listed(admin), "["+attic+","+office+"]"; got != want {
		t.Errorf("got %s for staff, want %s", got, want)
	}
	for _, flag := range []string{`"false"`, `2`, `"x"`} {
		s.want(t, http.StatusBadRequest, call{method: "PATCH", path: path, token: admin.token, json: `{"staff_only":` + flag + `}`})
	}
	s.want(t, http.StatusBadRequest, call{method: "PATCH", path: path, token: admin.token, json: `{"title":" "}`})
	changed := s.want(t, http.StatusOK, call{method: "PATCH", path: path, token: admin.token, json: `{"staff_only":false}`})
	if got := changed.field(t, "staff_only"); got != "false" {
		t.Errorf("got staff_only %s, want false", got)
	}
	s.want(t, http.StatusNoContent, call{method: "DELETE", path: path, token: admin.token})
	s.want(t, http.StatusNotFound, call{method: "DELETE", path: path, token: admin.token})

	user := fmt.Sprintf("/api/admin/users/%d/", a.ID)
	s.want(t, http.StatusOK, call{method: "PATCH", path: user, token: admin.token, json: `{"is_staff":true}`})
	s.want(t, http.StatusOK, call{method: "GET", path: "/api/admin/users/", token: a.token})
	s.want(t, http.StatusOK, call{method: "PATCH", path: user, token: admin.token, json: `{"is_active":false}`})
	s.want(t, http.StatusUnauthorized, call{method: "GET", path: "/api/admin/users/", token: a.token})
	own := fmt.Sprintf("/api/admin/users/%d/", admin.ID)
	s.want(t, http.StatusBadRequest, call{method: "PATCH", path: own, token: admin.token, json: `{"is_staff":false}`})
}

func uriOf(t *testing.T, s *server, id string) string {
	t.Helper()
	ref, err := s.rooms.Lookup(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return ref.Room.URI
}

func TestSessionSettings(t *testing.T) {
	s := start(t)
	a := s.user(t, "user_a")
	created := s.want(t, http.StatusOK, call{method: "POST", path: "/api/chats/", token: a.token, json: `{"title":"Plans","access":"link","message_ttl":3600}`})
	path := "/api/chats/" + created.field(t, "uri") + "/"
	shown := s.want(t, http.StatusOK, call{method: "GET", path: path, token: a.token})
	for name, want := range map[string]string{"title": "Plans", "access": "link", "message_ttl": "3600"} {
		if value := shown.field(t, name); value != want {
			t.Errorf("%s: got %q, want %q", name, value, want)
		}
	}
	changed := s.want(t, http.StatusOK, call{method: "PATCH", path: path, token: a.token, form: map[string][]string{"access": {"members"}, "message_ttl": {"0"}}})
	for name, want := range map[string]string{"title": "Plans", "access": "members", "message_ttl": "0"} {
		if value := changed.field(t, name); value != want {
			t.Errorf("%s: got %q, want %q", name, value, want)
		}
	}
}

func TestLoginThrottle(t *testing.T) {
	s := start(t, func(s *settings) { s.accounts.LoginsPerAccount = chat.Rate{PerSecond: 0.01, Burst: 1} })
	s.user(t, "user_a")
	wrong := call{method: "POST", path: "/auth/token/login/", json: `{"username":"user_a","password":"x"}`}
	s.want(t, http.StatusBadRequest, wrong)
	s.want(t, http.StatusTooManyRequests, wrong)
	right := call{method: "POST", path: "/auth/token/login/", json: `{"username":"USER_A","password":"` + password + `"}`}
	s.want(t, http.StatusTooManyRequests, right)
}
