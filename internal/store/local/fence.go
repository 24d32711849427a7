package local

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/time/rate"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// fault is the final error of a store.
type fault struct {
	logger *slog.Logger
	once   sync.Once
	cause  error
	// failed is closed once cause is set.
	failed chan struct{}
}

func newFault(logger *slog.Logger) *fault {
	return &fault{logger: logger, failed: make(chan struct{})}
}

// fail sets the error; only the first one counts, and is logged.
func (f *fault) fail(err error) {
	f.once.Do(func() {
		kind := chat.ErrUnavailable
		if errors.Is(err, syscall.ENOSPC) {
			kind = chat.ErrNoSpace
		}
		f.cause = fmt.Errorf("%w: the store failed and needs a restart: %w", kind, err)
		f.logger.Error("store failed", "error", err)
		close(f.failed)
	})
}

// err is the final error, or nil.
func (f *fault) err() error {
	select {
	case <-f.failed:
		return f.cause
	default:
		return nil
	}
}

// guard calls act in a goroutine that the engine may end or hold when the store
// fails, and returns its error or the final one.
func (f *fault) guard(act func() error) error {
	if err := f.err(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- act() }()
	select {
	case err := <-done:
		return err
	case <-f.failed:
		return f.err()
	}
}

// engineLog passes on what the engine says. Most of it concerns those who look
// for a fault in the engine.
type engineLog struct {
	logger *slog.Logger
	fault  *fault
	// The engine tries again at once, again and again, what failed in the
	// background, and tells of a damaged file with each read.
	rewrites, damages rate.Sometimes
}

func newEngineLog(logger *slog.Logger, f *fault) *engineLog {
	return &engineLog{
		logger:   logger,
		fault:    f,
		rewrites: rate.Sometimes{First: 1, Interval: 10 * time.Second},
		damages:  rate.Sometimes{First: 1, Interval: 10 * time.Second},
	}
}

func (l *engineLog) Infof(format string, args ...any) {
	l.logger.Debug("engine", "detail", fmt.Sprintf(format, args...))
}

func (l *engineLog) Errorf(format string, args ...any) {
	l.logger.Debug("engine error", "detail", fmt.Sprintf(format, args...))
}

// Fatalf must not return. The engine expects the process to end; this ends the
// goroutine instead, which is one of the engine's or that of makeChanges, and
// unlocks what it holds.
func (l *engineLog) Fatalf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	for _, arg := range args {
		if cause, ok := arg.(error); ok {
			err = cause
		}
	}
	l.fault.fail(err)
	runtime.Goexit()
}

func (l *engineLog) backgroundError(err error) {
	l.rewrites.Do(func() { l.logger.Warn("store cannot rewrite its files", "error", err) })
}

func (l *engineLog) dataCorruption(info pebble.DataCorruptionInfo) {
	l.damages.Do(func() { l.logger.Error("store has a damaged file", "path", info.Path, "error", info.Details) })
}

// fence stands between the engine and the disk. When the engine cannot end one
// file of the write-ahead log and begin the next, or cannot sync a directory, it
// panics, at times with a mutex in a state that ends the process whether one
// recovers or not. The fence sees the error first: it fails the store, and holds
// the goroutine that would panic for good. That goroutine is one of the
// engine's, of makeChanges or of guard: no caller's.
type fence struct {
	vfs.FS
	fault *fault
}

// hold does not return if err is not nil or the store has failed.
func (f *fence) hold(act string, err error) {
	if err != nil {
		f.fault.fail(fmt.Errorf("%s: %w", act, err))
	}
	if f.fault.err() != nil {
		select {}
	}
}

func isLog(name string) bool { return strings.HasSuffix(name, ".log") }

// Create makes a file.
func (f *fence) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, category)
	return f.fenced(name, file, err)
}

// ReuseForWrite makes a file of an old one.
func (f *fence) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(oldname, newname, category)
	return f.fenced(newname, file, err)
}

func (f *fence) fenced(name string, file vfs.File, err error) (vfs.File, error) {
	if !isLog(name) {
		return file, err
	}
	f.hold("create write-ahead log", err)
	return &fencedLog{File: file, fence: f}, nil
}

// OpenDir opens a directory, so as to sync it.
func (f *fence) OpenDir(name string) (vfs.File, error) {
	dir, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &fencedDir{File: dir, fence: f}, nil
}

type fencedDir struct {
	vfs.File
	fence *fence
}

// Sync syncs the directory.
func (d *fencedDir) Sync() error {
	err := d.File.Sync()
	d.fence.hold("sync directory", err)
	return err
}

// fencedLog is a file of the write-ahead log. Errors to write and sync are
// returned, since the engine passes them on to those who wait for the sync. It
// then closes the file before it panics. Errors to preallocate are not for the
// fence: some file systems cannot, and the engine does without.
type fencedLog struct {
	vfs.File
	fence *fence
}

func (l *fencedLog) failed(act string, err error) error {
	if err != nil {
		l.fence.fault.fail(fmt.Errorf("%s write-ahead log: %w", act, err))
	}
	return err
}

// Write appends to the file.
func (l *fencedLog) Write(p []byte) (int, error) {
	n, err := l.File.Write(p)
	return n, l.failed("write", err)
}

// Sync syncs the file.
func (l *fencedLog) Sync() error { return l.failed("sync", l.File.Sync()) }

// SyncData syncs the file's data.
func (l *fencedLog) SyncData() error { return l.failed("sync", l.File.SyncData()) }

// SyncTo syncs the first length bytes of the file's data.
func (l *fencedLog) SyncTo(length int64) (fullSync bool, err error) {
	fullSync, err = l.File.SyncTo(length)
	return fullSync, l.failed("sync", err)
}

// Close closes the file.
func (l *fencedLog) Close() error {
	err := l.File.Close()
	l.fence.hold("close write-ahead log", err)
	return err
}
