package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// Options are what can be left as it is.
type Options struct {
	// Logger gets changes of state, and at debug what the engine says; nil
	// discards both.
	Logger *slog.Logger
	// CacheBytes is for blocks read from disk; 0 stands for 64 MiB.
	CacheBytes int64
	// MemTableBytes is how much is written before it is sorted into a file; 0
	// stands for 16 MiB. Two or three times as much is in memory.
	MemTableBytes uint64
	// ReserveBytes is how much of the disk is left free: below that, what would
	// add to the store is refused with chat.ErrNoSpace. 0 stands for 128 MiB.
	ReserveBytes uint64
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 64 << 20
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 16 << 20
	}
	if o.ReserveBytes == 0 {
		o.ReserveBytes = 128 << 20
	}
	return o
}

// The engine's own format is pinned, so that a newer library alone does not
// make a directory unreadable for the release before.
const engineFormat = pebble.FormatValueSeparation

// Store is a chat.Store in one directory. It is safe for concurrent use.
type Store struct {
	db    *pebble.DB
	lock  io.Closer
	space *diskGuard
	fault *fault

	// changes are made by the goroutine of makeChanges, which ends when it is
	// closed and then closes stopped.
	changes chan *change
	stopped chan struct{}

	// using is held for reading during each call, for writing to close: it
	// guards closed, and keeps db open under those who use it.
	using  sync.RWMutex
	closed bool
}

var _ chat.Store = (*Store)(nil)

// Open opens the store in dir, and makes it if dir is missing or empty. Errors:
// ErrLocked if it is open already; ErrForeign, ErrNewer and ErrDamaged for what
// must not be touched; chat.ErrNoSpace if the disk is full. If the disk fails
// under the engine meanwhile, the directory stays locked until the process ends.
func Open(dir string, opts Options) (*Store, error) {
	return open(dir, opts, vfs.Default)
}

func open(dir string, opts Options, disk vfs.FS) (*Store, error) {
	opts = opts.withDefaults()
	s := &Store{
		fault:   newFault(opts.Logger),
		space:   &diskGuard{disk: disk, dir: dir, reserve: opts.ReserveBytes, unchecked: checkSpaceEvery},
		changes: make(chan *change),
		stopped: make(chan struct{}),
	}
	db, lock, err := s.fault.openDir(dir, disk, s.engineOptions(opts, &fence{FS: disk, fault: s.fault}))
	if errors.Is(err, syscall.ENOSPC) {
		err = fmt.Errorf("%w: %w", chat.ErrNoSpace, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open store in %s: %w", dir, err)
	}
	s.db, s.lock = db, lock
	go s.makeChanges()
	return s, nil
}

func (s *Store) engineOptions(opts Options, disk vfs.FS) *pebble.Options {
	log := newEngineLog(opts.Logger, s.fault)
	o := &pebble.Options{
		FS:                 disk,
		CacheSize:          opts.CacheBytes,
		MemTableSize:       opts.MemTableBytes,
		FormatMajorVersion: engineFormat,
		Logger:             log,
		EventListener: &pebble.EventListener{
			BackgroundError: log.backgroundError,
			DataCorruption:  log.dataCorruption,
		},
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return o
}

// Failed is closed when the store can no longer be used and the process has to
// be started again.
func (s *Store) Failed() <-chan struct{} { return s.fault.failed }

// Flush makes everything durable that was put before it. An error means that
// it may not be: the log must not be trimmed.
func (s *Store) Flush(ctx context.Context) error {
	return s.change(ctx, durable|freeing, func(*pebble.Batch) error { return nil })
}

// Close waits for the running calls, syncs and closes the store; later calls
// return chat.ErrUnavailable. After a failure it closes nothing, for the engine
// may still be writing: the directory stays locked until the process ends.
func (s *Store) Close() error {
	s.using.Lock()
	defer s.using.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	close(s.changes)
	err := s.fault.guard(func() error {
		<-s.stopped
		return errors.Join(s.db.Close(), s.lock.Close())
	})
	if err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// enter begins a call that uses the db, and leave ends it.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.using.RLock()
	err := s.fault.err()
	if s.closed {
		err = fmt.Errorf("%w: the store is closed", chat.ErrUnavailable)
	}
	if err != nil {
		s.using.RUnlock()
	}
	return err
}

func (s *Store) leave() { s.using.RUnlock() }

// unreadable is a failure to read, or nil.
func (s *Store) unreadable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: read store: %w", chat.ErrUnavailable, err)
}

// lookup decodes the value of a key, or is chat.ErrNotFound.
func lookup[T any](s *Store, key []byte, decode func([]byte) (T, error)) (T, error) {
	var zero T
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return zero, chat.ErrNotFound
	}
	if err != nil {
		return zero, s.unreadable(err)
	}
	v, err := decode(value)
	if err := errors.Join(err, closer.Close()); err != nil {
		return zero, s.unreadable(err)
	}
	return v, nil
}

// lookupOrZero is lookup where a missing key stands for the zero value.
func lookupOrZero[T any](s *Store, key []byte, decode func([]byte) (T, error)) (T, error) {
	v, err := lookup(s, key, decode)
	if errors.Is(err, chat.ErrNotFound) {
		return v, nil
	}
	return v, err
}

func (s *Store) has(key []byte) (bool, error) {
	_, err := lookup(s, key, decodeText)
	if errors.Is(err, chat.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (s *Store) iterate(within span) (*pebble.Iterator, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: within.low, UpperBound: within.high})
	return it, s.unreadable(err)
}

// scan calls visit with the keys of the span in rising order until it returns
// false. Key and value are good for that call only.
func (s *Store) scan(within span, visit func(key, value []byte) (bool, error)) error {
	return s.walk(within, (*pebble.Iterator).First, (*pebble.Iterator).Next, visit)
}

// scanDown is scan in falling order.
func (s *Store) scanDown(within span, visit func(key, value []byte) (bool, error)) error {
	return s.walk(within, (*pebble.Iterator).Last, (*pebble.Iterator).Prev, visit)
}

func (s *Store) walk(within span, start, step func(*pebble.Iterator) bool, visit func(key, value []byte) (bool, error)) (err error) {
	it, err := s.iterate(within)
	if err != nil {
		return err
	}
	// Close returns what went wrong with the iteration, too.
	defer func() { err = errors.Join(err, s.unreadable(it.Close())) }()
	for ok := start(it); ok; ok = step(it) {
		value, err := it.ValueAndErr()
		if err != nil {
			return s.unreadable(err)
		}
		if more, err := visit(it.Key(), value); err != nil || !more {
			return err
		}
	}
	return nil
}

// millis is t as it will be read.
func millis(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return time.UnixMilli(t.UnixMilli()).UTC()
}
