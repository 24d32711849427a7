// Package behaviour_test holds the promises to what clients see, in every way to
// run the server: what is said at one replica is read at the other.
package behaviour_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/clean"
	"github.com/chatcluster/chatcluster/test/chatdtest"
	"github.com/chatcluster/chatcluster/test/checker"
	"github.com/gorilla/websocket"
)

func TestMain(m *testing.M) {
	code := m.Run()
	chatdtest.RemoveBinaries()
	os.Exit(code)
}

// scene is two users of one session, each at a replica of their own.
type scene struct {
	amir, binh *chatdtest.Client
	uri        string
}

// TestBehaviour runs everything on one pair of replicas for each mode: to start
// a cluster takes longer than most of what is tried on it.
func TestBehaviour(t *testing.T) {
	for _, mode := range chatdtest.Modes() {
		t.Run(mode.Name, func(t *testing.T) {
			a, b := mode.StartPair(t)
			for _, test := range []struct {
				name string
				run  func(*testing.T, *scene)
			}{
				{"read your writes", readYourWrites},
				{"one key is one message", oneKeyOneMessage},
				{"history pages", historyPages},
				{"resume while others send", resume},
				{"removed member's socket", removedMember},
				{"logged-out user's socket", loggedOut},
				{"presence", presence},
				{"clean", func(t *testing.T, s *scene) { cleaned(t, s, a.Data) }},
			} {
				t.Run(test.name, func(t *testing.T) { test.run(t, newScene(t, a, b)) })
			}
		})
	}
}

func newScene(t *testing.T, a, b *chatdtest.Server) *scene {
	t.Helper()
	suffix := regexp.MustCompile(`[^a-z]+`).ReplaceAllString(strings.ToLower(t.Name()), "-")
	s := &scene{amir: chatdtest.Register(t, a, "amir-"+suffix), binh: chatdtest.Register(t, b, "binh-"+suffix)}
	s.uri = s.amir.CreateSession(t)
	s.binh.Join(t, s.uri)
	return s
}

func (s *scene) path(rest string) string { return "/api/chats/" + s.uri + rest }

func readYourWrites(t *testing.T, s *scene) {
	for n := range 20 {
		if sent := s.amir.Send(t.Context(), s.uri, fmt.Sprint(n), ""); sent.Outcome != checker.Acked {
			t.Fatalf("send %d: got outcome %v, want it acknowledged", n, sent.Outcome)
		}
		for _, reader := range []*chatdtest.Client{s.amir, s.binh} {
			messages, err := reader.WholeHistory(t.Context(), s.uri)
			if err != nil || len(messages) != n+1 || messages[n].Text != fmt.Sprint(n) {
				t.Fatalf("history of %s after send %d: got %v, %v, want it last", reader.Username, n, messages, err)
			}
		}
	}
}

func oneKeyOneMessage(t *testing.T, s *scene) {
	other := *s.amir // the same user at the other replica
	other.API = s.binh.API
	const keys, repeats = 10, 6
	var (
		mu      sync.Mutex // guards answers
		sending sync.WaitGroup
	)
	answers := map[int]map[string]int{}
	for key := range keys {
		answers[key] = map[string]int{}
		for n := range repeats {
			client := []*chatdtest.Client{s.amir, &other}[n%2]
			sending.Go(func() {
				sent := client.Send(t.Context(), s.uri, fmt.Sprint("message ", key), fmt.Sprint("key ", key))
				mu.Lock()
				defer mu.Unlock()
				answers[key][sent.ID]++
			})
		}
	}
	sending.Wait()
	for key, ids := range answers {
		if len(ids) != 1 || ids[""] > 0 {
			t.Errorf("key %d: got the answers %v, want one id", key, ids)
		}
	}
	if messages, err := s.binh.WholeHistory(t.Context(), s.uri); err != nil || len(messages) != keys {
		t.Errorf("history: got %d messages, %v, want %d", len(messages), err, keys)
	}
}

