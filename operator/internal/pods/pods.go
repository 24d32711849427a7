// Package pods asks the pods of a cluster over HTTP, at the address of their
// metrics: for a gauge, for their readiness, and to send sockets away.
//
// What a pod answers is not trusted: time, size and numbers are bounded, and
// nothing is followed elsewhere. A Reader is safe for concurrent use; its
// goroutines end before the call that started them returns.
package pods

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
)

const (
	defaultTimeout = 2 * time.Second
	// concurrent is how many pods are asked at once, and with maxMetrics what
	// bounds the memory for their answers.
	concurrent = 8
	// maxMetrics and maxText are how many bytes of an answer are read: of
	// metrics, and of what is shown to people.
	maxMetrics = 4 << 20
	maxText    = 4 << 10
)

// Options change a Reader.
type Options struct {
	// Timeout is how long one pod may take to answer; 2 s by default.
	Timeout time.Duration
}

// Reader asks pods. Addresses are host:port.
type Reader struct {
	client *http.Client
}

// New returns a Reader.
func New(o Options) *Reader {
	return &Reader{client: &http.Client{
		Timeout: cmp.Or(o.Timeout, defaultTimeout),
		// A pod's address is its own: it is not reached through a proxy, and has
		// no reason to send the operator elsewhere. Pods come and go, so that no
		// connection is kept.
		Transport:     &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Failing asks the pod's /readyz for the names of the checks by which it is not
// ready, none if it is. It fails if the answer is not a report.
func (r *Reader) Failing(ctx context.Context, addr string) (checks []string, err error) {
	err = r.ask(ctx, http.MethodGet, addr, "/readyz", nil, func(answer *http.Response) error {
		if answer.StatusCode == http.StatusOK {
			return nil
		}
		var report readiness
		if answer.StatusCode != http.StatusServiceUnavailable || json.NewDecoder(io.LimitReader(answer.Body, maxText)).Decode(&report) != nil {
			return unexpected(answer)
		}
		for _, c := range report.Checks {
			if c.Status != "ok" && c.Status != "degraded" {
				checks = append(checks, name(c.Name))
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ask for readiness: %w", err)
	}
	return checks, nil
}

// readiness is the server's report.
type readiness struct {
	Checks []struct{ Name, Status string }
}

// name is a check's name as it may stand in a status.
func name(s string) string {
	const longest = 40
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(s[:min(len(s), longest)], ""))
}

// ask sends a request without a body and has read look at the answer.
func (r *Reader) ask(ctx context.Context, method, addr, path string, query url.Values, read func(*http.Response) error) error {
	u := url.URL{Scheme: "http", Host: addr, Path: path, RawQuery: query.Encode()}
	request, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return err
	}
	answer, err := r.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return read(answer)
}

// text is the beginning of a body, for people to read.
func text(body io.Reader) (string, error) {
	b, err := io.ReadAll(io.LimitReader(body, maxText))
	return strings.TrimSpace(strings.ToValidUTF8(string(b), "")), err
}

// unexpected is the error of an answer that is not what was asked for.
func unexpected(answer *http.Response) error {
	// The status is what matters: a body that breaks off says nothing more.
	body, _ := text(answer.Body)
	line, _, _ := strings.Cut(body, "\n")
	if line == "" {
		return errors.New(answer.Status)
	}
	return fmt.Errorf("%s: %s", answer.Status, line)
}
