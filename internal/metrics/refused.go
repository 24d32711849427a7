package metrics

import (
	"errors"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// RefusedReason is the reason by which a message is counted that was refused
// with err.
func RefusedReason(err error) string {
	var (
		fields chat.FieldErrors
		busy   *chat.BusyError
	)
	switch {
	case errors.As(err, &fields), errors.Is(err, chat.ErrRecordTooLarge), errors.Is(err, chat.ErrNotFound):
		return RefusedInvalid
	case errors.Is(err, chat.ErrForbidden):
		return RefusedForbidden
	case errors.As(err, &busy) && busy.Caller:
		return RefusedRate
	case errors.Is(err, chat.ErrOutcomeUnknown):
		return RefusedUnknown
	case errors.Is(err, chat.ErrNoSpace):
		return RefusedNoSpace
	default:
		return RefusedUnavailable
	}
}
