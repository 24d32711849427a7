package chatdtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/test/checker"
	"github.com/gorilla/websocket"
)

// Client calls the API as one user. It is kept apart from the project's own
// client on purpose: what tests the server should not share its mistakes.
type Client struct {
	// API and Gateway are addresses, as host:port.
	API, Gateway string
	Username     string
	Token        string

	http *http.Client
}

// Password is the password of every user that Register makes.
const Password = "correct horse battery"

// NewClient returns a client of nobody yet.
func NewClient(s *Server) *Client {
	return &Client{API: s.API, Gateway: s.Gateway, http: &http.Client{Timeout: 30 * time.Second, CheckRedirect: noRedirect}}
}

// noRedirect shows redirects to the test.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Register makes a user and logs them in.
func Register(t testing.TB, s *Server, username string) *Client {
	t.Helper()
	c := NewClient(s)
	c.Username = username
	c.MustCall(t, http.MethodPost, "/auth/users/create/", url.Values{"username": {username}, "password": {Password}, "email": {username + "@mail.com"}})
	c.Login(t)
	return c
}

// Login logs the user in.
func (c *Client) Login(t testing.TB) {
	t.Helper()
	answer := c.MustCall(t, http.MethodPost, "/auth/token/login/", url.Values{"username": {c.Username}, "password": {Password}})
	c.Token, _ = answer["auth_token"].(string)
	if c.Token == "" {
		t.Fatalf("log-in answered %v, want an auth_token", answer)
	}
}

