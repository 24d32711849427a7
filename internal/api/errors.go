package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/httpauth"
)

// detail is the body of an answer that says no.
type detail struct {
	Detail string `json:"detail"`
}

// detailError is an error with its answer; it is the API's own.
type detailError struct {
	status int
	reason string
	header http.Header
}

func (e *detailError) Error() string { return e.reason }

func methodNotAllowed(method, allow string) error {
	return &detailError{
		status: http.StatusMethodNotAllowed,
		reason: fmt.Sprintf("Method %q not allowed.", method),
		header: http.Header{"Allow": {allow}},
	}
}

// statusClientGone is what nginx logs for a caller who did not wait. Nobody
// sees it but the metrics.
const statusClientGone = 499

// retryAfter is when to try again what failed for a reason that passes.
const retryAfter = 2 * time.Second

// refusals are the answers to the errors of package chat, the first that fits:
// one whose outcome is unknown may also say that the log was unavailable.
var refusals = []struct {
	err    error
	status int
	reason string
}{
	{httpauth.ErrNoCredentials, http.StatusUnauthorized, "Authentication credentials were not provided."},
	{chat.ErrUnauthenticated, http.StatusUnauthorized, "Invalid token."},
	{chat.ErrForbidden, http.StatusForbidden, "You do not have permission to perform this action."},
	{chat.ErrNotFound, http.StatusNotFound, "Not found."},
	{chat.ErrOutcomeUnknown, http.StatusServiceUnavailable, "It is not known whether this was done. Retry with the same Idempotency-Key: it is then done once."},
	{chat.ErrLagging, http.StatusServiceUnavailable, "History is catching up. Try again later."},
	{chat.ErrNoSpace, http.StatusInsufficientStorage, "The server is out of space."},
	{chat.ErrRecordTooLarge, http.StatusRequestEntityTooLarge, "The message is too large."},
	{chat.ErrUnavailable, http.StatusServiceUnavailable, "Temporarily unavailable. Try again later."},
	{context.DeadlineExceeded, http.StatusServiceUnavailable, "That took too long. Try again later."},
}

// refuse is the answer to an error. It logs what is not the caller's doing.
func (a *API) refuse(r *http.Request, path string, err error) answer {
	if errors.Is(r.Context().Err(), context.Canceled) {
		return answer{status: statusClientGone}
	}
	ans := refusal(err)
	if ans.status >= http.StatusInternalServerError && !overloaded(err) {
		a.options.Logger.ErrorContext(r.Context(), "request failed", "method", r.Method, "route", path, "status", ans.status, "err", err)
	}
	return ans
}

// overloaded reports whether the server chose to refuse: that is no failure,
// and to log it would add to the load.
func overloaded(err error) bool {
	var busy *chat.BusyError
	return errors.As(err, &busy)
}

// refusal decides on the answer to an error.
func refusal(err error) answer {
	var (
		own    *detailError
		fields chat.FieldErrors
		busy   *chat.BusyError
		denied *chat.DeniedError
	)
	switch {
	case errors.As(err, &own):
		return answer{status: own.status, body: detail{own.reason}, header: own.header}
	case errors.As(err, &fields):
		return answer{status: http.StatusBadRequest, body: fields}
	case errors.Is(err, chat.ErrBadLogin):
		return answer{status: http.StatusBadRequest, body: chat.FieldErrors{
			chat.NonField: {"Unable to log in with provided credentials."},
		}}
	case errors.As(err, &busy):
		return busyAnswer(busy)
	case errors.As(err, &denied):
		return answer{status: http.StatusForbidden, body: detail{denied.Reason}}
	}
	for _, known := range refusals {
		if errors.Is(err, known.err) {
			return answer{status: known.status, body: detail{known.reason}, header: refusalHeader(known.status)}
		}
	}
	return answer{status: http.StatusInternalServerError, body: detail{"Internal server error."}}
}

func refusalHeader(status int) http.Header {
	switch status {
	case http.StatusUnauthorized:
		return http.Header{"Www-Authenticate": {"Token"}}
	case http.StatusServiceUnavailable:
		return http.Header{"Retry-After": {strconv.Itoa(wholeSeconds(retryAfter))}}
	default:
		return nil
	}
}

func busyAnswer(busy *chat.BusyError) answer {
	wait := wholeSeconds(busy.RetryAfter)
	ans := answer{
		status: http.StatusServiceUnavailable,
		body:   detail{busy.Reason},
		header: http.Header{"Retry-After": {strconv.Itoa(wait)}},
	}
	if busy.Caller {
		unit := "seconds"
		if wait == 1 {
			unit = "second"
		}
		ans.status = http.StatusTooManyRequests
		ans.body = detail{fmt.Sprintf("Request was throttled. Expected available in %d %s.", wait, unit)}
	}
	return ans
}

// wholeSeconds rounds up to the unit of Retry-After, and to 1 at least.
func wholeSeconds(d time.Duration) int { return max(1, int(math.Ceil(d.Seconds()))) }
