package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/chatcluster/chatcluster/internal/clean"
)

// reportFile gets the report of a clean as one JSON object, whole or not at
// all. It is written in place, for a container's termination message is a file
// that exists, and that cannot be renamed over.
type reportFile struct{ file reportTarget }

// reportTarget is what a reportFile needs of an *os.File.
type reportTarget interface {
	io.WriteCloser
	Truncate(size int64) error
}

// withReportFile calls f with what writes a report to the file at path, or
// nowhere if path is empty. A file that cannot be written to is the error
// before f is called.
func withReportFile(path string, f func(write func(clean.Report) error) error) error {
	if path == "" {
		return f(func(clean.Report) error { return nil })
	}
	file, err := openReportFile(path)
	if err != nil {
		return err
	}
	return errors.Join(f(file.write), file.close())
}

// openReportFile makes the file, or empties it: what an earlier clean reported
// must not be taken for the report of this one.
func openReportFile(path string) (*reportFile, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("report file: %w", err)
	}
	return &reportFile{file}, nil
}

// write writes the report. An error names the file.
func (r *reportFile) write(report clean.Report) error {
	text, err := json.Marshal(report)
	if err != nil {
		return fmt.Errorf("report file: %w", err)
	}
	if n, err := r.file.Write(append(text, '\n')); err != nil {
		if n > 0 { // what is no regular file cannot be cut, and took nothing
			err = errors.Join(err, r.file.Truncate(0))
		}
		return fmt.Errorf("report file: %w", err)
	}
	return nil
}

func (r *reportFile) close() error {
	if err := r.file.Close(); err != nil {
		return fmt.Errorf("report file: %w", err)
	}
	return nil
}
