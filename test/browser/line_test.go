package browser_test

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// line is a network between a browser and the server that can be cut.
type line struct {
	listener net.Listener
	server   string

	mu    sync.Mutex // guards the rest
	isCut bool
	open  map[net.Conn]bool
	// copies are the goroutines that move bytes.
	copies sync.WaitGroup
}

// newLine returns a line to the server of a site. It ends with the test.
func newLine(t *testing.T, site string) *line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{listener: listener, server: strings.TrimPrefix(site, "http://"), open: map[net.Conn]bool{}}
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		l.accept()
	}()
	t.Cleanup(func() {
		listener.Close()
		<-accepting
		l.cut()
		l.copies.Wait()
	})
	return l
}

// site is the site at this end of the line.
func (l *line) site() string { return "http://" + l.listener.Addr().String() }

// cut ends all connections, and lets no new ones through.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = true
	for conn := range l.open {
		conn.Close()
	}
	clear(l.open)
}

// mend lets new connections through again.
func (l *line) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = false
}

func (l *line) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return // closed at the end of the test
		}
		far, err := net.Dial("tcp", l.server)
		if err != nil {
			near.Close()
			continue
		}
		l.carry(near, far)
	}
}

func (l *line) carry(near, far net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isCut {
		near.Close()
		far.Close()
		return
	}
	l.open[near], l.open[far] = true, true
	l.copies.Go(func() { io.Copy(far, near); far.Close() })
	l.copies.Go(func() { io.Copy(near, far); near.Close() })
}
