package local_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/log/local"
)

// fill makes a log with n records in batches of one, closes it, and returns the
// path of its only segment with the size after each batch; ends[0] is that of
// the header.
func fill(t *testing.T, dir string, topic chat.Topic, n int) (path string, ends []int) {
	t.Helper()
	l := openLog(t, dir, local.Options{})
	path = segmentOf(dir, topic, 0)
	ends = append(ends, fileSize(t, path))
	for i := range n {
		appendTo(t, l, chat.Partition{Topic: topic}, fmt.Sprintf("value %d", i))
		ends = append(ends, fileSize(t, path))
	}
	closeLog(t, l)
	return path, ends
}

func segmentOf(dir string, topic chat.Topic, base int64) string {
	return filepath.Join(dir, topic.String(), "0", fmt.Sprintf("%020d.seg", base))
}

func fileSize(t *testing.T, path string) int {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Size())
}

func appendTo(t *testing.T, l *local.Log, p chat.Partition, value string) chat.Record {
	t.Helper()
	r, _, err := l.Append(context.Background(), p, "room", []byte(value))
	if err != nil {
		t.Fatalf("Append(%s): %v", p, err)
	}
	return r
}

// values are all values of a partition.
func values(t *testing.T, l *local.Log, p chat.Partition) []string {
	t.Helper()
	b, err := l.Bounds(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for from := b.First; from < b.Next; {
		page, err := l.Read(context.Background(), p, from, 1<<20)
		if err != nil {
			t.Fatalf("Read(%s, %d): %v", p, from, err)
		}
		for _, r := range page.Records {
			all = append(all, string(r.Value))
		}
		from = page.Next
	}
	return all
}

func checkPrefix(t *testing.T, got []string, n int) {
	t.Helper()
	if len(got) != n {
		t.Fatalf("log holds %d records, want %d", len(got), n)
	}
	for i, v := range got {
		if want := fmt.Sprintf("value %d", i); v != want {
			t.Fatalf("record %d is %q, want %q", i, v, want)
		}
	}
}

func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// removeTorn removes what was set aside and returns it.
func removeTorn(t *testing.T, path string) []byte {
	t.Helper()
	found, err := filepath.Glob(strings.TrimSuffix(path, ".seg") + ".torn-*")
	if err != nil {
		t.Fatal(err)
	}
	var data []byte
	for _, f := range found {
		data = append(data, readFile(t, f)...)
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	return data
}

func TestTornLastWrite(t *testing.T) {
	const n = 4
	dir := t.TempDir()
	path, ends := fill(t, dir, chat.TopicMessages, n)
	whole := readFile(t, path)
	for cut := ends[1]; cut <= len(whole); cut++ {
		writeFile(t, path, whole[:cut])
		kept := 0
		for kept < n && ends[kept+1] <= cut {
			kept++
		}
		l, err := local.Open(dir, local.Options{})
		if err != nil {
			t.Fatalf("Open of a segment cut at byte %d: %v", cut, err)
		}
		checkPrefix(t, values(t, l, messages), kept)
		if r := appendTo(t, l, messages, "next"); r.Offset != int64(kept) {
			t.Errorf("cut at byte %d: append at offset %d, want %d", cut, r.Offset, kept)
		}
		closeLog(t, l)
		if got, want := removeTorn(t, path), whole[ends[kept]:cut]; !bytes.Equal(got, want) {
			t.Errorf("cut at byte %d: %d bytes set aside, want the %d after the last batch", cut, len(got), len(want))
		}
	}
}

func TestCutHeaderIsRefused(t *testing.T) {
	dir := t.TempDir()
	path, ends := fill(t, dir, chat.TopicMessages, 1)
	whole := readFile(t, path)
	for cut := range ends[0] {
		writeFile(t, path, whole[:cut])
		refused(t, dir, path, "less than a segment header")
	}
}

// refused checks that Open is ErrCorrupt, names the file and what is wrong, and
// leaves the file as it is.
func refused(t *testing.T, dir, path string, found string) {
	t.Helper()
	before := readFile(t, path)
	l, err := local.Open(dir, local.Options{})
	if err == nil {
		closeLog(t, l)
	}
	if !errors.Is(err, local.ErrCorrupt) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), found) {
		t.Fatalf("Open: %v, want %v with %q and %q", err, local.ErrCorrupt, path, found)
	}
	if !bytes.Equal(readFile(t, path), before) {
		t.Fatalf("Open changed %s, which it refused", path)
	}
}

func TestFlippedBits(t *testing.T) {
	const n = 3
	dir := t.TempDir()
	path, ends := fill(t, dir, chat.TopicMessages, n)
	whole := readFile(t, path)
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 1 << (i % 8)
		writeFile(t, path, damaged)
		if i < ends[n-1] {
			refused(t, dir, path, "at byte")
			continue
		}
		// The last batch cannot be told from one that was cut short.
		l := openLog(t, dir, local.Options{})
		checkPrefix(t, values(t, l, messages), n-1)
		closeLog(t, l)
		removeTorn(t, path)
	}
}

