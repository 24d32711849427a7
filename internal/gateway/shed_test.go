package gateway_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/chatcluster/chatcluster/internal/gateway"
	"github.com/chatcluster/chatcluster/internal/metrics"
)

func TestShed(t *testing.T) {
	const all, some = 20, 5
	c := newCluster(t)
	a := c.person("user_a", false)
	session := c.session(a)
	n := c.start("g1")
	var sockets []*socket
	for i := range all {
		query := ""
		if i%2 == 0 {
			query = "?ids=1"
		}
		sockets = append(sockets, n.open(a, path(session)+query))
		if query != "" {
			sockets[i].next()
		}
	}
	if got, err := n.Shed(some, 300*time.Millisecond); err != nil || got != some {
		t.Fatalf("got %d, %v, want %d", got, err, some)
	}
	if _, err := n.Shed(some, 0); !errors.Is(err, gateway.ErrShedding) {
		t.Errorf("a second one at once: got %v, want ErrShedding", err)
	}
	eventually(t, "the sockets have gone", func() bool { return n.closed(metrics.EndpointSession, metrics.CloseShed) == some })

	// Those that are left still receive, and nobody else was told to go.
	sent := c.send(a, session, "after", "")
	gone := 0
	for i, s := range sockets {
		first, err := s.read()
		if err == nil && strings.Contains(first, `"message":"after"`) {
			continue
		}
		gone++
		if asked := i%2 == 0; asked != strings.HasPrefix(first, `{"reconnect":`) {
			t.Errorf("socket %d asked for ids: %t, and was told %q, %v", i, asked, first, err)
		}
		if i%2 == 0 {
			_, err = s.read()
		}
		if !websocket.IsCloseError(err, websocket.CloseGoingAway) {
			t.Errorf("socket %d: got %v, want close code 1001", i, err)
		}
	}
	if gone != some {
		t.Errorf("%d sockets have gone, want %d (after message %s)", gone, some, sent.ID)
	}
	// It is over, so there may be another; there are no more than these.
	eventually(t, "the next one may begin", func() bool {
		got, err := n.Shed(1000, 0)
		return err == nil && got == all-some
	})
}

// TestShedGivesWayToTheDrain: a stop does not wait for a long shed.
func TestShedGivesWayToTheDrain(t *testing.T) {
	c := newCluster(t)
	a := c.person("user_a", false)
	session := c.session(a)
	n := c.start("g1")
	var sockets []*socket
	for range 10 {
		sockets = append(sockets, n.open(a, path(session)))
	}
	if _, err := n.Shed(len(sockets), time.Hour); err != nil {
		t.Fatal(err)
	}
	go n.stop()
	for _, s := range sockets {
		if got := s.ends(); got != 1012 {
			t.Errorf("got close code %d, want 1012", got)
		}
	}
	n.stop()
	if _, err := n.Shed(1, 0); err == nil {
		t.Error("a gateway that has stopped sheds")
	}
}

func TestShedHandler(t *testing.T) {
	c := newCluster(t)
	a := c.person("user_a", false)
	n := c.start("g1")
	n.open(a, path(c.session(a)))
	tests := []struct {
		name   string
		query  string
		header http.Header
		code   int
		body   string
	}{
		{"no number", "", nil, 400, "sockets must be"},
		{"none", "sockets=0", nil, 400, "sockets must be"},
		{"no window", "sockets=1&window=soon", nil, 400, "window must be"},
		{"a window without end", "sockets=1&window=11m", nil, 400, "window must be"},
		{"a window in the past", "sockets=1&window=-1s", nil, 400, "window must be"},
		{"a page elsewhere", "sockets=1", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403, "cross-origin"},
		{"more than there are", "sockets=7&window=10m", nil, 202, `{"sockets":1,"window":"10m0s"}`},
		{"one at a time", "sockets=7", nil, 409, "already"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/admin/shed?"+tt.query, nil)
			for name, values := range tt.header {
				r.Header[name] = values
			}
			w := httptest.NewRecorder()
			n.ShedHandler().ServeHTTP(w, r)
			if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.body) {
				t.Errorf("got %d %s, want %d %s", w.Code, w.Body, tt.code, tt.body)
			}
		})
	}
}
