package chat_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

func TestRegisterRefuses(t *testing.T) {
	s := newServer(t)
	s.user(t, "amir")
	for _, tc := range []struct {
		name  string
		user  chat.NewUser
		field string
	}{
		{"no username", chat.NewUser{Password: password}, "username"},
		{"taken", chat.NewUser{Username: "amir", Password: password}, "username"},
		{"space in the username", chat.NewUser{Username: "a b", Password: password}, "username"},
		{"slash in the username", chat.NewUser{Username: "a/b", Password: password}, "username"},
		{"username too long", chat.NewUser{Username: strings.Repeat("a", 151), Password: password}, "username"},
		{"username not UTF-8", chat.NewUser{Username: "\xff", Password: password}, "username"},
		{"no password", chat.NewUser{Username: "b"}, "password"},
		{"short password", chat.NewUser{Username: "b", Password: "1234567"}, "password"},
		{"long password", chat.NewUser{Username: "b", Password: strings.Repeat("x", 1025)}, "password"},
		{"bad email", chat.NewUser{Username: "b", Password: password, Email: "nowhere"}, "email"},
		{"email with a name", chat.NewUser{Username: "b", Password: password, Email: "B <b@mail.com>"}, "email"},
		{"first name too long", chat.NewUser{Username: "b", Password: password, FirstName: strings.Repeat("x", 151)}, "first_name"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := s.accounts.Register(t.Context(), tc.user)
			if got := fields(t, err); len(got) != 1 || len(got[tc.field]) != 1 {
				t.Errorf("got %v, want one error of %q", got, tc.field)
			}
		})
	}
}

func TestRegisterTakesDjangosUsernames(t *testing.T) {
	s := newServer(t)
	for _, name := range []string{"user_a", "User.B+c@d-e", "émile", "名前", strings.Repeat("a", 150)} {
		if _, err := s.accounts.Register(t.Context(), chat.NewUser{Username: name, Password: password}); err != nil {
			t.Errorf("%q: got %v, want no error", name, err)
		}
	}
}

func TestLogin(t *testing.T) {
	s := newServer(t)
	s.user(t, "amir")
	token, user, err := s.accounts.Login(t.Context(), "amir", password, "192.0.2.1")
	if err != nil || len(token) != 40 || user.Username != "amir" {
		t.Fatalf("got token %q of %q, %v, want 40 digits of amir", token, user.Username, err)
	}
	identity, err := s.accounts.Authenticate(t.Context(), token)
	if err != nil || identity.User != user {
		t.Errorf("authenticate: got %+v, %v, want %+v", identity.User, err, user)
	}
	for _, tc := range []struct{ name, username, password string }{
		{"wrong password", "amir", "wrong horse"},
		{"unknown user", "nobody", password},
		{"other case", "Amir", password},
	} {
		if _, _, err := s.accounts.Login(t.Context(), tc.username, tc.password, "192.0.2.2"); !errors.Is(err, chat.ErrBadLogin) {
			t.Errorf("%s: got %v, want ErrBadLogin", tc.name, err)
		}
	}
	if _, _, err := s.accounts.Login(t.Context(), "", "", "192.0.2.3"); len(fields(t, err)) != 2 {
		t.Errorf("nothing given: got %v, want errors of both fields", err)
	}
	s.clock.Advance(25 * time.Hour)
	if _, err := s.accounts.Authenticate(t.Context(), token); !errors.Is(err, chat.ErrUnauthenticated) {
		t.Errorf("expired token: got %v, want ErrUnauthenticated", err)
	}
}

func TestTokensEnd(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(s *server, first, second chat.Identity, admin chat.User) error
		// whether the two tokens are alive then
		first, second bool
	}{
		{"log-out", func(s *server, first, _ chat.Identity, _ chat.User) error {
			return s.accounts.Logout(t.Context(), first)
		}, false, true},
		{"change of password", func(s *server, first, _ chat.Identity, _ chat.User) error {
			return s.accounts.ChangePassword(t.Context(), first, password, "another horse")
		}, true, false},
		{"deactivation", func(s *server, first, _ chat.Identity, admin chat.User) error {
			no := false
			_, err := s.accounts.Update(t.Context(), admin, first.User.ID, chat.UserChange{IsActive: &no})
			return err
		}, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newServer(t)
			s.user(t, "amir")
			admin := s.staff(t, "root")
			login := func() (string, chat.Identity) {
				token, _, err := s.accounts.Login(t.Context(), "amir", password, "192.0.2.1")
				if err != nil {
					t.Fatal(err)
				}
				identity, err := s.accounts.Authenticate(t.Context(), token)
				if err != nil {
					t.Fatal(err)
				}
				return token, identity
			}
			firstToken, first := login()
			secondToken, second := login()
			if err := tc.end(s, first, second, admin); err != nil {
				t.Fatal(err)
			}
			for _, token := range []struct {
				name, token string
				alive       bool
			}{{"first", firstToken, tc.first}, {"second", secondToken, tc.second}} {
				_, err := s.accounts.Authenticate(t.Context(), token.token)
				if alive := err == nil; alive != token.alive || (err != nil && !errors.Is(err, chat.ErrUnauthenticated)) {
					t.Errorf("%s token: got %v, want alive %t", token.name, err, token.alive)
				}
			}
		})
	}
}

