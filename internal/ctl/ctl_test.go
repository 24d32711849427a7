package ctl_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/chatcluster/chatcluster/internal/client/clienttest"
	"github.com/chatcluster/chatcluster/internal/ctl"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// terminal runs commands as one user of one machine would.
type terminal struct {
	*clienttest.Server
	variables map[string]string
	configDir string
	passwords []string // that the user types, in order
}

func newTerminal(t *testing.T) *terminal {
	s := clienttest.New()
	api, gateway := httptest.NewServer(s.API()), httptest.NewServer(s.Gateway())
	t.Cleanup(func() {
		s.CloseSockets(1001, "")
		api.Close()
		gateway.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return &terminal{
		Server:    s,
		configDir: filepath.Join(t.TempDir(), "chatctl"),
		variables: map[string]string{
			"CHATCTL_SERVER":  api.URL,
			"CHATCTL_GATEWAY": strings.Replace(gateway.URL, "http", "ws", 1),
		},
	}
}

func (term *terminal) env(stdin io.Reader, stdout, stderr io.Writer) ctl.Env {
	return ctl.Env{
		Stdin: stdin, Stdout: stdout, Stderr: stderr,
		Getenv:    func(name string) string { return term.variables[name] },
		ConfigDir: term.configDir,
		ReadPassword: func(context.Context, string) (string, error) {
			if len(term.passwords) == 0 {
				return "", errors.New("nobody types")
			}
			next := term.passwords[0]
			term.passwords = term.passwords[1:]
			return next, nil
		},
	}
}

// run runs one command and answers its output and exit code.
func (term *terminal) run(t *testing.T, stdin string, args ...string) (stdout, failure string, code int) {
	t.Helper()
	var out, diagnostics bytes.Buffer
	err := ctl.Run(t.Context(), args, term.env(strings.NewReader(stdin), &out, &diagnostics))
	if err != nil {
		failure = err.Error()
	}
	return out.String(), failure, ctl.ExitCode(err)
}

// must runs a command that has to succeed.
func (term *terminal) must(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	stdout, failure, code := term.run(t, stdin, args...)
	if code != 0 {
		t.Fatalf("chatctl %v: exit code %d: %s", args, code, failure)
	}
	return stdout
}

func wantOutput(t *testing.T, what, got, pattern string) {
	t.Helper()
	if !regexp.MustCompile(`\A(?:` + pattern + `)\z`).MatchString(got) {
		t.Errorf("%s: got %q, want it to match %q", what, got, pattern)
	}
}

const when = `\d{4}-\d\d-\d\d \d\d:\d\d:\d\d `

func TestAConversation(t *testing.T) {
	a := newTerminal(t)
	a.passwords = []string{"secret-password", "secret-password"}
	wantOutput(t, "register", a.must(t, "", "register", "user_a", "--email", "user_a@mail.com"), "Registered user_a. Log in with: chatctl login user_a\n")
	wantOutput(t, "login", a.must(t, "secret-password\n", "login", "user_a", "--password-stdin"), "Logged in to http://.* as user_a.\n")
	uri := strings.TrimSpace(a.must(t, "", "sessions", "create"))
	wantOutput(t, "create", uri, "[0-9a-f]{15}")

	a.AddUser("user_b")
	wantOutput(t, "join", a.must(t, "", "sessions", "join", uri, "user_b"), "user_b joined; the members are user_a, user_b\n")
	wantOutput(t, "list", a.must(t, "", "sessions", "list"), uri+"  user_a, user_b\n")

	wantOutput(t, "send", a.must(t, "", "send", "Hello,", "world!"), when+"user_a: Hello, world!\n")
	wantOutput(t, "send -", a.must(t, "line 1\nline 2\n", "send", "-u", uri, "-"), when+"user_a: line 1\n    line 2\n")
	a.must(t, "", "send", "--key", "k", "once")
	a.must(t, "", "send", "--key", "k", "once")
	wantOutput(t, "history", a.must(t, "", "history", "-u", uri), when+"user_a: Hello, world!\n"+when+"user_a: line 1\n    line 2\n"+when+"user_a: once\n")
	wantOutput(t, "history -n", a.must(t, "", "history", "-n", "1"), when+"user_a: once\n")

	wantOutput(t, "logout", a.must(t, "", "logout"), "Logged out of http://.*\n")
	wantOutput(t, "logout again", a.must(t, "", "logout"), "You are not logged in to http://.*\n")
}

func TestJSON(t *testing.T) {
	a := newTerminal(t)
	a.variables["CHATCTL_TOKEN"] = a.AddUser("user_a")
	const user = `\{"id":1,"username":"user_a","email":"user_a@mail.com","first_name":"","last_name":""\}`
	const message = `\{"id":"[0-9a-f]{28}","time":"[^"]+Z","user":` + user + `,"message":"%s"\}\n`
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"no sessions", []string{"sessions", "list"}, `\[\]\n`},
		{"create", []string{"sessions", "create"}, `\{"uri":"000000000000001"\}\n`},
		{"join", []string{"sessions", "join", "000000000000001", "user_a"}, `\{"uri":"000000000000001","members":\[` + user + `\]\}\n`},
		{"sessions", []string{"sessions", "list"}, `\[\{"uri":"000000000000001","members":\[` + user + `\]\}\]\n`},
		{"send", []string{"send", "one"}, fmt.Sprintf(message, "one")},
		{"send another", []string{"send", "two"}, fmt.Sprintf(message, "two")},
		{"history", []string{"history"}, fmt.Sprintf(message, "one") + fmt.Sprintf(message, "two")},
		{"history after", []string{"history", "--after", fmt.Sprintf("%028x", 3)}, fmt.Sprintf(message, "two")},
		{"history before", []string{"history", "--before", fmt.Sprintf("%028x", 6)}, fmt.Sprintf(message, "one")},
		{"logout", []string{"logout"}, `\{"server":"http://[^"]+","username":""\}\n`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wantOutput(t, "output", a.must(t, "", append(tt.args, "-o", "json")...), tt.want)
		})
	}
}

