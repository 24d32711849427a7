package web_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gorilla/mux"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/httpauth"
	"github.com/chatcluster/chatcluster/internal/web"
)

const password = "correct horse"

// newSite serves a Web whose only user is amir.
func newSite(t *testing.T) (*httptest.Server, *chat.Accounts) {
	t.Helper()
	accounts := newAccounts(t)
	if _, err := accounts.Register(t.Context(), chat.NewUser{Username: "amir", Password: password, FirstName: "Amir", LastName: "S"}); err != nil {
		t.Fatal(err)
	}
	router := mux.NewRouter()
	web.New(accounts, httpauth.New(accounts, nil), web.Options{}).Register(router)
	server := httptest.NewServer(router)
	t.Cleanup(server.Close)
	return server, accounts
}

// browser is a client that keeps cookies and follows no redirect.
func browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

func get(t *testing.T, client *http.Client, target string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, client, request)
}

// post sends a form as the site's own page would.
func post(t *testing.T, client *http.Client, target string, form url.Values) (*http.Response, string) {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	return postFrom(t, client, target, form, map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": u.Scheme + "://" + u.Host})
}

func postFrom(t *testing.T, client *http.Client, target string, form url.Values, header map[string]string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for name, value := range header {
		request.Header.Set(name, value)
	}
	return do(t, client, request)
}

func loginForm() url.Values { return url.Values{"username": {"amir"}, "password": {password}} }

func logIn(t *testing.T, site string) *http.Client {
	t.Helper()
	client := browser(t)
	if response, page := post(t, client, site+"/login/", loginForm()); response.StatusCode != http.StatusSeeOther {
		t.Fatalf("log-in: got %d, want 303: %s", response.StatusCode, page)
	}
	return client
}

func TestChatPageAsksForLogin(t *testing.T) {
	site, _ := newSite(t)
	response, _ := get(t, browser(t), site.URL+"/")
	if got := response.StatusCode; got != http.StatusFound {
		t.Errorf("status: got %d, want 302", got)
	}
	if got, want := response.Header.Get("Location"), "/login/?next=/"; got != want {
		t.Errorf("Location: got %q, want %q", got, want)
	}
}

func TestChatPageNamesTheVisitor(t *testing.T) {
	site, _ := newSite(t)
	response, page := get(t, logIn(t, site.URL), site.URL+"/")
	if response.StatusCode != http.StatusOK {
		t.Fatalf("status: got %d, want 200", response.StatusCode)
	}
	for _, want := range []string{`data-username="amir"`, "Amir S", `src="/static/main.js"`} {
		if !strings.Contains(page, want) {
			t.Errorf("page lacks %q", want)
		}
	}
}

func TestPagesProtectThemselves(t *testing.T) {
	site, _ := newSite(t)
	for _, path := range []string{"/", "/login/", "/signup/", "/static/main.js", "/static/none"} {
		t.Run(path, func(t *testing.T) {
			response, _ := get(t, browser(t), site.URL+path)
			h := response.Header
			if got := h.Get("Content-Security-Policy"); !strings.Contains(got, "default-src 'self'") ||
				!strings.Contains(got, "frame-ancestors 'none'") || strings.Contains(got, "unsafe") {
				t.Errorf("Content-Security-Policy: got %q", got)
			}
			if got := h.Get("X-Content-Type-Options"); got != "nosniff" {
				t.Errorf("X-Content-Type-Options: got %q, want nosniff", got)
			}
			if got := h.Get("X-Frame-Options"); got != "DENY" {
				t.Errorf("X-Frame-Options: got %q, want DENY", got)
			}
		})
	}
}

func TestPagesKeepToTheirPolicy(t *testing.T) {
	site, _ := newSite(t)
	member := logIn(t, site.URL)
	pages := map[string]*http.Client{"/": member, "/login/": browser(t), "/signup/": browser(t)}
	for path, client := range pages {
		_, page := get(t, client, site.URL+path)
		for _, forbidden := range []string{"<style", " style=", " onclick=", "<script>", "http://", "https://"} {
			if strings.Contains(page, forbidden) {
				t.Errorf("%s has %q, which its policy forbids", path, forbidden)
			}
		}
	}
}

func TestCookie(t *testing.T) {
	site, accounts := newSite(t)
	tests := []struct {
		name       string
		origin     string
		wantSecure bool
	}{
		{name: "plain", origin: site.URL},
		{name: "TLS that ends at a proxy", origin: strings.Replace(site.URL, "http:", "https:", 1), wantSecure: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			response, _ := postFrom(t, browser(t), site.URL+"/login/", loginForm(), map[string]string{"Origin": tt.origin})
			cookies := response.Cookies()
			if len(cookies) != 1 {
				t.Fatalf("cookies: got %v, want one", cookies)
			}
			c := cookies[0]
			if c.Name != "chat_token" || c.Path != "/" || c.Domain != "" || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode {
				t.Errorf("cookie: got %v, want chat_token; Path=/; HttpOnly; SameSite=Lax", c)
			}
			if c.Secure != tt.wantSecure {
				t.Errorf("Secure: got %v, want %v", c.Secure, tt.wantSecure)
			}
			if got, want := c.MaxAge, int(tokenTTL.Seconds()); got != want {
				t.Errorf("Max-Age: got %d, want %d", got, want)
			}
			if id, err := accounts.Authenticate(t.Context(), c.Value); err != nil || id.User.Username != "amir" {
				t.Errorf("token: got %q, %v, want amir's", id.User.Username, err)
			}
		})
	}
}