var link = regexp.MustCompile(`<([^>]+)>; rel="(prev|next)"`)

func historyPages(t *testing.T, s *scene) {
	const count = 25
	for n := range count {
		s.amir.Send(t.Context(), s.uri, fmt.Sprint(n), "")
	}
	var texts []string
	for next := s.path("/messages/?limit=10"); next != ""; {
		answer, err := s.binh.Call(t.Context(), http.MethodGet, next, nil)
		if err != nil || answer.Status != http.StatusOK {
			t.Fatalf("%s: got %d, %v, want 200", next, answer.Status, err)
		}
		var page struct {
			Messages []struct{ Message string }
		}
		if err := json.Unmarshal(answer.Body, &page); err != nil {
			t.Fatal(err)
		}
		var these []string
		for _, m := range page.Messages {
			these = append(these, m.Message)
		}
		texts = append(these, texts...)
		next = ""
		for _, header := range answer.Header.Values("Link") {
			for _, match := range link.FindAllStringSubmatch(header, -1) {
				if match[2] == "prev" {
					next = match[1]
				}
			}
		}
	}
	for n := range count {
		if len(texts) != count || texts[n] != fmt.Sprint(n) {
			t.Fatalf("walked back through the pages: got %q, want 0 to %d", texts, count-1)
		}
	}
}

