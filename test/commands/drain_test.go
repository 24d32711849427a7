package commands_test

import (
	"errors"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/chatcluster/chatcluster/test/chatdtest"
)

// patience is how long a test waits for what must happen; machines are slow.
const patience = 30 * time.Second

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("timed out: %s", what)
		}
	}
}

func draining(t *testing.T, c *chatdtest.Client) bool {
	answer, err := c.Call(t.Context(), http.MethodGet, "/readyz", nil)
	return err == nil && answer.Status == http.StatusServiceUnavailable && strings.Contains(string(answer.Body), "draining")
}

// listen opens a session's socket, with ids.
func listen(t *testing.T, c *chatdtest.Client, uri string) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+c.Gateway+"/"+uri+"?ids=1", http.Header{"Authorization": {"Token " + c.Token}})
	if err != nil {
		t.Fatalf("open socket: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetReadDeadline(time.Now().Add(patience))
	return conn
}

// letsGo reports whether the server closes the connection after an answer.
func letsGo(t *testing.T, address string) bool {
	t.Helper()
	response, err := http.Get("http://" + address + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.Close
}

// TestDrain: what a client and a load balancer see of a server that is told to
// stop.
func TestDrain(t *testing.T) {
	s := chatdtest.Start(t, t.TempDir(), "--drain-delay=3s", "--drain-window=500ms")
	user := chatdtest.Register(t, s, "amir")
	uri := user.CreateSession(t)
	conn := listen(t, user, uri)
	if letsGo(t, s.API) {
		t.Error("a server that does not stop closes the connections of requests")
	}
	s.Signal(t, syscall.SIGTERM)
	eventually(t, "/readyz says that it drains", func() bool { return draining(t, user) })
	for name, address := range map[string]string{"API": s.API, "gateway": s.Gateway} {
		if !letsGo(t, address) {
			t.Errorf("the %s of a server that stops keeps the connections of requests", name)
		}
	}

	// For the delay everything is served, to new clients too.
	late := listen(t, user, uri)
	user.Send(t.Context(), uri, "hi", "")
	for name, c := range map[string]*websocket.Conn{"early": conn, "late": late} {
		var frames []string
		for {
			_, data, err := c.ReadMessage()
			var closed *websocket.CloseError
			if errors.As(err, &closed) {
				if closed.Code != 1012 {
					t.Errorf("%s socket: got close code %d, want 1012", name, closed.Code)
				}
				break
			}
			if err != nil {
				t.Fatalf("%s socket: %v", name, err)
			}
			frames = append(frames, string(data))
		}
		if len(frames) != 3 || !strings.Contains(frames[1], `"message":"hi"`) || !strings.HasPrefix(frames[2], `{"reconnect":`) {
			t.Errorf("%s socket: got %q, want a position, the message, and a reconnect frame", name, frames)
		}
	}
	eventually(t, "the server ends", func() bool { return !s.Running() })
}

// TestSecondSignalEndsAtOnce: nobody has to wait for a drain.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	s := chatdtest.Start(t, t.TempDir(), "--drain-delay=1h")
	c := chatdtest.NewClient(s)
	s.Signal(t, syscall.SIGTERM)
	eventually(t, "/readyz says that it drains", func() bool { return draining(t, c) })
	s.Signal(t, syscall.SIGINT)
	eventually(t, "the server ends", func() bool { return !s.Running() })
}

// TestShed: it is an operator's, at the metrics address alone.
func TestShed(t *testing.T) {
	s := chatdtest.Start(t, t.TempDir())
	user := chatdtest.Register(t, s, "amir")
	conn := listen(t, user, user.CreateSession(t))
	for name, address := range map[string]string{"the API": s.API, "the gateway": s.Gateway} {
		c := *user
		c.API = address
		if answer, err := c.Call(t.Context(), http.MethodPost, "/admin/shed?sockets=1", nil); err != nil || answer.Status/100 != 4 {
			t.Errorf("%s answers %d, %v, want that it knows nothing of it", name, answer.Status, err)
		}
	}
	operator := chatdtest.NewClient(s)
	operator.API = s.Metrics
	if got := operator.MustCall(t, http.MethodPost, "/admin/shed?sockets=1&window=0s", nil)["sockets"]; got != float64(1) {
		t.Errorf("got %v sockets, want 1", got)
	}
	for _, want := range []string{`{"position":`, `{"reconnect":`} {
		if _, data, err := conn.ReadMessage(); err != nil || !strings.HasPrefix(string(data), want) {
			t.Errorf("got frame %s, %v, want %s", data, err, want)
		}
	}
	if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseGoingAway) {
		t.Errorf("got %v, want close code 1001", err)
	}
}
