package ctl_test

import (
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chatcluster/chatcluster/internal/client/clienttest"
)

const checked = `ok    account  check-[0-9a-z]{26} is made and logged in at http://.*
ok    session  [0-9a-f]{15} is made
ok    gateway  connected to the session
ok    send     the server took the message [0-9a-f]{28}
ok    receive  the message came by the WebSocket
ok    history  the message is in the history
`

func TestCheck(t *testing.T) {
	a := newTerminal(t)
	wantOutput(t, "check", a.must(t, "", "check"), checked)
	// Each run has a user and a session of its own.
	wantOutput(t, "check again", a.must(t, "", "check"), checked)
	wantOutput(t, "check -o json", a.must(t, "", "check", "-o", "json"), `(?s)\{"step":"account",.*\}\n\{"step":"history","finding":"the message is in the history"\}\n`)
}

func TestCheckResumes(t *testing.T) {
	a := newTerminal(t)
	var cut atomic.Bool
	a.Misbehave(func(string) clienttest.Fault {
		if cut.Swap(true) {
			return clienttest.None
		}
		return clienttest.Cut
	})
	wantOutput(t, "check", a.must(t, "", "check"), checked)
	if !cut.Load() {
		t.Error("the connection was not cut")
	}
}

func TestCheckFails(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, test := range []struct {
		name  string
		args  []string
		fault clienttest.Fault
		code  int
		want  []string
	}{
		{name: "no server", args: []string{"--server", gone.URL}, code: 1, want: []string{"register", gone.URL}},
		{name: "no gateway", args: []string{"--gateway", strings.Replace(gone.URL, "http", "ws", 1), "--timeout", "100ms"}, code: 1, want: []string{"receive", "not done after 100ms"}},
		{name: "a message that does not come", fault: clienttest.Skip, args: []string{"--timeout", "500ms"}, code: 1, want: []string{"receive: not done after 500ms"}},
		{name: "no time", args: []string{"--timeout", "0s"}, code: 2, want: []string{"--timeout"}},
		{name: "a bad server", args: []string{"--server", "host:80"}, code: 2, want: []string{"host:80"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newTerminal(t)
			a.Misbehave(func(string) clienttest.Fault { return test.fault })
			_, failure, code := a.run(t, "", append([]string{"check"}, test.args...)...)
			if code != test.code {
				t.Errorf("got exit code %d, want %d", code, test.code)
			}
			for _, want := range test.want {
				if !strings.Contains(failure, want) {
					t.Errorf("got error %q, want it to contain %q", failure, want)
				}
			}
		})
	}
}
