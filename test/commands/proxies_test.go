package commands_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/chatcluster/chatcluster/test/chatdtest"
)

// TestFailedLoginsBehindAProxy: they are counted by the client's address if the
// proxy can be believed, at the API and on the page alike.
func TestFailedLoginsBehindAProxy(t *testing.T) {
	tests := []struct {
		name    string
		trusted string
		// others is what is answered to another client of the proxy.
		others int
	}{
		{"trusted", "127.0.0.0/8", http.StatusBadRequest},
		{"not trusted", "10.0.0.0/8", http.StatusTooManyRequests},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := chatdtest.Start(t, t.TempDir(), "--address-failed-logins=1", "--account-failed-logins=0", "--trusted-proxies="+tt.trusted)
			c := chatdtest.NewClient(s)
			for i, path := range []string{"/auth/token/login/", "/login/"} {
				login := func(forwarded string, want int) {
					t.Helper()
					form := url.Values{"username": {"nobody"}, "password": {"wrong password"}}
					answer, err := c.Call(t.Context(), http.MethodPost, path, form, "X-Forwarded-For", forwarded, "Sec-Fetch-Site", "same-origin")
					if err != nil || answer.Status != want {
						t.Errorf("%s for %s: got %d, %v, want %d", path, forwarded, answer.Status, err, want)
					}
				}
				first := fmt.Sprintf("198.51.100.%d", i)
				if i == 0 || tt.others == http.StatusBadRequest {
					login(first, http.StatusBadRequest)
				}
				login(first, http.StatusTooManyRequests)
				login("192.0.2.99, "+first, http.StatusTooManyRequests)
				login(fmt.Sprintf("198.51.100.1%d", i), tt.others)
			}
		})
	}
}