// resume cuts a reader off again and again while the other sends; the reader
// comes back at one gateway and the other by turns.
func resume(t *testing.T, s *scene) {
	log := &checker.Log{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	receiver := s.binh.NewReceiver(log, s.uri)
	// Its place is before the first message.
	for receiver.Last() == "" {
		connect(ctx, receiver)
	}
	const count = 200
	var sending sync.WaitGroup
	sending.Go(func() {
		for n := range count {
			log.AddSend(s.amir.Send(ctx, s.uri, fmt.Sprint(n), fmt.Sprint("key ", n)))
		}
	})
	gateways := []string{s.amir.Gateway, s.binh.Gateway}
	received := func() int {
		_, n, _ := log.Counts()
		return n
	}
	for turn := 0; received() < count; turn++ {
		s.binh.Gateway = gateways[turn%2]
		connect(ctx, receiver)
		if turn > 400 {
			t.Fatalf("received %d of %d messages in %d connections", received(), count, turn)
		}
	}
	sending.Wait()
	final, err := s.amir.WholeHistory(t.Context(), s.uri)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range log.Check(map[string][]checker.Message{s.uri: final}) {
		t.Error(v)
	}
}

// connect receives for a moment, and is cut off.
func connect(ctx context.Context, r *chatdtest.Receiver) {
	ctx, cut := context.WithTimeout(ctx, 150*time.Millisecond)
	defer cut()
	// The cut is an error, as it should be.
	_ = r.Receive(ctx)
}

// dial opens a socket as the user, at their gateway.
func dial(t *testing.T, c *chatdtest.Client, path string) *websocket.Conn {
	t.Helper()
	conn, response, err := websocket.DefaultDialer.DialContext(t.Context(), "ws://"+c.Gateway+path, http.Header{"Authorization": {"Token " + c.Token}})
	if err != nil {
		t.Fatalf("dial %s: %v (%v)", path, err, response)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// cutOff is how soon a socket has to stop that lost its right.
const cutOff = time.Second

// expectClose fails unless the socket is closed with the code in time.
func expectClose(t *testing.T, conn *websocket.Conn, code int) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	_, frame, err := conn.ReadMessage()
	if !websocket.IsCloseError(err, code) {
		t.Fatalf("got %q, %v, want close code %d", frame, err, code)
	}
	if took := time.Since(start); took > cutOff {
		t.Errorf("closed after %s, want at most %s", took, cutOff)
	}
}

func removedMember(t *testing.T, s *scene) {
	conn := dial(t, s.binh, "/"+s.uri)
	s.amir.MustCall(t, http.MethodDelete, s.path("/members/"+s.binh.Username+"/"), nil)
	expectClose(t, conn, 4403)
	if _, response, err := websocket.DefaultDialer.Dial("ws://"+s.binh.Gateway+"/"+s.uri, http.Header{"Authorization": {"Token " + s.binh.Token}}); err == nil || response == nil || response.StatusCode != http.StatusForbidden {
		t.Errorf("come back at once: got %v, %v, want 403", response, err)
	}
}

func loggedOut(t *testing.T, s *scene) {
	conn := dial(t, s.binh, "/"+s.uri)
	elsewhere := *s.binh
	elsewhere.API = s.amir.API
	elsewhere.MustCall(t, http.MethodPost, "/auth/token/logout/", nil)
	expectClose(t, conn, 4401)
}

func presence(t *testing.T, s *scene) {
	a, b := dial(t, s.amir, "/chat/stream/"), dial(t, s.binh, "/chat/stream/")
	say := func(conn *websocket.Conn, command string) {
		t.Helper()
		if err := conn.WriteJSON(map[string]any{"command": command, "room": s.uri}); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(conn *websocket.Conn, what string) string {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		for {
			_, frame, err := conn.ReadMessage()
			if err != nil {
				t.Fatalf("wait for %s: %v", what, err)
			}
			if strings.Contains(string(frame), what) {
				return string(frame)
			}
		}
	}
	say(a, "join")
	hear(a, `"join":`)
	say(b, "join")
	hear(b, `"join":`)
	hear(a, `{"msg_type":4,`)
	for _, conn := range []*websocket.Conn{a, b} {
		say(conn, "room_users")
		users := hear(conn, `"users":`)
		for _, c := range []*chatdtest.Client{s.amir, s.binh} {
			if !regexp.MustCompile(`"username":"` + c.Username + `","name":"[^"]*","left":false`).MatchString(users) {
				t.Errorf("got %s, want %s in it", users, c.Username)
			}
		}
	}
	b.NetConn().Close()
	hear(a, `{"msg_type":5,`)
	say(a, "room_users")
	if users := hear(a, `"users":`); !regexp.MustCompile(`"username":"` + s.binh.Username + `","name":"[^"]*","left":true`).MatchString(users) {
		t.Errorf("got %s, want %s to have left", users, s.binh.Username)
	}
}

func cleaned(t *testing.T, s *scene, data []string) {
	for n := range 5 {
		s.amir.Send(t.Context(), s.uri, fmt.Sprint(n), "")
	}
	first, err := s.amir.WholeHistory(t.Context(), s.uri)
	if err != nil || len(first) != 5 {
		t.Fatalf("history: got %d messages, %v, want 5", len(first), err)
	}
	stdout, stderr, err := chatdtest.Run(t, "", "chatd", slices.Concat([]string{"clean", "-d", "0"}, data)...)
	var report clean.Report
	if err != nil || json.Unmarshal([]byte(stdout), &report) != nil || report.Deleted < 5 {
		t.Fatalf("clean: got %s, %v, want at least 5 deleted\n%s", stdout, err, stderr)
	}
	for _, reader := range []*chatdtest.Client{s.amir, s.binh} {
		if left, err := reader.WholeHistory(t.Context(), s.uri); err != nil || len(left) != 0 {
			t.Errorf("history of %s: got %d messages, %v, want none", reader.Username, len(left), err)
		}
	}
	// Nor does a resume bring them back.
	conn := dial(t, s.binh, "/"+s.uri+"?after="+first[0].ID)
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, frame, err := conn.ReadMessage(); err != nil || !strings.HasPrefix(string(frame), `{"recovered":false,`) {
		t.Errorf("resume: got %s, %v, want recovered:false", frame, err)
	}
	s.amir.MustCall(t, http.MethodPost, s.path("/messages/"), url.Values{"message": {"after"}})
	if _, frame, err := conn.ReadMessage(); err != nil || !strings.Contains(string(frame), `"message":"after"`) {
		t.Errorf("after the resume: got %s, %v, want the new message alone", frame, err)
	}
}
