package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"time"
)

//go:embed static
var staticFiles embed.FS

// assets serves the embedded files by name. Browsers ask each time whether
// their copy is still right (an ETag; mostly answered 304), rather than keep
// it under a name with a hash: while replicas of two releases stand side by
// side, a page of one must find its modules at the other.
type assets map[string]asset

type asset struct {
	content []byte
	etag    string
}

func newAssets() assets {
	entries, err := fs.ReadDir(staticFiles, "static")
	if err != nil {
		panic(err) // the folder is embedded
	}
	a := assets{}
	for _, entry := range entries {
		content, err := fs.ReadFile(staticFiles, "static/"+entry.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(content)
		a[entry.Name()] = asset{content: content, etag: `"` + hex.EncodeToString(sum[:12]) + `"`}
	}
	return a
}

func (a assets) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	file, ok := a[r.URL.Path]
	if !ok {
		http.NotFound(rw, r)
		return
	}
	rw.Header().Set("ETag", file.etag)
	rw.Header().Set("Cache-Control", "no-cache")
	http.ServeContent(rw, r, r.URL.Path, time.Time{}, bytes.NewReader(file.content))
}
