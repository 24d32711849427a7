package local_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/log/local"
	"golang.org/x/sys/unix"
)

// disk fails the acts for which it has an error. It is shared by all files.
type disk struct {
	mu sync.Mutex // guards the fields below
	// write, sync and truncate are the errors of those acts, or nil.
	write, sync, truncate error
	// reads is how many reads are still to fail.
	reads int
	// short is how many bytes a failing write leaves in the file.
	short int
	// block, if not nil, holds each sync up until it is closed; each one that
	// is held up first sends to blocked.
	block, blocked chan struct{}
}

func (d *disk) set(f func(*disk)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(d)
}

func (d *disk) open(path string, flag int) (local.File, error) {
	f, err := local.OpenFile(path, flag)
	if err != nil {
		return nil, err
	}
	return faultyFile{f, d}, nil
}

type faultyFile struct {
	local.File
	disk *disk
}

func (f faultyFile) WriteAt(b []byte, position int64) (int, error) {
	f.disk.mu.Lock()
	err, short := f.disk.write, min(f.disk.short, len(b))
	f.disk.mu.Unlock()
	if err == nil {
		return f.File.WriteAt(b, position)
	}
	n, writeErr := f.File.WriteAt(b[:short], position)
	return n, errors.Join(err, writeErr)
}

func (f faultyFile) ReadAt(b []byte, position int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.reads > 0 {
		f.disk.reads--
		return 0, unix.EIO
	}
	return f.File.ReadAt(b, position)
}

func (f faultyFile) Sync() error {
	f.disk.mu.Lock()
	err, block, blocked := f.disk.sync, f.disk.block, f.disk.blocked
	f.disk.mu.Unlock()
	if block != nil {
		blocked <- struct{}{}
		<-block
	}
	if err != nil {
		return err
	}
	return f.File.Sync()
}

func (f faultyFile) Truncate(size int64) error {
	f.disk.mu.Lock()
	err := f.disk.truncate
	f.disk.mu.Unlock()
	if err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func TestDiskFaults(t *testing.T) {
	tests := []struct {
		name  string
		fault func(*disk)
		want  error
		// broken says that appends fail even once the disk is well again.
		broken bool
		// appears says that the record may be there after opening anew.
		appears bool
	}{
		{"disk full before a write", func(d *disk) { d.write = unix.ENOSPC }, chat.ErrNoSpace, false, false},
		{"disk full within a write", func(d *disk) { d.write, d.short = unix.ENOSPC, 20 }, chat.ErrNoSpace, false, false},
		{"quota spent", func(d *disk) { d.write, d.short = unix.EDQUOT, 20 }, chat.ErrNoSpace, false, false},
		{"write fails", func(d *disk) { d.write, d.short = unix.EIO, 20 }, chat.ErrUnavailable, false, false},
		{"write and cut fail", func(d *disk) { d.write, d.short, d.truncate = unix.EIO, 20, unix.EIO },
			chat.ErrOutcomeUnknown, true, false},
		{"all is written and the cut fails", func(d *disk) { d.write, d.short, d.truncate = unix.EIO, 1<<20, unix.EIO },
			chat.ErrOutcomeUnknown, true, true},
		{"sync fails, and so does that of the cut", func(d *disk) { d.sync = unix.EIO }, chat.ErrOutcomeUnknown, true, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir, d := t.TempDir(), &disk{}
			l := openLog(t, dir, local.WithOpen(local.Options{}, d.open))
			appendTo(t, l, messages, "value 0")
			d.set(test.fault)
			_, _, err := l.Append(context.Background(), messages, "room", []byte("value 1"))
			if !errors.Is(err, test.want) {
				t.Fatalf("Append: %v, want %v", err, test.want)
			}
			d.set(func(d *disk) { d.write, d.sync, d.truncate = nil, nil, nil })
			checkPrefix(t, values(t, l, messages), 1)
			acknowledged := 1
			_, _, err = l.Append(context.Background(), messages, "room", []byte("value 1"))
			switch {
			case test.broken && !errors.Is(err, chat.ErrUnavailable):
				t.Errorf("Append to the broken partition: %v, want %v", err, chat.ErrUnavailable)
			case !test.broken && err != nil:
				t.Errorf("Append once the disk is well: %v", err)
			case !test.broken:
				acknowledged++
			}
			closeLog(t, l)

			l = openLog(t, dir, local.Options{})
			if test.appears {
				acknowledged++
			}
			checkPrefix(t, values(t, l, messages), acknowledged)
		})
	}
}

