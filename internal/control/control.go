// Package control carries the operator's commands to the server that owns a
// data directory, over a Unix socket in it: whoever may write there may give
// them.
package control

import (
	"context"
	"errors"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/clean"
)

// Operations are the commands.
type Operations interface {
	// Clean deletes old messages; progress is called as it goes on.
	Clean(ctx context.Context, o clean.Options, progress func(clean.Report)) (clean.Report, error)
	// CreateSuperuser makes an administrator.
	CreateSuperuser(ctx context.Context, n chat.NewUser) (chat.User, error)
}

// ErrNoServer: no server listens for the data directory.
var ErrNoServer = errors.New("no running server owns the data directory")

// wireError is an error on its way to the client.
type wireError struct {
	Message string           `json:"message"`
	Fields  chat.FieldErrors `json:"fields,omitempty"`
}

func toWire(err error) *wireError {
	if err == nil {
		return nil
	}
	w := &wireError{Message: err.Error()}
	errors.As(err, &w.Fields)
	return w
}

func (w *wireError) err() error {
	switch {
	case w == nil:
		return nil
	case len(w.Fields) > 0:
		return w.Fields
	default:
		return errors.New(w.Message)
	}
}

// cleanFrame is a line of the answer to a clean: a report so far, and at the
// end Done or Error.
type cleanFrame struct {
	Report clean.Report `json:"report"`
	Done   bool         `json:"done,omitempty"`
	Error  *wireError   `json:"error,omitempty"`
}

// superuserFrame is the answer to a create-superuser.
type superuserFrame struct {
	User  chat.User  `json:"user"`
	Error *wireError `json:"error,omitempty"`
}
