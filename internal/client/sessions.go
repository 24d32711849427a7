package client

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"time"
)

// Session is a session that the user is a member of.
type Session struct {
	URI     string `json:"uri"`
	Members []User `json:"members"`
}

// Message is one message of a session.
type Message struct {
	// ID names the message and its place: ids of a session sort, as strings,
	// in the order of its messages. Only a server without resume sends none.
	ID   string    `json:"id,omitempty"`
	Time time.Time `json:"time,omitzero"`
	User User      `json:"user"`
	Text string    `json:"message"`
}

// CreateSession makes a session with the user as its member and answers its
// URI. It is tried once: a repeat after a lost answer would make a second one.
func (c *Client) CreateSession(ctx context.Context) (string, error) {
	var answer struct {
		URI string `json:"uri"`
	}
	_, err := c.do(ctx, call{method: http.MethodPost, path: []string{"api", "chats"}}, &answer)
	return answer.URI, err
}

// Sessions lists the sessions that the user is a member of.
func (c *Client) Sessions(ctx context.Context) ([]Session, error) {
	var answer struct {
		Sessions []Session `json:"sessions"`
	}
	_, err := c.do(ctx, call{method: http.MethodGet, path: []string{"api", "chats"}, repeatable: true}, &answer)
	return answer.Sessions, err
}

// Join makes username a member of the session and answers all members. Only
// the session's creator and staff may name another user than themselves.
func (c *Client) Join(ctx context.Context, uri, username string) ([]User, error) {
	var answer struct {
		Members []User `json:"members"`
	}
	_, err := c.do(ctx, call{
		method: http.MethodPatch, path: []string{"api", "chats", url.PathEscape(uri)},
		form: url.Values{"username": {username}}, repeatable: true,
	}, &answer)
	return answer.Members, err
}

// NewKey returns a fresh key for Send.
func NewKey() string { return rand.Text() }

// Send sends a message. While the server is busy or out of reach it tries
// again, a bounded number of times, under the same key: the server keeps one
// message for each key of a sender in a session. After an error that is not a
// refusal the message may or may not have been sent; sending it again with the
// same key settles that.
func (c *Client) Send(ctx context.Context, uri, text, key string) (Message, error) {
	var sent Message
	_, err := c.do(ctx, call{
		method: http.MethodPost, path: []string{"api", "chats", url.PathEscape(uri), "messages"},
		form:   url.Values{"message": {text}},
		header: http.Header{"Idempotency-Key": {key}}, repeatable: true,
	}, &sent)
	return sent, err
}
