// Package overlay changes sources for one build, by `go build -overlay`: for what
// tests need and the product should have no setting for.
package overlay

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ReplaceOnce is the text of a file with after in the place of before, which has
// to be there exactly once.
func ReplaceOnce(file, before, after string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(text), before); n != 1 {
		return "", fmt.Errorf("%s has this %d times, want once:\n%s", file, n, before)
	}
	return strings.Replace(string(text), before, after, 1), nil
}

// Write writes into dir what a build needs that shall find files, by their
// absolute paths, with other texts, and returns the path of the overlay's file.
// No two files may have the same base name.
func Write(dir string, files map[string]string) (string, error) {
	replace := map[string]string{}
	var errs []error
	for path, text := range files {
		replace[path] = filepath.Join(dir, filepath.Base(path))
		errs = append(errs, os.WriteFile(replace[path], []byte(text), 0o644))
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	errs = append(errs, err)
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, errors.Join(append(errs, os.WriteFile(overlay, list, 0o644))...)
}
