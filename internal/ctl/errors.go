package ctl

import (
	"context"
	"errors"
	"fmt"

	"github.com/chatcluster/chatcluster/internal/client"
)

// Exit codes.
const (
	exitFailure = 1
	exitUsage   = 2
)

// ExitCode is how a process ends with the error of Run.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	return exitFailure
}

// usageError: the command was not called as it should be.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// explained is an error with what the user can do about it.
type explained struct {
	text string
	err  error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.err }

func (a *app) explain(ctx context.Context, err error) error {
	text := err.Error()
	if hint := a.hint(err); hint != "" {
		text += "\n" + hint
	}
	if ctx.Err() != nil {
		text = "interrupted"
	}
	// Part of the text may be the server's.
	return &explained{text: printable(text), err: err}
}

// hint is what the user can do about the error, or empty.
func (a *app) hint(err error) string {
	server := "the server"
	if c, err := a.anonymous(); err == nil {
		server = c.Server()
	}
	refused, isRefused := errors.AsType[*client.Error](err)
	switch {
	case errors.Is(err, client.ErrUnauthenticated):
		return "log in to " + server + " with: " + a.command("login USERNAME")
	case errors.Is(err, client.ErrForbidden):
		return "the session's creator can let you in with: " + a.command("sessions join URI USERNAME")
	case errors.Is(err, client.ErrNotFound):
		return a.command("sessions list") + " shows your sessions at " + server
	case errors.Is(err, client.ErrUnreachable):
		return "is " + server + " the right server, and running? --server or " + serverVariable + " names another"
	case isRefused && refused.RetryAfter > 0:
		return "try again in " + refused.RetryAfter.String()
	case isRefused && refused.Temporary():
		return "try again in a moment"
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return "chatctl help tells more"
	}
	return ""
}

// command is a command line for the same server.
func (a *app) command(line string) string {
	if a.flags.Server != "" {
		line = "--server " + a.flags.Server + " " + line
	}
	return "chatctl " + line
}