// A sync that fails once leaves the outcome unknown, and the log usable.
func TestSyncFailsOnce(t *testing.T) {
	for _, test := range []struct {
		name  string
		cause error
		want  error
	}{
		{"failed", unix.EIO, chat.ErrOutcomeUnknown},
		{"disk full", unix.ENOSPC, chat.ErrNoSpace},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, d := t.TempDir(), &disk{}
			open := func(path string, flag int) (local.File, error) {
				f, err := d.open(path, flag)
				return failOnce{f, d}, err
			}
			l := openLog(t, dir, local.WithOpen(local.Options{}, open))
			d.set(func(d *disk) { d.sync = test.cause })
			if _, _, err := l.Append(context.Background(), messages, "room", []byte("lost")); !errors.Is(err, test.want) {
				t.Fatalf("Append: %v, want %v", err, test.want)
			}
			if r := appendTo(t, l, messages, "value 0"); r.Offset != 0 {
				t.Errorf("append at offset %d, want 0", r.Offset)
			}
			closeLog(t, l)
			checkPrefix(t, values(t, openLog(t, dir, local.Options{}), messages), 1)
		})
	}
}

// failOnce is well again after a failed sync.
type failOnce struct {
	local.File
	disk *disk
}

func (f failOnce) Sync() error {
	err := f.File.Sync()
	f.disk.set(func(d *disk) { d.sync = nil })
	return err
}

// While a commit is held up: appends collect into one batch, a full queue
// answers at once, a cancelled append leaves the outcome open, and no reader
// sees what is not durable.
func TestHeldUpCommit(t *testing.T) {
	d := &disk{}
	l := openLog(t, t.TempDir(), local.WithOpen(local.Options{MaxRecordBytes: 1000, QueueBytes: 3000}, d.open))
	block, blocked := make(chan struct{}), make(chan struct{}, 10)
	d.set(func(d *disk) { d.block, d.blocked = block, blocked })
	ctx, cancel := context.WithCancel(context.Background())
	outcome := make(chan error, 1)
	go func() {
		_, _, err := l.Append(ctx, messages, "room", make([]byte, 900))
		outcome <- err
	}()
	<-blocked
	cancel()
	if err := <-outcome; !errors.Is(err, chat.ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled Append: %v, want %v", err, chat.ErrOutcomeUnknown)
	}
	b, err := l.Bounds(context.Background(), messages)
	if err != nil || b.Next != 0 {
		t.Errorf("Bounds during the commit: %+v, %v, want Next 0", b, err)
	}

	var group sync.WaitGroup
	results := make(chan error, 10)
	for range 10 {
		group.Go(func() {
			_, _, err := l.Append(context.Background(), messages, "room", make([]byte, 900))
			results <- err
		})
	}
	// Two more fit the queue; the other eight are refused while it is blocked.
	for range 8 {
		if err := <-results; !errors.Is(err, chat.ErrUnavailable) {
			t.Errorf("Append with a full queue: %v, want %v", err, chat.ErrUnavailable)
		}
	}
	d.set(func(d *disk) { d.block = nil })
	close(block)
	group.Wait()
	for range 2 {
		if err := <-results; err != nil {
			t.Errorf("queued Append: %v", err)
		}
	}
	if got := len(values(t, l, messages)); got != 3 {
		t.Errorf("log holds %d records, want 3", got)
	}
}

func TestFullDiskAtNewSegment(t *testing.T) {
	dir, d := t.TempDir(), &disk{}
	options := local.WithOpen(local.Options{SegmentBytes: 1}, d.open)
	l := openLog(t, dir, options)
	appendTo(t, l, messages, "value 0")
	d.set(func(d *disk) { d.write, d.short = unix.ENOSPC, 10 })
	if _, _, err := l.Append(context.Background(), messages, "room", []byte("lost")); !errors.Is(err, chat.ErrNoSpace) {
		t.Fatalf("Append: %v, want %v", err, chat.ErrNoSpace)
	}
	d.set(func(d *disk) { d.write = nil })
	appendTo(t, l, messages, "value 1")
	closeLog(t, l)
	checkPrefix(t, values(t, openLog(t, dir, options), messages), 2)
}

// A read that fails is ErrUnavailable, and a tail tries again by itself.
func TestFailedRead(t *testing.T) {
	d := &disk{}
	l := openLog(t, t.TempDir(), local.WithOpen(local.Options{CacheBytes: 1}, d.open))
	appendTo(t, l, messages, "value 0")
	d.set(func(d *disk) { d.reads = 3 })
	if _, err := l.Read(context.Background(), messages, 0, 1); !errors.Is(err, chat.ErrUnavailable) {
		t.Errorf("Read: %v, want %v", err, chat.ErrUnavailable)
	}
	tail := l.Tail()
	defer tail.Close()
	tail.Add(messages, 0)
	batches, err := tail.Next(context.Background())
	if err != nil || len(batches) != 1 || len(batches[0].Records) != 1 {
		t.Errorf("Next: %v, %v, want one batch with one record", batches, err)
	}
}

// What the last process wrote and did not sync is synced before it is read.
func TestOpenSyncs(t *testing.T) {
	dir, d := t.TempDir(), &disk{sync: unix.EIO}
	fill(t, dir, chat.TopicMessages, 1)
	if _, err := local.Open(dir, local.WithOpen(local.Options{}, d.open)); !errors.Is(err, unix.EIO) {
		t.Errorf("Open: %v, want the error of the sync, %v", err, unix.EIO)
	}
}
