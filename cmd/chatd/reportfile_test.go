package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/chatcluster/chatcluster/internal/clean"
)

// smallDisk is a file for which there are left bytes of space.
type smallDisk struct {
	bytes.Buffer
	left int
}

var errFull = errors.New("disk full")

func (d *smallDisk) Write(p []byte) (int, error) {
	n, _ := d.Buffer.Write(p[:min(len(p), d.left)])
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

func (d *smallDisk) Truncate(size int64) error {
	d.Buffer.Truncate(int(size))
	return nil
}

func (d *smallDisk) Close() error { return nil }

func TestReportIsWrittenWholeOrNotAtAll(t *testing.T) {
	for _, tc := range []struct {
		name  string
		left  int
		want  error
		whole bool
	}{
		{"space for all", 4096, nil, true},
		{"space for a part", 10, errFull, false},
		{"no space", 0, errFull, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			disk := &smallDisk{left: tc.left}
			err := (&reportFile{disk}).write(clean.Report{Deleted: 5})
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			got := disk.String()
			if whole := strings.HasPrefix(got, "{") && strings.HasSuffix(got, "}\n"); whole != tc.whole || !whole && got != "" {
				t.Errorf("got %q, want the whole report: %t", got, tc.whole)
			}
		})
	}
}
