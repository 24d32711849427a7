package proxy_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chatcluster/chatcluster/test/proxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// silence is how long nothing must come; answers come at once otherwise.
const silence = 200 * time.Millisecond

// soon is more than anything takes that has to happen.
const soon = 20 * time.Second

// echo is a server that answers each line with itself, and counts them.
type echo struct {
	addr  string
	lines atomic.Int64
}

func newEcho(t *testing.T) *echo {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{addr: listener.Addr().String()}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go e.serve(conn)
		}
	}()
	return e
}

func (e *echo) serve(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewReader(conn)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		e.lines.Add(1)
		if _, err := io.WriteString(conn, line); err != nil {
			return
		}
	}
}

// client is a connection through a proxy.
type client struct {
	net.Conn
	lines *bufio.Reader
}

func newProxy(t *testing.T, target string) *proxy.Proxy {
	t.Helper()
	p, err := proxy.Listen("127.0.0.1:0", target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return p
}

func dial(t *testing.T, p *proxy.Proxy) *client {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{conn, bufio.NewReader(conn)}
}

func (c *client) send(t *testing.T, line string) {
	t.Helper()
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		t.Fatalf("send: %v", err)
	}
}

func (c *client) receive(within time.Duration) (string, error) {
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		return "", err
	}
	line, err := c.lines.ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}

func (c *client) wantEcho(t *testing.T, line string) {
	t.Helper()
	c.send(t, line)
	if got, err := c.receive(soon); err != nil || got != line {
		t.Errorf("got answer %q, error %v, want %q", got, err, line)
	}
}

func (c *client) wantSilence(t *testing.T) {
	t.Helper()
	if got, err := c.receive(silence); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got answer %q, error %v, want none yet", got, err)
	}
}

func (c *client) wantEnd(t *testing.T) {
	t.Helper()
	if got, err := c.receive(soon); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got answer %q, error %v, want the connection's end", got, err)
	}
}

// wantNoConnection is for new connections, which may be reset before the dial
// has returned.
func wantNoConnection(t *testing.T, p *proxy.Proxy) {
	t.Helper()
	if conn, err := net.Dial("tcp", p.Addr()); err == nil {
		defer conn.Close()
		(&client{conn, bufio.NewReader(conn)}).wantEnd(t)
	}
}

func (e *echo) wantLines(t *testing.T, want int64) {
	t.Helper()
	for began := time.Now(); e.lines.Load() != want; time.Sleep(time.Millisecond) {
		if time.Since(began) > soon {
			t.Fatalf("got %d lines at the server, want %d", e.lines.Load(), want)
		}
	}
}

func TestForwards(t *testing.T) {
	p := newProxy(t, newEcho(t).addr)
	c := dial(t, p)
	for n := range 100 {
		c.wantEcho(t, fmt.Sprintf("%d %s", n, strings.Repeat("x", 1000*n)))
	}
}

func TestForwardsTheEnd(t *testing.T) {
	p := newProxy(t, newEcho(t).addr)
	c := dial(t, p)
	c.wantEcho(t, "a")
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.receive(soon); err != io.EOF {
		t.Errorf("got error %v after all was sent, want EOF", err)
	}
}

func TestNobodyListens(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	wantNoConnection(t, newProxy(t, listener.Addr().String()))
}

func TestCut(t *testing.T) {
	p := newProxy(t, newEcho(t).addr)
	before := dial(t, p)
	before.wantEcho(t, "a")
	p.Cut()
	before.wantEnd(t)
	wantNoConnection(t, p)
	p.Heal()
	dial(t, p).wantEcho(t, "b")
}

func TestBlackhole(t *testing.T) {
	e := newEcho(t)
	p := newProxy(t, e.addr)
	before, idle := dial(t, p), dial(t, p)
	before.wantEcho(t, "a")
	idle.wantEcho(t, "b")
	p.Blackhole()
	during := dial(t, p)
	for _, c := range []*client{before, during} {
		c.send(t, "lost")
		c.wantSilence(t)
	}
	e.wantLines(t, 2)
	p.Heal()
	for _, c := range []*client{before, during} {
		c.wantEnd(t)
	}
	idle.wantEcho(t, "nothing was lost here")
	e.wantLines(t, 3)
}

func TestLoseAnswers(t *testing.T) {
	e := newEcho(t)
	p := newProxy(t, e.addr)
	c := dial(t, p)
	c.wantEcho(t, "a")
	p.LoseAnswers()
	c.send(t, "b")
	e.wantLines(t, 2)
	c.wantSilence(t)
	p.Heal()
	c.wantEnd(t)
	dial(t, p).wantEcho(t, "c")
}

func TestSlow(t *testing.T) {
	const delay, rate = 100 * time.Millisecond, 64 << 10
	p := newProxy(t, newEcho(t).addr)
	c := dial(t, p)
	p.Slow(delay, 0)
	began := time.Now()
	c.wantEcho(t, "a")
	if took := time.Since(began); took < 2*delay {
		t.Errorf("an answer took %v, want at least %v", took, 2*delay)
	}
	p.Slow(0, rate)
	began = time.Now()
	// The last chunk of each way is not waited for.
	c.wantEcho(t, strings.Repeat("x", rate))
	if took, want := time.Since(began), time.Second/2; took < want {
		t.Errorf("%d bytes took %v, want at least %v", rate, took, want)
	}
	p.Heal()
	c.wantEcho(t, "b")
}

// TestSlowIsBounded: who sends more than a slow line takes has to wait.
func TestSlowIsBounded(t *testing.T) {
	p := newProxy(t, newEcho(t).addr)
	c := dial(t, p)
	p.Slow(time.Hour, 0)
	if err := c.SetWriteDeadline(time.Now().Add(2 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := c.Write(make([]byte, 64<<20))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %d bytes sent, error %v, want the deadline's", n, err)
	}
}
