package ctl

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/chatcluster/chatcluster/internal/client"
)

// print writes the answer of a command: value as JSON, or the text.
func (a *app) print(value any, format string, args ...any) error {
	if a.output == outputJSON {
		return json.NewEncoder(a.env.Stdout).Encode(value)
	}
	_, err := fmt.Fprintf(a.env.Stdout, format+"\n", args...)
	return err
}

func (a *app) printMessage(m client.Message) error {
	return a.print(m, "%s", messageLine(m))
}

// note tells the user something beside the answer.
func (a *app) note(format string, args ...any) {
	fmt.Fprintf(a.env.Stderr, "chatctl: %s\n", printable(fmt.Sprintf(format, args...)))
}

// messageLine is a message for people. Lines after the first are indented, so
// that no text looks like another message.
func messageLine(m client.Message) string {
	line := printable(m.User.Username) + ": " + strings.ReplaceAll(printable(m.Text), "\n", "\n    ")
	if !m.Time.IsZero() {
		line = m.Time.Local().Format(time.DateTime) + " " + line
	}
	return line
}

// printable makes text of others safe for a terminal: what could move the
// cursor, change settings or reverse the reading order shows as its code.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n' || r == '\t':
			b.WriteRune(r)
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func usernames(users []client.User) string {
	var names []string
	for _, u := range users {
		names = append(names, printable(u.Username))
	}
	return strings.Join(names, ", ")
}
