package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// pageSize is how many messages the iterators ask for at once.
const pageSize = 100

// Page asks for part of a session's history.
type Page struct {
	// After and Before bound the ids, both exclusive; empty is no bound. With
	// After alone a page is the oldest of the range, else the newest.
	After, Before string
	// Limit is the largest number of messages; 0 is the server's choice.
	Limit int
}

// HistoryPage is part of a session's history.
type HistoryPage struct {
	// Messages are oldest first.
	Messages []Message
	// Older and Newer ask for the neighbouring pages; nil where there is none.
	Older, Newer *Page
}

// History reads one page.
func (c *Client) History(ctx context.Context, uri string, page Page) (HistoryPage, error) {
	var answer struct {
		Messages []Message `json:"messages"`
	}
	header, err := c.do(ctx, call{
		method: http.MethodGet, path: []string{"api", "chats", url.PathEscape(uri), "messages"},
		query: page.query(), repeatable: true,
	}, &answer)
	if err != nil {
		return HistoryPage{}, err
	}
	links := parseLinks(header.Values("Link"))
	return HistoryPage{Messages: answer.Messages, Older: pageOf(links["prev"]), Newer: pageOf(links["next"])}, nil
}

func (p Page) query() url.Values {
	query := url.Values{}
	if p.After != "" {
		query.Set("after", p.After)
	}
	if p.Before != "" {
		query.Set("before", p.Before)
	}
	if p.Limit > 0 {
		query.Set("limit", strconv.Itoa(p.Limit))
	}
	return query
}

// pageOf reads what a link asks for. Only its query counts: the token goes to
// no host that an answer names, and a proxy may have hidden the server's own
// name for itself.
func pageOf(link *url.URL) *Page {
	if link == nil {
		return nil
	}
	query := link.Query()
	page := Page{After: query.Get("after"), Before: query.Get("before")}
	if page.After == "" && page.Before == "" {
		return nil
	}
	if limit, err := strconv.Atoi(query.Get("limit")); err == nil {
		page.Limit = max(limit, 0)
	}
	return &page
}

// Forward reads all messages after an id, oldest first. Without an id it would
// begin with the newest page. It ends after the first error.
func (c *Client) Forward(ctx context.Context, uri, after string) iter.Seq2[Message, error] {
	return c.pages(ctx, uri, Page{After: after, Limit: pageSize}, func(p HistoryPage) ([]Message, *Page) {
		return p.Messages, p.Newer
	})
}

// Backward reads all messages before an id, or all there are if it is empty,
// newest first. It ends after the first error.
func (c *Client) Backward(ctx context.Context, uri, before string) iter.Seq2[Message, error] {
	return c.pages(ctx, uri, Page{Before: before, Limit: pageSize}, func(p HistoryPage) ([]Message, *Page) {
		slices.Reverse(p.Messages)
		return p.Messages, p.Older
	})
}

// pages yields page after page; turn gives a page's messages in reading order,
// and the next page. An empty page ends it whatever its links say, or a server
// that links on without end would hold the reader for ever.
func (c *Client) pages(ctx context.Context, uri string, page Page, turn func(HistoryPage) ([]Message, *Page)) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		for next := &page; next != nil; {
			answer, err := c.History(ctx, uri, *next)
			if err != nil {
				yield(Message{}, err)
				return
			}
			var messages []Message
			messages, next = turn(answer)
			for _, m := range messages {
				if !yield(m, nil) {
					return
				}
			}
			if len(messages) == 0 {
				return
			}
		}
	}
}
