package gateway_test

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/gateway"
)

// told reads frames until the socket closes, and answers the reconnect frame,
// if there was one, with the close code.
func (s *socket) told() (frame string, code int) {
	s.t.Helper()
	for {
		data, err := s.read()
		var closed *websocket.CloseError
		switch {
		case errors.As(err, &closed):
			return frame, closed.Code
		case err != nil:
			s.t.Fatalf("socket ended with %v, want a close frame", err)
		}
		if strings.Contains(data, `"reconnect"`) {
			frame = data
		}
	}
}

// TestDrainTellsThoseWhoAsked also resumes elsewhere from what they are told.
func TestDrainTellsThoseWhoAsked(t *testing.T) {
	const window = 300 * time.Millisecond
	c := newCluster(t)
	admin, a := c.person("root", true), c.person("user_a", false)
	session, lobby := c.session(a), c.room(admin, "Lobby", false)
	n := c.start("g1", func(o *gateway.Options) { o.DrainWindow = window })
	other := c.start("g2")

	plain, plainStream := n.open(a, path(session)), n.joinedStream(a, lobby)
	asked := n.open(a, path(session)+"?ids=1")
	asked.next()
	stream := n.stream(a)
	stream.say(`{"command":"join","room":%d,"ids":true}`, lobby.ID)
	stream.next()
	idle := n.stream(a) // has joined nothing
	sent := c.send(a, session, "before", "")
	if got := parse(t, asked.next()).ID; got != sent.ID.String() {
		t.Fatalf("got message %s, want %s", got, sent.ID)
	}
	plain.next()

	go n.stop()
	for name, s := range map[string]*socket{"session": plain, "stream": plainStream, "idle": idle} {
		if got, code := s.told(); got != "" || code != 1012 {
			t.Errorf("plain %s: got %s and code %d, want nothing and 1012", name, got, code)
		}
	}
	data, code := asked.told()
	var one struct {
		Reconnect *int64
		After     string
	}
	if err := json.Unmarshal([]byte(data), &one); err != nil || one.Reconnect == nil || code != 1012 {
		t.Fatalf("got %s, %v and code %d, want a reconnect frame and 1012", data, err, code)
	}
	if got := *one.Reconnect; got < 0 || got > window.Milliseconds() {
		t.Errorf("got a delay of %d ms, want one within the window", got)
	}
	if one.After < sent.ID.String() {
		t.Errorf("got position %s, want at least that of the message, %s", one.After, sent.ID)
	}
	later := c.send(a, session, "meanwhile", "")
	resumed := other.open(a, path(session)+"?after="+one.After)
	if first := parse(t, resumed.next()); first.Recovered == nil || !*first.Recovered {
		t.Errorf("got %+v, want that it is recovered", first)
	}
	if got := parse(t, resumed.next()); got.ID != later.ID.String() {
		t.Errorf("got %+v, want the message sent meanwhile only", got)
	}

	data, code = stream.told()
	var many struct {
		Reconnect *int64
		After     map[string]string
	}
	if err := json.Unmarshal([]byte(data), &many); err != nil || many.Reconnect == nil || code != 1012 {
		t.Fatalf("got %s, %v and code %d, want a reconnect frame and 1012", data, err, code)
	}
	after := many.After[strconv.FormatInt(lobby.ID, 10)]
	if _, err := chat.ParseMessageID(after); err != nil || len(many.After) != 1 {
		t.Errorf("got positions %v, want that of the one room", many.After)
	}
}

// TestDrainDeliversUntilTheEnd: a socket whose turn has not come still receives.
func TestDrainDeliversUntilTheEnd(t *testing.T) {
	c := newCluster(t)
	a := c.person("user_a", false)
	session := c.session(a)
	n := c.start("g1", func(o *gateway.Options) { o.DrainWindow = time.Minute })
	// Of so many, some are not closed in the first second.
	var sockets []*socket
	for range 50 {
		s := n.open(a, path(session)+"?ids=1")
		s.next()
		sockets = append(sockets, s)
	}
	go n.stop()
	for _, s := range sockets {
		s.next() // the reconnect frame
	}
	sent := c.send(a, session, "during", "")
	received := 0
	for _, s := range sockets {
		if data, err := s.read(); err == nil && parse(t, data).ID == sent.ID.String() {
			received++
		}
	}
	if received < len(sockets)/2 {
		t.Errorf("%d of %d sockets got the message, want at least half", received, len(sockets))
	}
	// Once all clients have left, there is nothing to wait for.
	for _, s := range sockets {
		s.ws.Close()
	}
	begin := time.Now()
	n.stop()
	if took := time.Since(begin); took > wait {
		t.Errorf("the drain took %s after the last client had left", took)
	}
}