func TestFailures(t *testing.T) {
	a := newTerminal(t)
	a.AddUser("user_b")
	tokenA := a.AddUser("user_a")
	foreign := a.AddSession("user_b")
	one, another := a.AddSession("user_a"), a.AddSession("user_a")
	gone := httptest.NewServer(nil)
	gone.Close()
	tests := []struct {
		name  string
		stdin string
		args  []string
		code  int
		want  []string
	}{
		{name: "an unknown command", args: []string{"sned"}, code: 2, want: []string{"sned", "send"}},
		{name: "an unknown subcommand", args: []string{"sessions", "lst"}, code: 2, want: []string{"lst", "list"}},
		{name: "an unknown flag", args: []string{"send", "--bad"}, code: 2, want: []string{"--bad"}},
		{name: "too few arguments", args: []string{"send"}, code: 2, want: []string{"chatctl send TEXT"}},
		{name: "flags that exclude each other", args: []string{"history", "--all", "-n", "3"}, code: 2, want: []string{"all", "limit"}},
		{name: "an unknown form", args: []string{"history", "-o", "xml"}, code: 2, want: []string{"xml", "json"}},
		{name: "a limit of none", args: []string{"history", "-n", "0"}, code: 2, want: []string{"--limit"}},
		{name: "a bad server", args: []string{"logout", "--server", "host:80"}, code: 2, want: []string{"host:80", "http://host:port"}},
		{name: "not logged in", args: []string{"send", "-u", one, "hi"}, code: 1, want: []string{"not logged in", "chatctl login USERNAME"}},
		{name: "not logged in and no session named", args: []string{"receive"}, code: 2, want: []string{"-u", "chatctl login"}},
		{name: "a dead token", args: []string{"sessions", "list", "--token", "dead"}, code: 1, want: []string{"Invalid token.", "chatctl login USERNAME"}},
		{name: "a wrong password", stdin: "wrong", args: []string{"login", "user_a", "--password-stdin"}, code: 1, want: []string{"log in: Unable to log in"}},
		{name: "a name that is taken", stdin: "secret-password", args: []string{"register", "user_a", "--password-stdin"}, code: 1, want: []string{"username: A user with that username already exists."}},
		{name: "no member", args: []string{"send", "-u", foreign, "--token", tokenA, "hi"}, code: 1, want: []string{"not a member", "sessions join"}},
		{name: "no such session", args: []string{"receive", "-u", "nowhere", "--token", tokenA}, code: 1, want: []string{"Not found.", "sessions list"}},
		{name: "which session", args: []string{"send", "--token", tokenA, "hi"}, code: 2, want: []string{"-u", one, another}},
		{name: "whose token", args: []string{"sessions", "join", one, "--token", tokenA}, code: 2, want: []string{"username"}},
		{name: "no server", args: []string{"sessions", "list", "--token", tokenA, "--server", gone.URL}, code: 1, want: []string{gone.URL, "--server"}},
		{name: "nothing sent", args: []string{"send", "-u", one, "--token", tokenA, " "}, code: 1, want: []string{"message: This field may not be blank."}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stdout, failure, code := a.run(t, tt.stdin, tt.args...)
			if code != tt.code || stdout != "" {
				t.Errorf("got exit code %d and output %q, want %d and none", code, stdout, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(failure, want) {
					t.Errorf("got error %q, want it to contain %q", failure, want)
				}
			}
		})
	}
}

