package api_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

func TestDocsAskForALogIn(t *testing.T) {
	s := start(t)
	a := s.user(t, "user_a")
	html := http.Header{"Accept": {"text/html,application/xhtml+xml"}}
	cookie := func(h http.Header) http.Header {
		h = h.Clone()
		h.Set("Cookie", "chat_token="+a.token)
		return h
	}
	tests := []struct {
		name     string
		call     call
		status   int
		location string
	}{
		{"a browser", call{header: html}, 302, "/login/?next=/docs/"},
		{"a browser with a dead token", call{header: http.Header{"Accept": {"text/html"}, "Cookie": {"chat_token=beef"}}}, 302, "/login/?next=/docs/"},
		{"a program", call{}, 401, ""},
		{"a browser that is logged in", call{header: cookie(html)}, 200, ""},
		{"a program with a token", call{token: a.token}, 200, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.call.method, tt.call.path = "GET", "/docs/"
			got := s.want(t, tt.status, tt.call)
			if location := got.header.Get("Location"); location != tt.location {
				t.Errorf("got location %q, want %q", location, tt.location)
			}
		})
	}
}

func TestDocsShowEveryCall(t *testing.T) {
	s := start(t)
	a := s.user(t, "user_a")
	got := s.want(t, http.StatusOK, call{method: "GET", path: "/docs/", token: a.token})
	doc, _ := documented()
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if !strings.Contains(got.body, `<article id="`+op.OperationID+`">`) {
				t.Errorf("%s %s is not on the page", method, path)
			}
		}
	}
	if want := `curl \
  -X POST \
  -H &#34;Authorization: Token $TOKEN&#34; \
  --data-urlencode &#39;message=Hello!&#39; \
  &#34;$SERVER/api/chats/040213b14a02451/messages/&#34;`; !strings.Contains(got.body, want) {
		t.Errorf("the page has no %s", want)
	}
	if want := "{\n  &#34;email&#34;: &#34;user_a@mail.com&#34;,\n  &#34;username&#34;: &#34;user_a&#34;,\n  &#34;id&#34;: 1\n}"; !strings.Contains(got.body, want) {
		t.Errorf("the page has no example in the order of the answer, %s", want)
	}
	style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(got.body)
	digest := sha256.Sum256([]byte(style[1]))
	if policy, want := got.header.Get("Content-Security-Policy"), base64.StdEncoding.EncodeToString(digest[:]); !strings.Contains(policy, want) {
		t.Errorf("got policy %q, which does not allow the page's style %s", policy, want)
	}
}
