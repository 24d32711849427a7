package chat

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Errors that callers branch on, next to those of the ports.
var (
	// ErrUnauthenticated: no token, a dead one, or a user who is not active.
	ErrUnauthenticated = errors.New("not authenticated")
	// ErrForbidden: the caller may not do that. DeniedError says why.
	ErrForbidden = errors.New("forbidden")
	// ErrBadLogin: the log-in failed; the same for an unknown user and a wrong
	// password.
	ErrBadLogin = errors.New("unable to log in with provided credentials")
	// ErrLagging: the archiver is too far behind to answer without a hole.
	ErrLagging = errors.New("history is catching up")
)

// DeniedError is an ErrForbidden with its reason, a sentence for the caller.
type DeniedError struct{ Reason string }

func (e *DeniedError) Error() string { return e.Reason }

// Is makes it an ErrForbidden.
func (e *DeniedError) Is(target error) bool { return target == ErrForbidden }

// FieldErrors are the reasons why input was refused, by field. The key
// NonField is for what concerns no single one.
type FieldErrors map[string][]string

// NonField is the key of errors that concern the whole input.
const NonField = "non_field_errors"

// Add appends a reason.
func (e FieldErrors) Add(field, format string, args ...any) {
	e[field] = append(e[field], fmt.Sprintf(format, args...))
}

// Err is e, or nil if there are none.
func (e FieldErrors) Err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

func (e FieldErrors) Error() string {
	var parts []string
	for _, field := range slices.Sorted(maps.Keys(e)) {
		parts = append(parts, field+": "+strings.Join(e[field], " "))
	}
	return strings.Join(parts, "; ")
}

// BusyError: there is too much of this at the moment.
type BusyError struct {
	// Reason is a sentence for the caller.
	Reason string
	// RetryAfter is when to try again.
	RetryAfter time.Duration
	// Caller is true if it is the caller who is too fast (429), false if it is
	// the server that is overloaded (503).
	Caller bool
}

func (e *BusyError) Error() string { return e.Reason }
