package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// Log is a chat.Log in one directory.
type Log struct {
	dir        string
	lock       *os.File
	partitions map[chat.Topic][]*partition // read-only after Open

	// closed is closed by Close.
	closed  chan struct{}
	closing sync.Once
}

var _ chat.Log = (*Log)(nil)

var (
	errClosed      = fmt.Errorf("%w: the log is closed", chat.ErrUnavailable)
	errNoPartition = errors.New("no such partition")
)

const (
	metaName  = "meta.json"
	cleanName = "CLEAN"
)

// meta is what the directory says about itself.
type meta struct {
	Format     int              `json:"format"`
	Partitions map[string]int32 `json:"partitions"`
}

// Open opens the log in dir and makes it if there is none. It checks what it
// finds and refuses what it cannot account for: ErrCorrupt with the file, the
// position and what is there. ErrLocked if it is open elsewhere. Files in dir
// itself that are not the log's are let be: dir may be the root of a volume.
func Open(dir string, options Options) (*Log, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("options of the log: %w", err)
	}
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	l := &Log{
		dir:        dir,
		lock:       lock,
		partitions: make(map[chat.Topic][]*partition),
		closed:     make(chan struct{}),
	}
	if err := l.open(options); err != nil {
		return nil, errors.Join(fmt.Errorf("open log: %w", err), l.closePartitions(), lock.Close())
	}
	return l, nil
}

func (l *Log) open(options Options) error {
	recorded, err := readMeta(l.dir)
	if err != nil {
		return err
	}
	// All is checked before anything is made.
	existing := make(map[chat.Topic]int32)
	for _, t := range chat.Topics() {
		found, err := countPartitions(filepath.Join(l.dir, t.String()))
		if err != nil {
			return err
		}
		had, want := recorded.Partitions[t.String()], options.Partitions[t]
		switch {
		case found < had:
			return corrupt(filepath.Join(l.dir, t.String()), 0, "%d partitions, want %d", found, had)
		case want < found:
			return fmt.Errorf("topic %s has %d partitions, which cannot shrink to %d", t, found, want)
		}
		existing[t] = found
	}
	clean, err := l.takeCleanMark()
	if err != nil {
		return err
	}
	for _, t := range chat.Topics() {
		for n := range options.Partitions[t] {
			id := chat.Partition{Topic: t, Number: n}
			dir := partitionDir(l.dir, id)
			isNew := n >= existing[t]
			if isNew {
				if err := createPartition(dir, id, options); err != nil {
					return fmt.Errorf("make partition %s: %w", id, err)
				}
			}
			p, err := openPartition(dir, id, options, clean || isNew)
			if err != nil {
				return fmt.Errorf("partition %s: %w", id, err)
			}
			l.partitions[t] = append(l.partitions[t], p)
		}
	}
	return writeMeta(l.dir, options)
}

func readMeta(dir string) (meta, error) {
	path := filepath.Join(dir, metaName)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return meta{}, nil
	}
	if err != nil {
		return meta{}, err
	}
	var m meta
	if err := json.Unmarshal(data, &m); err != nil {
		return meta{}, corrupt(path, 0, "%v", err)
	}
	if m.Format != formatVersion {
		return meta{}, corrupt(path, 0, "format version %d, this build reads version %d", m.Format, formatVersion)
	}
	return m, nil
}

func writeMeta(dir string, options Options) error {
	m := meta{Format: formatVersion, Partitions: make(map[string]int32)}
	for t, n := range options.Partitions {
		m.Partitions[t.String()] = n
	}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, metaName), append(data, '\n'), openFile)
}

// countPartitions counts the partitions of a topic's folder and refuses what
// is not one of them. There may be more than meta.json says, if the process
// ended while it made them.
func countPartitions(dir string) (int32, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	var count, beyond int32
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), tmpSuffix) {
			continue // createPartition makes it anew
		}
		n, err := strconv.ParseInt(e.Name(), 10, 32)
		if err != nil || n < 0 || e.Name() != strconv.Itoa(int(n)) || !e.IsDir() {
			return 0, corrupt(filepath.Join(dir, e.Name()), 0, "not a partition")
		}
		count, beyond = count+1, max(beyond, int32(n)+1)
	}
	if count != beyond {
		return 0, corrupt(dir, 0, "%d partitions, the last of which is number %d", count, beyond-1)
	}
	return count, nil
}

// takeCleanMark says whether the log was closed properly, and removes the mark
// of that: from now on it is open.
func (l *Log) takeCleanMark() (bool, error) {
	err := os.Remove(filepath.Join(l.dir, cleanName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, syncDir(l.dir)
}

// Close commits what is queued, ends all goroutines and frees the directory.
// Calls that come later are ErrUnavailable. Closing again does nothing.
func (l *Log) Close() error {
	var err error
	l.closing.Do(func() {
		close(l.closed)
		err = l.closePartitions()
		if err == nil {
			err = writeFile(filepath.Join(l.dir, cleanName), nil, openFile)
		}
		err = errors.Join(err, l.lock.Close())
	})
	return err
}

func (l *Log) closePartitions() error {
	var errs []error
	for _, partitions := range l.partitions {
		for _, p := range partitions {
			errs = append(errs, p.close())
		}
	}
	return errors.Join(errs...)
}

func (l *Log) partition(id chat.Partition) (*partition, error) {
	partitions := l.partitions[id.Topic]
	if id.Number < 0 || int(id.Number) >= len(partitions) {
		return nil, fmt.Errorf("%w: %w: %s", chat.ErrUnavailable, errNoPartition, id)
	}
	return partitions[id.Number], nil
}

// Append implements chat.Appender. The value may be reused once it returns.
func (l *Log) Append(ctx context.Context, id chat.Partition, key string, value []byte) (chat.Record, uint32, error) {
	p, err := l.partition(id)
	if err != nil {
		return chat.Record{}, 0, err
	}
	r, err := p.append(ctx, key, value)
	return r, p.epoch, err
}

// Partitions implements chat.LogReader.
func (l *Log) Partitions(_ context.Context, t chat.Topic) (int32, error) {
	select {
	case <-l.closed:
		return 0, errClosed
	default:
		return int32(len(l.partitions[t])), nil
	}
}

// Bounds implements chat.LogReader.
func (l *Log) Bounds(_ context.Context, id chat.Partition) (chat.Bounds, error) {
	p, err := l.partition(id)
	if err != nil {
		return chat.Bounds{}, err
	}
	return p.bounds()
}

// Read implements chat.LogReader. It is ErrCorrupt where the file is damaged.
func (l *Log) Read(_ context.Context, id chat.Partition, from int64, maxBytes int) (chat.Batch, error) {
	p, err := l.partition(id)
	if err != nil {
		return chat.Batch{}, err
	}
	return p.read(from, maxBytes)
}

// Tail implements chat.Tailer.
func (l *Log) Tail() chat.Tail {
	return &tail{log: l, wake: make(chan struct{}, 1), follows: make(map[chat.Partition]*follow)}
}

// Trim deletes the segments of a partition whose records all lie below an
// offset and were all appended before a time. Where the topic has a Retention,
// whatever is older than that goes too, and below does not count. The newest
// segment goes only as a whole, like the others. A cancelled ctx ends the wait,
// not the trimming.
func (l *Log) Trim(ctx context.Context, id chat.Partition, below int64, olderThan time.Time) error {
	p, err := l.partition(id)
	if err != nil {
		return err
	}
	done, err := p.requestTrim(below, olderThan)
	if err != nil {
		return err
	}
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("trim %s: %w", id, err)
	}
	return nil
}
