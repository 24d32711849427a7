package bench_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// rawLog is the least that an acknowledged append can cost: callers hand their
// bytes to one writer, which writes what has collected and syncs it. It keeps
// no offsets, no checksums and no index.
type rawLog struct {
	file *os.File

	mu      sync.Mutex // guards the rest
	wake    *sync.Cond
	pending []byte
	waiting []chan error
	closed  bool
}

func newRawLog(b *testing.B) *rawLog {
	b.Helper()
	file, err := os.Create(filepath.Join(b.TempDir(), "raw"))
	if err != nil {
		b.Fatal(err)
	}
	l := &rawLog{file: file}
	l.wake = sync.NewCond(&l.mu)
	done := make(chan struct{})
	go func() { l.commit(); close(done) }()
	b.Cleanup(func() {
		l.mu.Lock()
		l.closed = true
		l.wake.Signal()
		l.mu.Unlock()
		<-done
		if err := file.Close(); err != nil {
			b.Error(err)
		}
	})
	return l
}

func (l *rawLog) append(value []byte) error {
	done := make(chan error, 1)
	l.mu.Lock()
	l.pending = append(l.pending, value...)
	l.waiting = append(l.waiting, done)
	l.wake.Signal()
	l.mu.Unlock()
	return <-done
}

func (l *rawLog) commit() {
	var buffer []byte
	for {
		l.mu.Lock()
		for len(l.waiting) == 0 && !l.closed {
			l.wake.Wait()
		}
		if l.closed {
			l.mu.Unlock()
			return
		}
		buffer, l.pending = l.pending, buffer[:0]
		waiting := l.waiting
		l.waiting = nil
		l.mu.Unlock()
		_, err := l.file.Write(buffer)
		if err == nil {
			err = unix.Fdatasync(int(l.file.Fd()))
		}
		for _, done := range waiting {
			done <- err
		}
	}
}