// Answer is what the API answered.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Call makes a request with a form as its body and any number of header pairs.
func (c *Client) Call(ctx context.Context, method, path string, form url.Values, header ...string) (Answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+c.API+path, strings.NewReader(form.Encode()))
	if err != nil {
		return Answer{}, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c.Token != "" {
		request.Header.Set("Authorization", "Token "+c.Token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := c.http.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return Answer{response.StatusCode, response.Header, body}, err
}

// MustCall is Call for requests that have to succeed; it returns the object
// that was answered, if any.
func (c *Client) MustCall(t testing.TB, method, path string, form url.Values) map[string]any {
	t.Helper()
	answer, err := c.Call(t.Context(), method, path, form)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if answer.Status/100 != 2 {
		t.Fatalf("%s %s: got %d %s, want success", method, path, answer.Status, answer.Body)
	}
	var object map[string]any
	if len(answer.Body) > 0 {
		if err := json.Unmarshal(answer.Body, &object); err != nil {
			t.Fatalf("%s %s: answer %q: %v", method, path, answer.Body, err)
		}
	}
	return object
}

// CreateSession makes a session and returns its URI.
func (c *Client) CreateSession(t testing.TB) string {
	t.Helper()
	uri, _ := c.MustCall(t, http.MethodPost, "/api/chats/", nil)["uri"].(string)
	return uri
}

// Join joins a session.
func (c *Client) Join(t testing.TB, uri string) {
	t.Helper()
	c.MustCall(t, http.MethodPatch, "/api/chats/"+uri+"/", url.Values{"username": {c.Username}})
}

// Send sends a message and returns what became of it, ready to be logged. An
// empty key is none.
func (c *Client) Send(ctx context.Context, room, text, key string) checker.Send {
	start := time.Now()
	var header []string
	if key != "" {
		header = []string{"Idempotency-Key", key}
	}
	answer, err := c.Call(ctx, http.MethodPost, "/api/chats/"+room+"/messages/", url.Values{"message": {text}}, header...)
	if err != nil {
		answer = Answer{}
	}
	send := c.Logged(answer, room, text)
	send.Key, send.Start = key, start
	return send
}

// Logged is a send that was answered like this, or not at all if answer is
// zero, ready to be logged.
func (c *Client) Logged(answer Answer, room, text string) checker.Send {
	send := checker.Send{Room: room, Sender: c.Username, Text: text, End: time.Now()}
	var body struct {
		ID string `json:"id"`
	}
	switch {
	case answer.Status == http.StatusInsufficientStorage:
		send.Outcome = checker.Refused
	case answer.Status == 0 || answer.Status >= 500:
		send.Outcome = checker.Unknown
	case answer.Status/100 == 2 && json.Unmarshal(answer.Body, &body) == nil && body.ID != "":
		send.Outcome, send.ID = checker.Acked, body.ID
	case answer.Status/100 == 2:
		panic(fmt.Sprintf("an acknowledgement without an id: %s", answer.Body))
	default:
		send.Outcome = checker.Refused
	}
	return send
}

// StatusError is an answer that is no success.
type StatusError struct{ Answer }

func (e *StatusError) Error() string { return fmt.Sprintf("answered %d %s", e.Status, e.Body) }

type pageMessage struct {
	ID      string `json:"id"`
	Message string `json:"message"`
}

// page reads one page of a history.
func (c *Client) page(ctx context.Context, room, query string) ([]checker.Message, error) {
	answer, err := c.Call(ctx, http.MethodGet, "/api/chats/"+room+"/messages/?"+query, nil)
	if err != nil {
		return nil, err
	}
	var body struct {
		Messages []pageMessage `json:"messages"`
	}
	if answer.Status != http.StatusOK {
		return nil, fmt.Errorf("history: %w", &StatusError{answer})
	}
	if err := json.Unmarshal(answer.Body, &body); err != nil {
		return nil, err
	}
	messages := make([]checker.Message, len(body.Messages))
	for i, m := range body.Messages {
		messages[i] = checker.Message{ID: m.ID, Text: m.Message}
	}
	return messages, nil
}

// Newest reads the newest limit messages of a room, ready to be logged.
func (c *Client) Newest(ctx context.Context, room string, limit int) (checker.Read, error) {
	read := checker.Read{Reader: c.Username, Room: room, Start: time.Now()}
	messages, err := c.page(ctx, room, fmt.Sprintf("limit=%d", limit))
	read.Messages, read.Newest = messages, len(messages) == limit
	return read, err
}

// WholeHistory reads all of a room, page by page from the newest back.
func (c *Client) WholeHistory(ctx context.Context, room string) ([]checker.Message, error) {
	const limit = 1000
	var pages [][]checker.Message
	query := fmt.Sprintf("limit=%d", limit)
	for {
		messages, err := c.page(ctx, room, query)
		if err != nil {
			return nil, err
		}
		pages = append(pages, messages)
		if len(messages) < limit {
			break
		}
		query = fmt.Sprintf("limit=%d&before=%s", limit, messages[0].ID)
	}
	var all []checker.Message
	for i := len(pages) - 1; i >= 0; i-- {
		all = append(all, pages[i]...)
	}
	return all, nil
}

// Receiver is a reader of one room that remembers where it was.
type Receiver struct {
	client  *Client
	log     *checker.Log
	room    string
	last    string
	losses  []Loss
	receive func(checker.Message)
}

// Loss is what a resume did not bring: the messages after After, up to and with
// Position.
type Loss struct{ After, Position string }

// NewReceiver returns a receiver that logs what it gets.
func (c *Client) NewReceiver(log *checker.Log, room string) *Receiver {
	return &Receiver{client: c, log: log, room: room, receive: log.NewStream(c.Username, room)}
}

// frame is any frame of a session's socket.
type frame struct {
	ID        string `json:"id"`
	Message   string `json:"message"`
	Recovered *bool  `json:"recovered"`
	Position  string `json:"position"`
}

// Receive connects, resumes after the last message it got, and receives until
// the socket ends or ctx does. The error says why.
func (r *Receiver) Receive(ctx context.Context) error {
	target := "ws://" + r.client.Gateway + "/" + r.room + "?ids=1"
	if r.last != "" {
		target += "&after=" + r.last
	}
	conn, _, err := websocket.DefaultDialer.DialContext(ctx, target, http.Header{"Authorization": {"Token " + r.client.Token}})
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	for {
		var f frame
		if err := conn.ReadJSON(&f); err != nil {
			return err
		}
		switch {
		case f.Recovered != nil && !*f.Recovered:
			r.losses = append(r.losses, Loss{After: r.last, Position: f.Position})
			r.receive = r.log.NewStream(r.client.Username, r.room)
			r.last = f.Position
		case f.ID != "":
			r.receive(checker.Message{ID: f.ID, Text: f.Message})
			r.last = f.ID
		case r.last == "":
			r.last = f.Position
		}
	}
}

// Losses are the resumes that were refused. It may not be called during Receive,
// and neither may Last.
func (r *Receiver) Losses() []Loss { return r.losses }

// Last is the id of the last message, or the position, that the receiver has.
func (r *Receiver) Last() string { return r.last }
