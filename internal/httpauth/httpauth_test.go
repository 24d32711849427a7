package httpauth_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/httpauth"
)

const liveToken = "0123456789abcdef0123456789abcdef01234567"

// oneUser is an account store that knows liveToken of user 1.
type oneUser struct{ chat.AccountStore }

func (oneUser) TokenByHash(_ context.Context, hash chat.TokenHash, _ time.Time) (chat.Token, error) {
	if hash != sha256.Sum256([]byte(liveToken)) {
		return chat.Token{}, chat.ErrNotFound
	}
	return chat.Token{Hash: hash, UserID: 1}, nil
}

func (oneUser) UserByID(_ context.Context, id int64) (chat.User, error) {
	return chat.User{Profile: chat.Profile{ID: id, Username: "amir"}, IsActive: true}, nil
}

func TestIdentify(t *testing.T) {
	accounts := chat.NewAccounts(oneUser{}, nil, chat.AccountsOptions{Now: time.Now})
	auth := httpauth.New(accounts, []string{"https://app.example.com"})

	tests := []struct {
		name    string
		method  string
		header  string
		cookie  string
		origin  string
		upgrade bool
		site    string
		mode    string
		want    error
	}{
		{name: "header", header: "Token " + liveToken},
		{name: "header in lower case", header: "token  " + liveToken + " "},
		{name: "header from a foreign origin", header: "Token " + liveToken, origin: "https://evil.example", upgrade: true},
		{name: "dead header", header: "Token beef", want: chat.ErrUnauthenticated},
		{name: "header without token", header: "Token", cookie: liveToken, origin: "http://chat.test", want: chat.ErrUnauthenticated},
		{name: "dead header beside a good cookie", header: "Token beef", cookie: liveToken, origin: "http://chat.test", want: chat.ErrUnauthenticated},
		{name: "other scheme beside a good cookie", header: "Basic YTpi", cookie: liveToken, origin: "http://chat.test"},
		{name: "other scheme", header: "Bearer " + liveToken, want: httpauth.ErrNoCredentials},
		{name: "nothing", want: httpauth.ErrNoCredentials},
		{name: "cookie on an image of a foreign page", cookie: liveToken, site: "cross-site", mode: "no-cors", want: httpauth.ErrNoCredentials},
		{name: "cookie on a link from a foreign page", cookie: liveToken, site: "cross-site", mode: "navigate"},
		{name: "cookie on a plain read", cookie: liveToken},
		{name: "cookie on a write without origin", method: http.MethodPost, cookie: liveToken, want: chat.ErrUnauthenticated},
		{name: "cookie on a socket without origin", cookie: liveToken, upgrade: true, want: chat.ErrUnauthenticated},
		{name: "cookie on a socket of the own page", cookie: liveToken, upgrade: true, origin: "http://chat.test"},
		{name: "cookie on a socket of the own page behind TLS", cookie: liveToken, upgrade: true, origin: "https://CHAT.test"},
		{name: "cookie on a socket of a listed page", cookie: liveToken, upgrade: true, origin: "https://app.example.com"},
		{name: "cookie on a socket of a listed host with another scheme", cookie: liveToken, upgrade: true, origin: "http://app.example.com", want: chat.ErrUnauthenticated},
		{name: "cookie on a socket of a foreign page", cookie: liveToken, upgrade: true, origin: "https://evil.example", want: chat.ErrUnauthenticated},
		{name: "cookie on a socket of a sandboxed page", cookie: liveToken, upgrade: true, origin: "null", want: chat.ErrUnauthenticated},
		{name: "cookie on a read of a foreign page", cookie: liveToken, origin: "https://evil.example", want: chat.ErrUnauthenticated},
		{name: "dead cookie", cookie: "beef", want: chat.ErrUnauthenticated},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			method := tt.method
			if method == "" {
				method = http.MethodGet
			}
			r := httptest.NewRequest(method, "http://chat.test/", nil)
			set := func(name, value string) {
				if value != "" {
					r.Header.Set(name, value)
				}
			}
			set("Authorization", tt.header)
			set("Origin", tt.origin)
			set("Sec-Fetch-Site", tt.site)
			set("Sec-Fetch-Mode", tt.mode)
			if tt.cookie != "" {
				r.AddCookie(&http.Cookie{Name: httpauth.CookieName, Value: tt.cookie})
			}
			if tt.upgrade {
				r.Header.Set("Upgrade", "websocket")
			}
			id, err := auth.Identify(r)
			if !errors.Is(err, tt.want) {
				t.Fatalf("got error %v, want %v", err, tt.want)
			}
			if err == nil && id.User.Username != "amir" {
				t.Errorf("got user %q, want amir", id.User.Username)
			}
		})
	}
}
