package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// recovery opens the files of one partition.
type recovery struct {
	dir       string
	partition chat.Partition
	options   Options
	// synced says that each batch was durable before the next one was written.
	synced bool
}

// segments opens all segments, in order; the last one is ready for appending.
func (r recovery) segments() ([]*segment, error) {
	bases, err := r.bases()
	if err != nil {
		return nil, err
	}
	if len(bases) == 0 {
		return nil, corrupt(r.dir, 0, "a partition without a segment")
	}
	var segments []*segment
	for i, base := range bases {
		path := segmentPath(r.dir, base)
		h, err := readHeader(path, r.partition, base)
		if err != nil {
			return nil, err
		}
		s := &segment{segmentHeader: h, path: path, open: r.options.open}
		if i > 0 {
			if err := checkChain(segments[i-1], s); err != nil {
				return nil, err
			}
		}
		segments = append(segments, s)
	}
	if err := r.recoverLast(segments[len(segments)-1]); err != nil {
		return nil, err
	}
	return segments, nil
}

// bases lists the segments by rising base offset. It refuses files that it does
// not know: they may be records under another name.
func (r recovery) bases() ([]int64, error) {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, err
	}
	var bases []int64
	for _, e := range entries {
		name := e.Name()
		base, ok := parseSegmentName(name)
		switch {
		case ok && e.Type().IsRegular():
			bases = append(bases, base)
		case strings.HasSuffix(name, tmpSuffix):
			if err := os.Remove(filepath.Join(r.dir, name)); err != nil {
				return nil, err
			}
		case strings.Contains(name, tornInfix):
		default:
			return nil, corrupt(filepath.Join(r.dir, name), 0, "a file that does not belong to a log")
		}
	}
	slices.Sort(bases)
	return bases, nil
}

// checkChain checks that s was made when earlier was full, and takes from it how
// earlier ended.
func checkChain(earlier, s *segment) error {
	previous := s.previous
	if previous.base != earlier.base {
		return corrupt(s.path, 0, "it follows the segment of offset %d, but the one before it here is of offset %d",
			previous.base, earlier.base)
	}
	if s.epoch != earlier.epoch {
		return corrupt(s.path, 0, "epoch %d, the segment before it has %d", s.epoch, earlier.epoch)
	}
	info, err := os.Stat(earlier.path)
	if err != nil {
		return err
	}
	if info.Size() != previous.size {
		return corrupt(earlier.path, info.Size(), "the end of the file, want %d bytes", previous.size)
	}
	earlier.size, earlier.next, earlier.newest = previous.size, previous.next, previous.newest
	return nil
}

// recoverLast finds the end of the last segment. Damage that no whole batch
// follows is a write that the end of the process or machine cut short: nobody
// was told that it succeeded, so it is set aside. Damage before a whole batch
// hit acknowledged records, and stays for a person to look at.
func (r recovery) recoverLast(s *segment) error {
	f, err := s.open(s.path, os.O_RDWR)
	if err != nil {
		return err
	}
	s.file, s.index = f, []indexEntry{}
	info, err := os.Stat(s.path)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	s.size, s.next, s.newest = segmentHeaderBytes, s.base, s.previous.newest
	position, wrong, err := s.scan(f, info.Size(), func(_ int64, b batch) { s.grow(b) })
	if err == nil && wrong != nil {
		err = r.setAside(s, position, info.Size(), wrong)
	}
	if err == nil {
		// The last process may have ended between its write and its sync; from
		// here on readers take what is there for durable.
		err = f.Sync()
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	return nil
}

const tornInfix = ".torn-"

// setAside moves the bytes from position on into a file of their own.
func (r recovery) setAside(s *segment, position, size int64, wrong error) error {
	rest := make([]byte, size-position)
	if _, err := s.file.ReadAt(rest, position); err != nil {
		return err
	}
	// Without syncing, the disk may have got a later batch and not this one.
	if at, b, ok := s.findBatch(rest, s.next); ok && r.synced {
		return corrupt(s.path, position, "%v, and yet a whole batch of offsets %d to %d follows at byte %d",
			wrong, b.base, b.next()-1, position+int64(at))
	}
	aside := fmt.Sprintf("%s%s%d", strings.TrimSuffix(s.path, segmentSuffix), tornInfix, r.options.Now().UnixMilli())
	if err := writeFile(aside, rest, r.options.open); err != nil {
		return fmt.Errorf("set torn write aside: %w", err)
	}
	if err := s.file.Truncate(position); err != nil {
		return fmt.Errorf("cut torn write: %w", err)
	}
	r.options.Logger.Warn("torn write set aside",
		"file", s.path, "position", position, "bytes", len(rest), "found", wrong.Error(), "aside", aside)
	return nil
}
