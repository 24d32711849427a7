package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What callers branch on; Error and ClosedError say the rest.
var (
	// ErrUnauthenticated: the call needs a token, or the token is dead.
	ErrUnauthenticated = errors.New("not logged in")
	// ErrForbidden: this user may not do that, or is no longer a member.
	ErrForbidden = errors.New("forbidden")
	// ErrNotFound: there is no such session.
	ErrNotFound = errors.New("not found")
	// ErrUnreachable: no answer came. Whether the server acted is not known.
	ErrUnreachable = errors.New("no answer")
)

// nonField is the key of errors that concern no single field.
const nonField = "non_field_errors"

// Error is an HTTP answer that refuses the call.
type Error struct {
	// Status is the HTTP status.
	Status int
	// Detail is the server's sentence, if it gave one.
	Detail string
	// Fields are the reasons by field of the input, and those of the whole
	// input under "non_field_errors".
	Fields map[string][]string
	// RetryAfter is when the server asks to be tried again; 0 if it did not.
	RetryAfter time.Duration
}

func (e *Error) Error() string {
	var parts []string
	if e.Detail != "" {
		parts = append(parts, e.Detail)
	}
	for _, field := range slices.Sorted(maps.Keys(e.Fields)) {
		reasons := strings.Join(e.Fields[field], " ")
		if field != nonField {
			reasons = field + ": " + reasons
		}
		parts = append(parts, reasons)
	}
	if len(parts) == 0 {
		return fmt.Sprintf("the server answered %d %s", e.Status, http.StatusText(e.Status))
	}
	return strings.Join(parts, "; ")
}

// Is matches the sentinels of this package.
func (e *Error) Is(target error) bool {
	switch e.Status {
	case http.StatusUnauthorized:
		return target == ErrUnauthenticated
	case http.StatusForbidden:
		return target == ErrForbidden
	case http.StatusNotFound:
		return target == ErrNotFound
	default:
		return false
	}
}

// Temporary reports whether the same call may succeed later.
func (e *Error) Temporary() bool {
	switch e.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	default:
		return false
	}
}

// decodeError reads the error shapes of Django REST framework: "detail" with a
// sentence, or lists of reasons by field. A body of any other shape, such as a
// proxy's page, leaves only the status.
func decodeError(status int, header http.Header, body []byte) *Error {
	e := &Error{Status: status, RetryAfter: retryAfter(header)}
	var values map[string]json.RawMessage
	if json.Unmarshal(body, &values) != nil {
		return e
	}
	for key, raw := range values {
		var sentence string
		var reasons []string
		switch {
		case json.Unmarshal(raw, &reasons) == nil && len(reasons) > 0:
		case json.Unmarshal(raw, &sentence) != nil || sentence == "":
			continue
		case key == "detail":
			e.Detail = sentence
			continue
		default:
			reasons = []string{sentence}
		}
		if e.Fields == nil {
			e.Fields = map[string][]string{}
		}
		e.Fields[key] = reasons
	}
	return e
}

// maxRetryAfter keeps an absurd header from overflowing a duration.
const maxRetryAfter = 24 * time.Hour

// retryAfter reads whole seconds, the form that the server sends; the date
// form, which would need both clocks to agree, counts as none.
func retryAfter(header http.Header) time.Duration {
	seconds, err := strconv.ParseUint(header.Get("Retry-After"), 10, 32)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxRetryAfter)
}

// ClosedError: the server closed the socket, and connecting again would not
// help (except for ReceiveRaw, which reports every close).
type ClosedError struct {
	// Code is the close code of the WebSocket (RFC 6455 section 7.4).
	Code int
	// Reason is the server's, if it gave one.
	Reason string
}

// Close codes that are terminal though their ranges are not.
const (
	closeTokenDead = 4401
	closeRemoved   = 4403
)

func (e *ClosedError) Error() string {
	text := "the server closed the connection with code " + strconv.Itoa(e.Code)
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// Is matches the sentinels of this package.
func (e *ClosedError) Is(target error) bool {
	return e.Code == closeTokenDead && target == ErrUnauthenticated ||
		e.Code == closeRemoved && target == ErrForbidden
}
