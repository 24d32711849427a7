package local

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/chatcluster/chatcluster/internal/chat"
)

const (
	segmentSuffix = ".seg"
	offsetDigits  = 20

	// indexBytes is about how far apart the entries of an index are.
	indexBytes = 16 << 10
	// scanBytes is how much a scan reads at a time.
	scanBytes = 256 << 10
)

// segment is one file of a partition.
type segment struct {
	segmentHeader
	path string
	open func(path string, flag int) (file, error)

	// The partition's mutex guards these; its goroutine alone writes them.
	size   int64 // of the durable bytes
	next   int64
	newest int64 // Unix milliseconds

	mu sync.Mutex // guards the fields below
	// file is opened by the first read of a sealed segment.
	file file
	// index says where some of the batches begin. A sealed segment's is nil
	// until its first read.
	index []indexEntry
	// closed keeps a late read from opening the file again.
	closed bool
}

type indexEntry struct{ offset, position int64 }

func segmentPath(dir string, base int64) string {
	return filepath.Join(dir, fmt.Sprintf("%0*d%s", offsetDigits, base, segmentSuffix))
}

// parseSegmentName is the base offset in a segment's file name.
func parseSegmentName(name string) (base int64, ok bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != offsetDigits {
		return 0, false
	}
	base, err := strconv.ParseInt(digits, 10, 64)
	return base, err == nil && base >= 0 && digits[0] != '+'
}

// createSegment makes an empty segment in dir.
func createSegment(dir string, h segmentHeader, open func(string, int) (file, error)) (*segment, error) {
	rand.Read(h.marker[:])
	path := segmentPath(dir, h.base)
	err := writeFile(path, h.encode(), open)
	var f file
	if err == nil {
		f, err = open(path, os.O_RDWR)
	}
	if err != nil {
		// The segment before it stays in use: left over, this one would not
		// follow it.
		if left := os.Remove(path); !errors.Is(left, fs.ErrNotExist) {
			err = errors.Join(err, left)
		}
		return nil, err
	}
	return &segment{
		segmentHeader: h,
		path:          path,
		open:          open,
		size:          segmentHeaderBytes,
		next:          h.base,
		newest:        h.previous.newest,
		file:          f,
		index:         []indexEntry{},
	}, nil
}

// readHeader reads the header of a segment file and checks that it is the one
// of partition p at base.
func readHeader(path string, p chat.Partition, base int64) (segmentHeader, error) {
	f, err := os.Open(path)
	if err != nil {
		return segmentHeader{}, err
	}
	defer f.Close()
	b := make([]byte, segmentHeaderBytes)
	n, err := io.ReadFull(f, b)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return segmentHeader{}, err
	}
	h, err := decodeSegmentHeader(b[:n])
	if err != nil {
		return h, corrupt(path, 0, "%v", err)
	}
	if h.partition != p || h.base != base {
		return h, corrupt(path, 0, "a segment of %s from offset %d, want %s from offset %d", h.partition, h.base, p, base)
	}
	return h, nil
}

// summary is what the header of the next segment says of s.
func (s *segment) summary() sealed {
	return sealed{base: s.base, size: s.size, next: s.next, newest: s.newest}
}

func (s *segment) empty() bool { return s.size == segmentHeaderBytes }

// grow takes in a batch that is durable at the end of the file. The caller
// holds the partition's mutex.
func (s *segment) grow(b batch) {
	s.mu.Lock()
	s.index = addToIndex(s.index, b.base, s.size)
	s.mu.Unlock()
	s.size += int64(len(b.data))
	s.next = b.next()
	s.newest = b.time
}

func addToIndex(index []indexEntry, offset, position int64) []indexEntry {
	if n := len(index); n == 0 || position-index[n-1].position >= indexBytes {
		index = append(index, indexEntry{offset, position})
	}
	return index
}

