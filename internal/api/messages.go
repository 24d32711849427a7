package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/metrics"
)

type messageSent struct {
	Status  string `json:"status"`
	URI     string `json:"uri"`
	Message string `json:"message"`
	User    user   `json:"user"`
	ID      string `json:"id"`
	Time    string `json:"time"`
}

func (a *API) sendMessage(ctx context.Context, req *request) (answer, error) {
	sent, err := a.send(ctx, req)
	if err != nil {
		a.metrics.Refused.WithLabelValues(metrics.RefusedReason(err)).Inc()
		return answer{}, err
	}
	a.metrics.Accepted.Inc()
	// What the message says and who sent it come from the log: a repeat of a
	// key gets the answer of the first.
	return reply(messageSent{success, sent.RoomURI, sent.Text, viewUser(sent.Sender), sent.ID.String(), timestamp(sent.Time)})
}

func (a *API) send(ctx context.Context, req *request) (chat.Message, error) {
	text, key := req.body.required("message"), req.idempotencyKey()
	if err := req.body.err(); err != nil {
		return chat.Message{}, err
	}
	ref, err := a.lookup(ctx, req)
	if err != nil {
		return chat.Message{}, err
	}
	start := time.Now()
	sent, err := a.messages.Send(ctx, req.caller.User, ref.Room, text, key)
	if err == nil {
		a.metrics.AppendDuration.Observe(time.Since(start).Seconds())
	}
	return sent, err
}

// idempotencyKey is the header's value, or empty.
func (q *request) idempotencyKey() string {
	keys := q.http.Header.Values("Idempotency-Key")
	if len(keys) > 1 {
		q.body.errs.Add("idempotency_key", msgTwice)
	}
	return q.http.Header.Get("Idempotency-Key")
}

type history struct {
	ID       int64     `json:"id"`
	URI      string    `json:"uri"`
	Messages []message `json:"messages"`
}

func (a *API) listMessages(ctx context.Context, req *request) (answer, error) {
	page := chat.Page{
		After:  req.position("after"),
		Before: req.position("before"),
		Limit:  req.limit(),
	}
	if err := req.query.err(); err != nil {
		return answer{}, err
	}
	r, err := a.readable(ctx, req)
	if err != nil {
		return answer{}, err
	}
	found, err := a.messages.History(ctx, r, page)
	if err != nil {
		return answer{}, err
	}
	body := history{ID: r.ID, URI: r.URI, Messages: make([]message, len(found.Messages))}
	for i, m := range found.Messages {
		body.Messages[i] = viewMessage(m)
	}
	return answer{status: http.StatusOK, body: body, header: linkHeader(req.pageLinks(page, found)...)}, nil
}

// position is the message id that a field of the query names; zero without.
func (q *request) position(name string) chat.MessageID {
	text := q.query.text(name)
	if text == nil {
		return chat.MessageID{}
	}
	id, err := chat.ParseMessageID(*text)
	switch {
	case err != nil:
		q.query.errs.Add(name, "Not a message id: %s.", err)
	case id.IsZero():
		// Before the first of all messages, where a walk onwards starts; without
		// a time it would be no position.
		id.Time = 1
	}
	return id
}

// pageLinks are the links to the older messages (prev) and the newer ones
// (next) of a history, which is read oldest first.
func (q *request) pageLinks(page chat.Page, found chat.HistoryPage) []string {
	if len(found.Messages) == 0 {
		return nil
	}
	var links []string
	if found.Older {
		query := url.Values{"before": {found.Messages[0].ID.String()}}
		// The lower bound of a range stays; that of a walk onwards is only where
		// it has come to.
		if !page.After.IsZero() && !page.Before.IsZero() {
			query.Set("after", page.After.String())
		}
		links = append(links, q.link("prev", page.Limit, query))
	}
	if found.Newer {
		last := found.Messages[len(found.Messages)-1].ID.String()
		links = append(links, q.link("next", page.Limit, url.Values{"after": {last}}))
	}
	return links
}
