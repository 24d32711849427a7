package local_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"testing"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/log/local"
)

// FuzzDecodeBatch decodes the payload of a batch whose checksum holds: what is
// decoded encodes to the same again.
func FuzzDecodeBatch(f *testing.F) {
	f.Add(local.EncodeRecords([]string{"room"}, [][]byte{[]byte("hello")}), 1)
	f.Add(local.EncodeRecords([]string{"a", "", "a"}, [][]byte{{}, bytes.Repeat([]byte("x"), 300), {0}}), 3)
	f.Add([]byte{0, 0}, 1)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 1, 2}, 1)
	f.Fuzz(func(t *testing.T, payload []byte, count int) {
		records, err := local.DecodeBatch(payload, count)
		if err != nil {
			return
		}
		if len(records) != count {
			t.Fatalf("decoded %d records, want %d", len(records), count)
		}
		var keys []string
		var values [][]byte
		for _, r := range records {
			keys, values = append(keys, r.Key), append(values, r.Value)
		}
		// A varint may be written longer than need be, hence the length.
		if again := local.EncodeRecords(keys, values); len(again) == len(payload) && !bytes.Equal(again, payload) {
			t.Fatalf("encoded again: %x, want %x", again, payload)
		}
	})
}

// FuzzOpenSegment opens a log whose last segment is any bytes: it is refused
// and left alone, or it works.
func FuzzOpenSegment(f *testing.F) {
	dir := f.TempDir()
	l := openLog(f, dir, local.Options{})
	for _, value := range []string{"one", "two", "three"} {
		if _, _, err := l.Append(context.Background(), messages, "room", []byte(value)); err != nil {
			f.Fatal(err)
		}
	}
	closeLog(f, l)
	path := segmentOf(dir, chat.TopicMessages, 0)
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add(whole[:72])
	f.Add([]byte{})
	f.Add(append(bytes.Clone(whole), whole[72:]...))
	options := local.Options{Logger: slog.New(slog.DiscardHandler)}
	f.Fuzz(func(t *testing.T, data []byte) {
		writeFile(t, path, data)
		l, err := local.Open(dir, options)
		if err != nil {
			if !errors.Is(err, local.ErrCorrupt) {
				t.Fatalf("Open: %v, want %v", err, local.ErrCorrupt)
			}
			if !bytes.Equal(readFile(t, path), data) {
				t.Fatal("Open changed what it refused")
			}
			return
		}
		defer removeTorn(t, path)
		defer closeLog(t, l)
		before := len(values(t, l, messages))
		appendTo(t, l, messages, "one more")
		if got := len(values(t, l, messages)); got != before+1 {
			t.Fatalf("%d records after an append, want %d", got, before+1)
		}
	})
}