func TestNextIsLocal(t *testing.T) {
	site, _ := newSite(t)
	tests := []struct{ name, next, want string }{
		{"none", "", "/"},
		{"path", "/docs/", "/docs/"},
		{"query", "/a?b=c&d=e", "/a?b=c&d=e"},
		{"relative", "docs", "/"},
		{"absolute", "https://evil.example/", "/"},
		{"no scheme", "//evil.example/", "/"},
		{"three slashes", "///evil.example/", "/"},
		{"backslash", `/\evil.example/`, "/"},
		{"two backslashes", `\\evil.example/`, "/"},
		{"tab between slashes", "/\t/evil.example/", "/"},
		{"line break", "/\n/evil.example/", "/"},
		{"header", "/\r\nSet-Cookie: a=b", "/"},
		{"script", "javascript:alert(1)", "/"},
		{"user", "/@evil.example/", "/@evil.example/"},
		{"space first", " //evil.example/", "/"},
		{"not a URL", "/%zz", "/"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			form := loginForm()
			form.Set("next", tt.next)
			response, _ := post(t, browser(t), site.URL+"/login/", form)
			if got := response.Header.Get("Location"); got != tt.want {
				t.Errorf("after the log-in: got %q, want %q", got, tt.want)
			}
			response, _ = get(t, logIn(t, site.URL), site.URL+"/login/?next="+url.QueryEscape(tt.next))
			if got := response.Header.Get("Location"); got != tt.want {
				t.Errorf("when logged in already: got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	site, _ := newSite(t)
	host := strings.TrimPrefix(site.URL, "http://")
	tests := []struct {
		name   string
		header map[string]string
		want   int
	}{
		{"same origin", map[string]string{"Sec-Fetch-Site": "same-origin"}, http.StatusSeeOther},
		{"typed by the visitor", map[string]string{"Sec-Fetch-Site": "none"}, http.StatusSeeOther},
		{"other site", map[string]string{"Sec-Fetch-Site": "cross-site"}, http.StatusForbidden},
		{"other host of the site", map[string]string{"Sec-Fetch-Site": "same-site"}, http.StatusForbidden},
		{"other site with a forged origin", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": site.URL}, http.StatusForbidden},
		{"older browser", map[string]string{"Origin": site.URL}, http.StatusSeeOther},
		{"older browser, other origin", map[string]string{"Origin": "http://evil.example"}, http.StatusForbidden},
		{"older browser, other port", map[string]string{"Origin": "http://" + host + "0"}, http.StatusForbidden},
		{"opaque origin", map[string]string{"Origin": "null"}, http.StatusForbidden},
		{"referrer alone", map[string]string{"Referer": site.URL + "/login/"}, http.StatusSeeOther},
		{"other referrer", map[string]string{"Referer": "http://evil.example/" + host}, http.StatusForbidden},
		{"nothing", nil, http.StatusForbidden},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			response, _ := postFrom(t, browser(t), site.URL+"/login/", loginForm(), tt.header)
			if got := response.StatusCode; got != tt.want {
				t.Errorf("status: got %d, want %d", got, tt.want)
			}
			if got := len(response.Cookies()) > 0; got != (tt.want == http.StatusSeeOther) {
				t.Errorf("cookie set: got %v", got)
			}
		})
	}
}

func TestFormsTellWhatIsWrong(t *testing.T) {
	site, _ := newSite(t)
	tests := []struct {
		name, path string
		form       url.Values
		want       []string
	}{
		{
			name: "log in with nothing", path: "/login/",
			want: []string{`id="username-errors"`, `id="password-errors"`, "This field is required."},
		}, {
			name: "wrong password", path: "/login/",
			form: url.Values{"username": {"amir"}, "password": {"wrong"}},
			want: []string{`role="alert"`, "Unknown username or wrong password.", `value="amir"`},
		}, {
			name: "unknown user", path: "/login/",
			form: url.Values{"username": {"nobody"}, "password": {"wrong"}},
			want: []string{"Unknown username or wrong password."},
		}, {
			name: "taken", path: "/signup/",
			form: url.Values{"username": {"amir"}, "password": {"long enough"}},
			want: []string{`id="username-errors"`, "already exists"},
		}, {
			name: "bad fields", path: "/signup/",
			form: url.Values{"username": {"a b"}, "password": {"short"}, "email": {"none"}},
			want: []string{`id="username-errors"`, `id="password-errors"`, `id="email-errors"`, `aria-invalid="true"`, `value="a b"`},
		}, {
			name: "markup", path: "/signup/",
			form: url.Values{"username": {`"><script>alert(1)</script>`}},
			want: []string{"&lt;script&gt;"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			response, page := post(t, browser(t), site.URL+tt.path, tt.form)
			if got := response.StatusCode; got != http.StatusBadRequest {
				t.Errorf("status: got %d, want 400", got)
			}
			for _, want := range tt.want {
				if !strings.Contains(page, want) {
					t.Errorf("page lacks %q:\n%s", want, page)
				}
			}
			if secret := tt.form.Get("password"); secret != "" && strings.Contains(page, `value="`+secret) {
				t.Error("page repeats the password")
			}
		})
	}
}

func TestSignupLogsIn(t *testing.T) {
	site, accounts := newSite(t)
	client := browser(t)
	response, _ := post(t, client, site.URL+"/signup/", url.Values{
		"username": {"bea"}, "password": {password}, "email": {"bea@mail.example"}, "first_name": {"Bea"}, "next": {"/?x=1"},
	})
	if got, want := response.Header.Get("Location"), "/?x=1"; got != want {
		t.Errorf("Location: got %q, want %q", got, want)
	}
	user, err := accounts.UserByName(t.Context(), "bea")
	if err != nil {
		t.Fatal(err)
	}
	if user.Email != "bea@mail.example" || user.DisplayName() != "Bea" || user.IsStaff {
		t.Errorf("user: got %+v", user)
	}
	if response, _ := get(t, client, site.URL+"/"); response.StatusCode != http.StatusOK {
		t.Errorf("chat page: got %d, want 200", response.StatusCode)
	}
}

func TestLogoutEndsTheToken(t *testing.T) {
	site, accounts := newSite(t)
	client := logIn(t, site.URL)
	home, err := url.Parse(site.URL)
	if err != nil {
		t.Fatal(err)
	}
	token := client.Jar.Cookies(home)[0].Value
	response, _ := post(t, client, site.URL+"/logout/", nil)
	if got, want := response.Header.Get("Location"), "/login/"; got != want {
		t.Errorf("Location: got %q, want %q", got, want)
	}
	if got := client.Jar.Cookies(home); len(got) != 0 {
		t.Errorf("cookies: got %v, want none", got)
	}
	if _, err := accounts.Authenticate(t.Context(), token); err == nil {
		t.Error("the token still works")
	}
	if response, _ := get(t, browser(t), site.URL+"/logout/"); response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("log-out by GET: got %d, want 405", response.StatusCode)
	}
}

func TestTooManyFailedLogins(t *testing.T) {
	site, _ := newSite(t)
	form := url.Values{"username": {"amir"}, "password": {"wrong"}}
	for range failedLogins {
		if response, _ := post(t, browser(t), site.URL+"/login/", form); response.StatusCode != http.StatusBadRequest {
			t.Fatalf("status: got %d, want 400", response.StatusCode)
		}
	}
	response, page := post(t, browser(t), site.URL+"/login/", form)
	if response.StatusCode != http.StatusTooManyRequests || response.Header.Get("Retry-After") == "" {
		t.Errorf("got %d, Retry-After %q, want 429 with one", response.StatusCode, response.Header.Get("Retry-After"))
	}
	if !strings.Contains(page, "Too many failed log-ins.") {
		t.Errorf("page does not say why:\n%s", page)
	}
}

func TestLargeFormIsRefused(t *testing.T) {
	site, _ := newSite(t)
	response, _ := post(t, browser(t), site.URL+"/login/", url.Values{"username": {strings.Repeat("a", 1<<20)}})
	if got := response.StatusCode; got != http.StatusRequestEntityTooLarge {
		t.Errorf("status: got %d, want 413", got)
	}
}

func TestStaticFiles(t *testing.T) {
	site, _ := newSite(t)
	client := browser(t)
	tests := []struct{ path, wantType string }{
		{"/static/main.js", "text/javascript; charset=utf-8"},
		{"/static/chat.css", "text/css; charset=utf-8"},
		{"/static/favicon.svg", "image/svg+xml"},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			response, _ := get(t, client, site.URL+tt.path)
			if got := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || got != tt.wantType {
				t.Fatalf("got %d %q, want 200 %q", response.StatusCode, got, tt.wantType)
			}
			again, err := http.NewRequestWithContext(t.Context(), http.MethodGet, site.URL+tt.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			again.Header.Set("If-None-Match", response.Header.Get("ETag"))
			if response, _ := do(t, client, again); response.StatusCode != http.StatusNotModified {
				t.Errorf("with the ETag: got %d, want 304", response.StatusCode)
			}
		})
	}
	for _, path := range []string{"/static/", "/static/none.js", "/static/../web.go"} {
		if response, _ := get(t, client, site.URL+path); response.StatusCode == http.StatusOK {
			t.Errorf("%s: got 200", path)
		}
	}
}
