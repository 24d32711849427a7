// Package httpauth tells who sent an HTTP request. The API and the gateway
// share it, so that a token is worth the same at both.
//
// An Authenticator is safe for concurrent use and starts no goroutine.
package httpauth

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// CookieName is the cookie that holds the page's token.
const CookieName = "chat_token"

// scheme is how Django REST framework, whose clients we serve, names a token
// in the Authorization header.
const scheme = "Token"

// ErrNoCredentials is the chat.ErrUnauthenticated of a request that names no
// token, or only one in a cookie that does not count.
var ErrNoCredentials = fmt.Errorf("no credentials: %w", chat.ErrUnauthenticated)

// Authenticator identifies callers by the token in the Authorization header,
// or by the page's cookie.
type Authenticator struct {
	accounts       *chat.Accounts
	allowedOrigins []string
}

// New returns an Authenticator. allowedOrigins are the origins, such as
// "https://chat.example.com", that may use the cookie next to the request's
// own host.
func New(accounts *chat.Accounts, allowedOrigins []string) *Authenticator {
	return &Authenticator{accounts: accounts, allowedOrigins: allowedOrigins}
}

// Identify says who sent the request, or ErrNoCredentials, or for a dead token
// chat.ErrUnauthenticated. Further errors are those of the store.
//
// A header is written by the caller on purpose, so it counts from everywhere.
// A cookie is sent by the browser unasked, whichever page made it send the
// request: it counts only if that page's origin is allowed. Only a plain GET
// or HEAD may lack the Origin, since browsers send none with those to the
// page's own host, and others cannot read the answer; one that opens a
// WebSocket always has it.
func (a *Authenticator) Identify(r *http.Request) (chat.Identity, error) {
	if token, ok := headerToken(r); ok {
		return a.accounts.Authenticate(r.Context(), token)
	}
	cookie, err := r.Cookie(CookieName)
	if err != nil || cookie.Value == "" || !a.cookieCounts(r) {
		return chat.Identity{}, ErrNoCredentials
	}
	return a.accounts.Authenticate(r.Context(), cookie.Value)
}

func (a *Authenticator) cookieCounts(r *http.Request) bool {
	safe := (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.Header.Get("Upgrade") == ""
	if safe && r.Header.Get("Origin") == "" {
		return !embeddedElsewhere(r)
	}
	return OriginAllowed(r, a.allowedOrigins)
}

// embeddedElsewhere reports whether the browser says that another site's page
// fetches this as a part of itself. Following a link from another site to a
// page of ours is no such thing.
func embeddedElsewhere(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Header.Get("Sec-Fetch-Mode") != "navigate"
}

// headerToken is the token of "Authorization: Token …". A header of another
// scheme, such as a proxy's Basic, says nothing about us; one of ours that
// names no token is a dead token, and no reason to look at the cookie.
func headerToken(r *http.Request) (string, bool) {
	name, token, _ := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	if !strings.EqualFold(name, scheme) {
		return "", false
	}
	return strings.TrimSpace(token), true
}

// OriginAllowed reports whether the request's Origin is its own host or one of
// allowed. It is false without an Origin.
func OriginAllowed(r *http.Request, allowed []string) bool {
	origin := r.Header.Get("Origin")
	parsed, err := url.Parse(origin)
	if err != nil || parsed.Host == "" {
		return false // among them "null", the origin of sandboxed pages
	}
	if strings.EqualFold(parsed.Host, r.Host) {
		return true
	}
	return slices.ContainsFunc(allowed, func(a string) bool {
		return strings.EqualFold(strings.TrimSuffix(a, "/"), origin)
	})
}
