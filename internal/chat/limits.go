package chat

import (
	"strings"
	"time"
	"unicode/utf8"
)

// Limits on what callers may say. A length is in characters unless it says
// bytes.
type Limits struct {
	// MessageBytes is the largest message, in bytes of UTF-8.
	MessageBytes int
	// MinTTL and MaxTTL bound the retention of a session.
	MinTTL, MaxTTL time.Duration
}

// Fixed limits. Those of accounts are Django's.
const (
	maxUsername       = 150
	maxEmail          = 254
	maxName           = 150
	minPassword       = 8
	maxPassword       = 1024
	maxTitle          = 255
	maxIdempotencyKey = 64
)

const (
	msgRequired = "This field is required."
	msgBlank    = "This field may not be blank."
	msgUTF8     = "This field must be valid UTF-8."
	msgTooLong  = "Ensure this field has no more than %d characters (it has %d)."
)

// checkText adds what is wrong with value, which must be valid UTF-8 without
// NUL of at most maxChars characters, and reports whether nothing was.
func checkText(errs FieldErrors, field, value string, maxChars int) bool {
	switch {
	case !utf8.ValidString(value):
		errs.Add(field, msgUTF8)
	case strings.ContainsRune(value, 0):
		errs.Add(field, "Null characters are not allowed.")
	case utf8.RuneCountInString(value) > maxChars:
		errs.Add(field, msgTooLong, maxChars, utf8.RuneCountInString(value))
	default:
		return true
	}
	return false
}

func checkTitle(errs FieldErrors, title string, required bool) {
	if !checkText(errs, "title", title, maxTitle) {
		return
	}
	if required && strings.TrimSpace(title) == "" {
		errs.Add("title", msgBlank)
	}
}

func checkTTL(errs FieldErrors, ttl time.Duration, l Limits) {
	if ttl != 0 && (ttl < l.MinTTL || ttl > l.MaxTTL) {
		errs.Add("message_ttl", "Ensure this value is between %d and %d seconds (it is %g), or 0 for the server's setting.",
			int64(l.MinTTL.Seconds()), int64(l.MaxTTL.Seconds()), ttl.Seconds())
	}
}