func TestPasswordsThatDiffer(t *testing.T) {
	a := newTerminal(t)
	a.passwords = []string{"secret-password", "secret-pasword"}
	if _, failure, code := a.run(t, "", "register", "user_a"); code != 1 || !strings.Contains(failure, "not the same") {
		t.Errorf("got exit code %d, %q; want 1, that they differ", code, failure)
	}
}

func TestTheTokenIsForItsOwnerOnly(t *testing.T) {
	a := newTerminal(t)
	a.AddUser("user_a")
	a.passwords = []string{"secret-password"}
	stdout := a.must(t, "", "login", "user_a")
	files, err := filepath.Glob(filepath.Join(a.configDir, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("got files %v, %v, want one", files, err)
	}
	info, err := os.Stat(files[0])
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, %v, want 0600", info.Mode().Perm(), err)
	}
	kept, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	token := regexp.MustCompile(`[0-9a-f]{40}`).FindString(string(kept))
	if token == "" || strings.Contains(stdout, token) {
		t.Errorf("got output %q and file %q, want the token in the file alone", stdout, kept)
	}
	a.must(t, "", "logout")
	if files, _ := filepath.Glob(filepath.Join(a.configDir, "*")); len(files) != 0 {
		t.Errorf("after logout: got files %v, want none", files)
	}
}

// receiving is a receive command that runs.
type receiving struct {
	stdout, stderr *bufio.Scanner
	// stop interrupts it and no longer reads what it writes.
	stop func()
	done chan error
}

func (term *terminal) receive(t *testing.T, args ...string) *receiving {
	ctx, stop := context.WithCancel(t.Context())
	outReader, outWriter := io.Pipe()
	errReader, errWriter := io.Pipe()
	r := &receiving{stdout: bufio.NewScanner(outReader), stderr: bufio.NewScanner(errReader), done: make(chan error, 1)}
	r.stop = func() {
		stop()
		outReader.Close()
		errReader.Close()
	}
	env := term.env(nil, outWriter, errWriter)
	go func() {
		err := ctl.Run(ctx, append([]string{"receive"}, args...), env)
		outWriter.Close()
		errWriter.Close()
		r.done <- err
	}()
	return r
}

// end interrupts the command, which has to end well.
func (r *receiving) end(t *testing.T) {
	t.Helper()
	r.stop()
	if err := <-r.done; err != nil {
		t.Errorf("after an interrupt: got %v, want a clean end", err)
	}
}

func wantLine(t *testing.T, what string, lines *bufio.Scanner, pattern string) {
	t.Helper()
	if !lines.Scan() {
		t.Fatalf("%s: got its end, want a line that matches %q", what, pattern)
	}
	wantOutput(t, what, lines.Text(), pattern)
}

func TestReceive(t *testing.T) {
	a := newTerminal(t)
	a.variables["CHATCTL_TOKEN"] = a.AddUser("user_a")
	uri := a.AddSession("user_a")
	first := a.Post(uri, "before")
	r := a.receive(t, "-u", uri, "--after", first)
	wantLine(t, "stderr", r.stderr, "chatctl: connected to "+uri)
	a.Post(uri, "Hello!", "a\x1b[2Jb\nc\u202e")
	wantLine(t, "stdout", r.stdout, when+"user_a: Hello!")
	wantLine(t, "stdout", r.stdout, when+`user_a: a\\u001b\[2Jb`)
	wantLine(t, "stdout", r.stdout, `    c\\u202e`)
	a.CloseSockets(1012, "restart")
	wantLine(t, "stderr", r.stderr, `chatctl: no connection \(.*1012: restart\); next try in .*s`)
	r.end(t)
}

func TestReceiveRaw(t *testing.T) {
	a := newTerminal(t)
	a.AddUser("user_a")
	uri := a.AddSession("user_a")
	a.OpenByLink(uri)
	r := a.receive(t, "-u", uri, "--raw")
	a.AwaitSockets(1)
	a.Post(uri, "Hello!")
	wantLine(t, "stdout", r.stdout, `113 \{"message":"Hello!","user":\{.*\}\}`)
	r.end(t)
	r = a.receive(t, "-u", uri, "--raw")
	a.AwaitSockets(2)
	a.CloseSockets(4403, "removed")
	if err := <-r.done; err == nil || !strings.Contains(err.Error(), "4403: removed") {
		t.Errorf("got %v, want the close code", err)
	}
	r.stop()
}