// A crash of the machine may keep a later write of an unsynced topic and lose
// an earlier one. Nothing promised is lost, so the log opens.
func TestUnsyncedTopicSurvivesDamage(t *testing.T) {
	rooms := chat.Partition{Topic: chat.TopicRooms}
	dir := t.TempDir()
	path, ends := fill(t, dir, chat.TopicRooms, 3)
	damaged := readFile(t, path)
	damaged[ends[1]+20] ^= 1
	writeFile(t, path, damaged)
	if err := os.Remove(filepath.Join(dir, "CLEAN")); err != nil {
		t.Fatal(err)
	}
	l := openLog(t, dir, local.Options{})
	checkPrefix(t, values(t, l, rooms), 1)
	// The lost records' offsets are not given again.
	r := appendTo(t, l, rooms, "value 1")
	if r.Offset < 3 {
		t.Errorf("append at offset %d, want beyond the lost records at 1 and 2", r.Offset)
	}
	checkPrefix(t, values(t, l, rooms), 2)
	page, err := l.Read(context.Background(), rooms, 2, 1<<20)
	if err != nil || len(page.Records) != 1 || page.Records[0].Offset != r.Offset {
		t.Errorf("Read in the gap: %d records, %v, want the one at %d", len(page.Records), err, r.Offset)
	}
}

func TestRefusals(t *testing.T) {
	small := local.Options{SegmentBytes: 200}
	tests := []struct {
		name string
		// break breaks the log and returns the path that the error must name.
		damage func(t *testing.T, dir string, segments []string) string
		found  string
	}{
		{"unknown file", func(t *testing.T, dir string, _ []string) string {
			path := filepath.Join(dir, "messages", "0", "notes.txt")
			writeFile(t, path, []byte("x"))
			return path
		}, "does not belong"},
		{"unknown folder", func(t *testing.T, dir string, _ []string) string {
			path := filepath.Join(dir, "messages", "old")
			writeFile(t, path, []byte("x"))
			return path
		}, "not a partition"},
		{"foreign file", func(t *testing.T, _ string, segments []string) string {
			writeFile(t, segments[1], bytes.Repeat([]byte("x"), 100))
			return segments[1]
		}, `magic "xxxxxxxx"`},
		{"newer version", func(t *testing.T, _ string, segments []string) string {
			data := readFile(t, segments[0])
			data[8]++
			writeFile(t, segments[0], data)
			return segments[0]
		}, "format version 2, this build reads version 1"},
		{"newer version of the directory", func(t *testing.T, dir string, _ []string) string {
			path := filepath.Join(dir, "meta.json")
			writeFile(t, path, []byte(`{"format":2}`))
			return path
		}, "format version 2, this build reads version 1"},
		{"segment of another partition", func(t *testing.T, dir string, segments []string) string {
			writeFile(t, segments[0], readFile(t, segmentOf(dir, chat.TopicRooms, 0)))
			return segments[0]
		}, "a segment of rooms/0 from offset 0, want messages/0 from offset 0"},
		{"missing segment", func(t *testing.T, _ string, segments []string) string {
			if err := os.Remove(segments[1]); err != nil {
				t.Fatal(err)
			}
			return segments[2]
		}, "it follows the segment of offset"},
		{"cut sealed segment", func(t *testing.T, _ string, segments []string) string {
			data := readFile(t, segments[0])
			writeFile(t, segments[0], data[:len(data)-1])
			return segments[0]
		}, "the end of the file, want"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			l := openLog(t, dir, small)
			for i := range 10 {
				appendTo(t, l, messages, fmt.Sprintf("value %d", i))
			}
			closeLog(t, l)
			segments, err := filepath.Glob(filepath.Join(dir, "messages", "0", "*.seg"))
			if err != nil || len(segments) < 3 {
				t.Fatalf("%d segments, %v, want at least 3", len(segments), err)
			}
			refused(t, dir, test.damage(t, dir, segments), test.found)
		})
	}
}

func TestDamagedSealedSegment(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, local.Options{SegmentBytes: 200})
	for i := range 10 {
		appendTo(t, l, messages, fmt.Sprintf("value %d", i))
	}
	closeLog(t, l)
	path := segmentOf(dir, chat.TopicMessages, 0)
	data := readFile(t, path)
	data[len(data)-1] ^= 1
	writeFile(t, path, data)

	l = openLog(t, dir, local.Options{SegmentBytes: 200})
	if _, err := l.Read(context.Background(), messages, 0, 1<<20); !errors.Is(err, local.ErrCorrupt) {
		t.Errorf("Read: %v, want %v", err, local.ErrCorrupt)
	}
	tail := l.Tail()
	defer tail.Close()
	tail.Add(messages, 0)
	batches, err := tail.Next(context.Background())
	if err != nil || len(batches) != 1 || !errors.Is(batches[0].Err, local.ErrCorrupt) {
		t.Errorf("Next: %v, %v, want one batch with %v", batches, err, local.ErrCorrupt)
	}
}