func TestChangePasswordRefuses(t *testing.T) {
	s := newServer(t)
	user := s.user(t, "amir")
	for _, tc := range []struct{ name, current, replacement, field string }{
		{"wrong", "wrong horse", "another horse", "current_password"},
		{"missing", "", "another horse", "current_password"},
		{"short", password, "short", "new_password"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := s.accounts.ChangePassword(t.Context(), chat.Identity{User: user}, tc.current, tc.replacement)
			if got := fields(t, err); len(got[tc.field]) != 1 {
				t.Errorf("got %v, want one error of %q", got, tc.field)
			}
		})
	}
}

func TestLoginThrottle(t *testing.T) {
	s := newServer(t)
	s.user(t, "amir")
	s.user(t, "binh")
	attempt := func(username, pass, addr string) error {
		_, _, err := s.accounts.Login(t.Context(), username, pass, addr)
		return err
	}
	throttled := func(err error) bool {
		var busy *chat.BusyError
		return errors.As(err, &busy) && busy.Caller && busy.RetryAfter > 0
	}
	for range 20 { // right ones do not count
		if err := attempt("amir", password, "192.0.2.1"); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if err := attempt("amir", "wrong horse", "192.0.2.1"); !errors.Is(err, chat.ErrBadLogin) {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct{ name, username, addr string }{
		{"the right password", "amir", "192.0.2.1"},
		{"another address", "amir", "192.0.2.9"},
		{"another case", "AMIR", "192.0.2.9"},
	} {
		if err := attempt(tc.username, password, tc.addr); !throttled(err) {
			t.Errorf("account after 3 failures, %s: got %v, want to be throttled", tc.name, err)
		}
	}
	if err := attempt("binh", password, "192.0.2.1"); err != nil {
		t.Errorf("another account: got %v, want no error", err)
	}
	for n := range 2 {
		if err := attempt("nobody"+strings.Repeat("x", n), password, "192.0.2.1"); !errors.Is(err, chat.ErrBadLogin) {
			t.Fatal(err)
		}
	}
	if err := attempt("binh", password, "192.0.2.1"); !throttled(err) {
		t.Errorf("address after 5 failures: got %v, want to be throttled", err)
	}
	s.clock.Advance(time.Minute)
	if err := attempt("amir", password, "192.0.2.1"); err != nil {
		t.Errorf("a minute later: got %v, want no error", err)
	}
}

func TestUpdateUser(t *testing.T) {
	yes, no, name := true, false, "Amir"
	for _, tc := range []struct {
		name   string
		actor  string
		change chat.UserChange
		want   error
		field  string
	}{
		{"own name", "amir", chat.UserChange{FirstName: &name}, nil, ""},
		{"own staff flag", "amir", chat.UserChange{IsStaff: &yes}, chat.ErrForbidden, ""},
		{"another's name", "binh", chat.UserChange{FirstName: &name}, chat.ErrForbidden, ""},
		{"by staff", "root", chat.UserChange{IsStaff: &yes, FirstName: &name}, nil, ""},
		{"staff deactivates", "root", chat.UserChange{IsActive: &no}, nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newServer(t)
			users := map[string]chat.User{"amir": s.user(t, "amir"), "binh": s.user(t, "binh"), "root": s.staff(t, "root")}
			_, err := s.accounts.Update(t.Context(), users[tc.actor], users["amir"].ID, tc.change)
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	s := newServer(t)
	admin := s.staff(t, "root")
	_, err := s.accounts.Update(t.Context(), admin, admin.ID, chat.UserChange{IsStaff: &no, IsActive: &no})
	if got := fields(t, err); len(got) != 2 {
		t.Errorf("the last administrator: got %v, want errors of is_staff and is_active", got)
	}
}
