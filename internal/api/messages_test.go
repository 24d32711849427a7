package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// page is a history, as far as a walk looks at it.
type page struct {
	texts, ids []string
	prev, next string
}

var linkPattern = regexp.MustCompile(`<([^>]*)>; rel="(prev|next)"`)

func (s *server) page(t *testing.T, path, token string) page {
	t.Helper()
	got := s.want(t, http.StatusOK, call{method: "GET", path: path, token: token})
	var history struct {
		Messages []struct{ Message, ID string }
	}
	if err := json.Unmarshal([]byte(got.body), &history); err != nil {
		t.Fatal(err)
	}
	var p page
	for _, m := range history.Messages {
		p.texts, p.ids = append(p.texts, m.Message), append(p.ids, m.ID)
	}
	for _, link := range linkPattern.FindAllStringSubmatch(got.header.Get("Link"), -1) {
		if link[2] == "prev" {
			p.prev = link[1]
		} else {
			p.next = link[1]
		}
	}
	return p
}

func TestPages(t *testing.T) {
	const total = 1234
	s := start(t)
	a := s.user(t, "user_a")
	r := s.session(t, 0, a)
	path := "/api/chats/" + r.URI + "/messages"
	var want []string
	for i := range total {
		want = append(want, fmt.Sprint(i))
	}
	for _, text := range want {
		s.want(t, http.StatusOK, call{method: "POST", path: path, token: a.token, json: `{"message":"` + text + `"}`})
	}

	newest := s.page(t, path, a.token)
	if len(newest.texts) != 1000 || newest.texts[999] != "1233" || newest.next != "" || newest.prev == "" {
		t.Errorf("got %d messages to %s with links %q and %q, want the newest 1000 and a prev", len(newest.texts), newest.texts[len(newest.texts)-1], newest.prev, newest.next)
	}
	for _, limit := range []int{1000, 100, 617} {
		var back []string
		steps := 0
		for next := fmt.Sprintf("%s?limit=%d", path, limit); next != ""; steps++ {
			p := s.page(t, next, a.token)
			back = append(slices.Clone(p.texts), back...)
			if next = p.prev; next != "" && !strings.Contains(next, fmt.Sprintf("limit=%d", limit)) {
				t.Errorf("got link %s, want limit %d kept", next, limit)
			}
		}
		if wantSteps := (total + limit - 1) / limit; !slices.Equal(back, want) || steps != wantSteps {
			t.Errorf("limit %d, back: got %d messages in %d steps, want all %d in %d", limit, len(back), steps, total, wantSteps)
		}
		var onwards []string
		for next := fmt.Sprintf("%s?limit=%d&after=%028d", path, limit, 0); next != ""; {
			p := s.page(t, next, a.token)
			onwards = append(onwards, p.texts...)
			next = p.next
		}
		if !slices.Equal(onwards, want) {
			t.Errorf("limit %d, onwards: got %d messages, want all %d in order", limit, len(onwards), total)
		}
	}
	between := s.page(t, fmt.Sprintf("%s?after=%s&before=%s&limit=5", path, newest.ids[0], newest.ids[10]), a.token)
	if !slices.Equal(between.texts, newest.texts[5:10]) {
		t.Errorf("got %q, want %q", between.texts, newest.texts[5:10])
	}
	rest := s.page(t, between.prev, a.token)
	if !slices.Equal(rest.texts, newest.texts[1:5]) || rest.prev != "" {
		t.Errorf("got %q and prev %q, want %q and none", rest.texts, rest.prev, newest.texts[1:5])
	}
	if end := s.page(t, path+"?after="+newest.ids[999], a.token); len(end.texts) != 0 || end.next != "" {
		t.Errorf("got %q and next %q at the end, want nothing", end.texts, end.next)
	}
}

func TestRoomsKeepNothing(t *testing.T) {
	s := start(t)
	admin := s.staff(t, "admin")
	r, err := s.rooms.CreateRoom(t.Context(), admin.User, "Lobby", false)
	if err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/api/chats/%d/messages/", r.ID)
	s.want(t, http.StatusOK, call{method: "POST", path: path, token: admin.token, json: `{"message":"a"}`})
	got := s.want(t, http.StatusOK, call{method: "GET", path: path, token: admin.token})
	if want := fmt.Sprintf(`{"id":%d,"uri":"%s","messages":[]}`, r.ID, r.URI); got.body != want {
		t.Errorf("got %s, want %s", got.body, want)
	}
}

func TestIdempotency(t *testing.T) {
	s := start(t)
	a, b := s.user(t, "user_a"), s.user(t, "user_b")
	r := s.session(t, 0, a, b)
	path := "/api/chats/" + r.URI + "/messages/"
	send := func(c caller, text, key string) call {
		return call{method: "POST", path: path, token: c.token, json: `{"message":"` + text + `"}`, header: http.Header{"Idempotency-Key": {key}}}
	}
	const repeats = 16
	bodies := make([]string, repeats)
	var senders sync.WaitGroup
	for i := range repeats {
		senders.Go(func() {
			bodies[i] = s.do(t, send(a, fmt.Sprint(i), "k1")).body
		})
	}
	senders.Wait()
	if different := slices.Compact(slices.Clone(bodies)); len(different) != 1 {
		t.Errorf("got answers %q, want one", different)
	}
	if _, err := s.accounts.Update(t.Context(), a.User, a.ID, chat.UserChange{FirstName: new("Ann")}); err != nil {
		t.Fatal(err)
	}
	if again := s.want(t, http.StatusOK, send(a, "later", "k1")); again.body != bodies[0] {
		t.Errorf("got %s after a change of name, want %s", again.body, bodies[0])
	}
	s.want(t, http.StatusOK, send(a, "other key", "k2"))
	s.want(t, http.StatusOK, send(b, "other sender", "k1"))
	s.want(t, http.StatusOK, send(a, "no key", ""))
	s.want(t, http.StatusOK, send(a, "no key", ""))
	var first struct{ Message string }
	if err := json.Unmarshal([]byte(bodies[0]), &first); err != nil {
		t.Fatal(err)
	}
	want := []string{first.Message, "other key", "other sender", "no key", "no key"}
	if got := s.page(t, path, b.token).texts; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	long := s.want(t, http.StatusBadRequest, send(a, "a", strings.Repeat("k", 65)))
	if want := `{"idempotency_key":["Ensure the Idempotency-Key is valid UTF-8 of no more than 64 bytes (it has 65)."]}`; long.body != want {
		t.Errorf("got %s, want %s", long.body, want)
	}
	twice := send(a, "a", "k1")
	twice.header = http.Header{"Idempotency-Key": {"k1", "k2"}}
	if got, want := s.want(t, http.StatusBadRequest, twice), `{"idempotency_key":["This field was given more than once."]}`; got.body != want {
		t.Errorf("got %s, want %s", got.body, want)
	}
}

func TestSendRate(t *testing.T) {
	s := start(t, func(s *settings) { s.messages.SendRate = chat.Rate{PerSecond: 0.1, Burst: 1} })
	a := s.user(t, "user_a")
	send := call{method: "POST", path: "/api/chats/" + s.session(t, 0, a).URI + "/messages/", token: a.token, json: `{"message":"a"}`}
	s.want(t, http.StatusOK, send)
	got := s.want(t, http.StatusTooManyRequests, send)
	if retryAfter := got.header.Get("Retry-After"); retryAfter != "10" {
		t.Errorf("got Retry-After %q, want 10", retryAfter)
	}
}
