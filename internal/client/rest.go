package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// maxAttempts bounds the tries of a call that may be repeated.
	maxAttempts = 5
	// maxWait is the longest Retry-After that a call waits for by itself;
	// beyond it the caller gets the error and decides.
	maxWait = 30 * time.Second
	// maxBody bounds an answer, in bytes.
	maxBody = 64 << 20
)

// call is one request of the API.
type call struct {
	method string
	path   []string
	query  url.Values
	form   url.Values
	header http.Header
	// repeatable: doing it twice is the same as doing it once.
	repeatable bool
}

// do makes the call and decodes the answer into answer, if that is not nil. A
// repeatable call is tried again while the server is busy or out of reach.
func (c *Client) do(ctx context.Context, r call, answer any) (http.Header, error) {
	for failures := 0; ; failures++ {
		header, err := c.try(ctx, r, answer)
		if err == nil || !r.repeatable || failures+1 == maxAttempts || ctx.Err() != nil {
			return header, err
		}
		asked, again := worthRepeating(err)
		if !again {
			return nil, err
		}
		if sleep(ctx, callBackoff.delay(failures, asked, c.random())) != nil {
			return nil, err
		}
	}
}

// unreachable makes err an ErrUnreachable.
func unreachable(err error) error { return fmt.Errorf("%w: %w", ErrUnreachable, err) }

// worthRepeating decides whether a repeatable call is made again, and how long
// the server asks to wait first.
func worthRepeating(err error) (asked time.Duration, again bool) {
	if refused, ok := errors.AsType[*Error](err); ok {
		return refused.RetryAfter, refused.Temporary() && refused.RetryAfter <= maxWait
	}
	return 0, errors.Is(err, ErrUnreachable)
}

// try makes the call once.
func (c *Client) try(ctx context.Context, r call, answer any) (http.Header, error) {
	// The last element gives the canonical trailing slash.
	target := c.server.JoinPath(append(r.path, "/")...)
	target.RawQuery = r.query.Encode()
	var body io.Reader
	if r.form != nil {
		body = strings.NewReader(r.form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target.String(), body)
	if err != nil {
		return nil, err
	}
	for key, values := range r.header {
		req.Header[key] = values
	}
	if r.form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("Accept", "application/json")
	c.authorize(req.Header)

	resp, err := c.http.Do(req)
	if err != nil {
		return nil, unreachable(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return nil, unreachable(fmt.Errorf("read answer: %w", err))
	}
	if resp.StatusCode/100 != 2 {
		return nil, decodeError(resp.StatusCode, resp.Header, content)
	}
	if answer == nil {
		return resp.Header, nil
	}
	if err := json.Unmarshal(content, answer); err != nil {
		return nil, fmt.Errorf("decode answer to %s %s: %w", r.method, target.Path, err)
	}
	return resp.Header, nil
}

func (c *Client) authorize(header http.Header) {
	if c.token != "" {
		header.Set("Authorization", "Token "+c.token)
	}
}