// scan calls f with the batches of a segment of the given size. It stops at the
// first one that is not whole or does not follow the one before it, and returns
// its position with what is wrong there. A batch's data is valid during the
// call only.
func (h segmentHeader) scan(r io.ReaderAt, size int64, f func(position int64, b batch)) (position int64, wrong, err error) {
	position, next := segmentHeaderBytes, h.base
	var buf []byte // is the file from position on
	want := int64(scanBytes)
	chunk := make([]byte, want)
	for position < size {
		b, wrong := decodeBatch(buf, h.marker)
		var short *shortError
		switch {
		case errors.As(wrong, &short):
			if short.need > size-position {
				return position, fmt.Errorf("%d bytes, the beginning of %w", size-position, wrong), nil
			}
			if want = max(short.need, scanBytes); want > int64(len(chunk)) {
				chunk = make([]byte, want)
			}
			buf = chunk[:min(want, size-position)]
			if _, err := r.ReadAt(buf, position); err != nil {
				return position, nil, err
			}
			continue
		case wrong != nil:
			return position, wrong, nil
		case b.base != next:
			return position, fmt.Errorf("a batch from offset %d, want offset %d", b.base, next), nil
		}
		f(position, b)
		buf = buf[len(b.data):]
		position += int64(len(b.data))
		next = b.next()
	}
	return position, nil, nil
}

// findBatch looks for a whole batch at or above an offset anywhere in data.
func (h segmentHeader) findBatch(data []byte, atLeast int64) (position int, found batch, ok bool) {
	for at := 0; ; at++ {
		i := bytes.Index(data[at:], h.marker[:])
		if i < 0 {
			return 0, batch{}, false
		}
		at += i
		if b, err := decodeBatch(data[at:], h.marker); err == nil && b.base >= atLeast {
			return at, b, true
		}
	}
}

// locate returns the open file and where the last batch of the index at or
// below the offset begins.
func (s *segment) locate(offset, size int64) (file, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, 0, os.ErrClosed
	}
	if s.file == nil {
		f, err := s.open(s.path, os.O_RDONLY)
		if err != nil {
			return nil, 0, err
		}
		s.file = f
	}
	if s.index == nil {
		index := []indexEntry{}
		position, wrong, err := s.scan(s.file, size, func(position int64, b batch) {
			index = addToIndex(index, b.base, position)
		})
		if err != nil {
			return nil, 0, err
		}
		if wrong != nil {
			return nil, 0, corrupt(s.path, position, "%v", wrong)
		}
		s.index = index
	}
	i := sort.Search(len(s.index), func(i int) bool { return s.index[i].offset > offset })
	if i == 0 {
		return s.file, segmentHeaderBytes, nil
	}
	return s.file, s.index[i-1].position, nil
}

// read returns records from offset from on, which must be below next; size is
// that of the durable bytes.
func (s *segment) read(from int64, maxBytes int, size int64) ([]chat.Record, error) {
	f, position, err := s.locate(from, size)
	if err != nil {
		return nil, err
	}
	var (
		records []chat.Record
		buf     []byte // is the file from position on
		budget  = budget{left: maxBytes}
		want    = int64(max(maxBytes, 0)) + indexBytes
	)
	for position < size {
		b, err := decodeBatch(buf, s.marker)
		var short *shortError
		if errors.As(err, &short) && short.need <= size-position {
			if len(records) > 0 {
				break
			}
			buf = make([]byte, min(max(want, short.need), size-position))
			if _, err := f.ReadAt(buf, position); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, corrupt(s.path, position, "%v", err)
		}
		if b.next() > from {
			all, err := b.records()
			if err != nil {
				return nil, corrupt(s.path, position, "%v", err)
			}
			if all = all[max(from-b.base, 0):]; records == nil {
				records = all[:budget.take(all)]
			} else {
				records = append(records, all[:budget.take(all)]...)
			}
			if budget.spent {
				break
			}
		}
		buf = buf[len(b.data):]
		position += int64(len(b.data))
	}
	return records, nil
}

// close closes the file; reads that are under way end first.
func (s *segment) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// budget is how many bytes of records a read may still return.
type budget struct {
	left  int
	taken bool
	spent bool
}

// take says how many of the records fit; the first of all always does.
func (b *budget) take(records []chat.Record) int {
	for i, r := range records {
		b.left -= len(r.Key) + len(r.Value)
		if b.left < 0 && b.taken {
			b.spent = true
			return i
		}
		b.taken = true
	}
	return len(records)
}
