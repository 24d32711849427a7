// Package chatdtest runs the real server, as a process of its own, for tests.
package chatdtest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// buildOnce builds the binaries once for each test process.
var buildOnce = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "chatd-test-*")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", dir, "github.com/chatcluster/chatcluster/cmd/...")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return dir, nil
})

// Binary is the path of one of the project's commands, newly built.
func Binary(t testing.TB, name string) string {
	t.Helper()
	dir, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// RemoveBinaries deletes what Binary has built; for TestMain.
func RemoveBinaries() {
	if dir, err := buildOnce(); err == nil {
		os.RemoveAll(dir)
	}
}

// Server is a running chatd.
type Server struct {
	// API, Gateway and Metrics are its addresses, as host:port.
	API, Gateway, Metrics string
	// DataDir is its data directory, if it has one.
	DataDir string
	// Data are the flags that name where its data is, for other commands.
	Data []string

	cmd    *exec.Cmd
	call   []string // its arguments
	output *tailBuffer
	exited chan struct{}
	err    error // of the process; valid once exited is closed
}

// startTimeout is generous: the machines are slow and busy.
const startTimeout = 60 * time.Second

// Start starts a server on dataDir, at ports of its own unless args name some,
// and waits until it answers. The server is killed when the test ends.
func Start(t testing.TB, dataDir string, args ...string) *Server {
	t.Helper()
	s, err := TryStart(t, dataDir, args...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TryStart is Start for servers that may refuse to start.
func TryStart(t testing.TB, dataDir string, args ...string) (*Server, error) {
	t.Helper()
	return StartWrapped(t, nil, dataDir, args...)
}

// StartWrapped is TryStart by way of another command, which has to replace
// itself by the server: it is called with the server's command line after its
// own.
func StartWrapped(t testing.TB, wrapper []string, dataDir string, args ...string) (*Server, error) {
	t.Helper()
	s, ready, err := spawn(t, wrapper, standaloneCall(dataDir, args))
	if err != nil {
		return nil, err
	}
	s.DataDir, s.Data = dataDir, []string{"--data-dir", dataDir}
	return s, s.await(ready)
}

// standaloneCall is the command line of a server with its data on disk, at
// ports of its own unless args name some.
func standaloneCall(dataDir string, args []string) []string {
	call := []string{"--data-dir", dataDir, "--api-addr=127.0.0.1:0", "--gateway-addr=127.0.0.1:0", "--metrics-addr=127.0.0.1:0"}
	return append(call, args...)
}

// await waits until the server has told its addresses.
func (s *Server) await(ready <-chan struct{}) error {
	select {
	case <-ready:
		return nil
	case <-s.exited:
		return fmt.Errorf("chatd exited: %w\n%s", s.err, s.output)
	case <-time.After(startTimeout):
		s.Kill()
		return fmt.Errorf("chatd printed no addresses within %s\n%s", startTimeout, s.output)
	}
}

// StartAndKill starts a server and kills it after a while, whether it was ready
// by then or not. The error is that of a server that ended before.
func StartAndKill(t testing.TB, after time.Duration, dataDir string, args ...string) error {
	t.Helper()
	s, _, err := spawn(t, nil, standaloneCall(dataDir, args))
	if err != nil {
		return err
	}
	select {
	case <-s.exited:
		return fmt.Errorf("chatd exited: %w\n%s", s.err, s.output)
	case <-time.After(after):
		s.Kill()
		return nil
	}
}

// spawn starts chatd with the arguments of call; ready is closed once it has
// printed its addresses.
func spawn(t testing.TB, wrapper, call []string) (s *Server, ready chan struct{}, err error) {
	t.Helper()
	line := append(append(slices.Clone(wrapper), Binary(t, "chatd")), call...)
	s = &Server{cmd: exec.Command(line[0], line[1:]...), call: call, output: &tailBuffer{}, exited: make(chan struct{})}
	s.cmd.Stderr = s.output
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, nil, err
	}
	t.Cleanup(s.Kill)
	ready = make(chan struct{})
	go func() {
		s.readBanner(stdout, ready)
		s.err = s.cmd.Wait()
		close(s.exited)
	}()
	return s, ready, nil
}

// readBanner reads the addresses that the server prints once it listens, and
// whatever it prints then.
func (s *Server) readBanner(stdout io.Reader, ready chan<- struct{}) {
	targets := map[string]*string{"API and pages": &s.API, "delivery": &s.Gateway, "metrics": &s.Metrics}
	lines := bufio.NewScanner(io.TeeReader(stdout, s.output))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		for label, target := range targets {
			rest, ok := strings.CutPrefix(line, label)
			if _, address, found := strings.Cut(rest, "://"); ok && found {
				*target, _, _ = strings.Cut(address, "/")
			}
		}
		if strings.HasPrefix(line, "data ") {
			close(ready)
		}
	}
}

// Kill ends the server with SIGKILL and waits for its end.
func (s *Server) Kill() {
	// The process may have ended by itself; that is what was wanted.
	_ = s.cmd.Process.Kill()
	<-s.exited
}

// Restart kills the server, if it runs, and starts it again with the same
// arguments and addresses. The server that it was stays dead.
func (s *Server) Restart(t testing.TB) *Server {
	t.Helper()
	s.Kill()
	call := slices.Clone(s.call)
	for flag, addr := range map[string]string{"--api-addr=": s.API, "--gateway-addr=": s.Gateway, "--metrics-addr=": s.Metrics} {
		if addr != "" {
			call = append(call, flag+addr)
		}
	}
	next, ready, err := spawn(t, nil, call)
	if err == nil {
		err = next.await(ready)
	}
	if err != nil {
		t.Fatalf("restart chatd: %v", err)
	}
	next.DataDir, next.Data = s.DataDir, s.Data
	return next
}

// Pause stops the server without ending it (SIGSTOP): its connections stay
// open, and nothing answers.
func (s *Server) Pause(t testing.TB) {
	t.Helper()
	s.Signal(t, syscall.SIGSTOP)
}

// Resume lets a paused server go on (SIGCONT).
func (s *Server) Resume(t testing.TB) {
	t.Helper()
	s.Signal(t, syscall.SIGCONT)
}

// Running tells whether the server has not ended.
func (s *Server) Running() bool {
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// Signal sends a signal to the server.
func (s *Server) Signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("signal chatd: %v", err)
	}
}

// Stop ends the server with SIGTERM and fails the test if it does not end well.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	s.Signal(t, syscall.SIGTERM)
	select {
	case <-s.exited:
		if s.err != nil {
			t.Errorf("chatd ended with %v\n%s", s.err, s.output)
		}
	case <-time.After(startTimeout):
		t.Fatalf("chatd did not stop within %s\n%s", startTimeout, s.output)
	}
}

// Output is the end of what the server printed.
func (s *Server) Output() string { return s.output.String() }

// PID is the server's process id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Run runs one of the project's commands to its end, with input as its standard
// input, and returns its two outputs.
func Run(t testing.TB, input, name string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.Command(Binary(t, name), args...)
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errOut
	err = cmd.Run()
	return out.String(), errOut.String(), err
}

// tailBuffer keeps the last bytes that were written to it.
type tailBuffer struct {
	mu  sync.Mutex // guards buf
	buf []byte
}

const tailBytes = 64 << 10

func (b *tailBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf = append(b.buf, p...)
	if len(b.buf) > tailBytes {
		b.buf = append(b.buf[:0], b.buf[len(b.buf)-tailBytes:]...)
	}
	return len(p), nil
}

func (b *tailBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.buf)
}
