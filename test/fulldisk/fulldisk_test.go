// Package fulldisk_test fills the disk under a running server: what it cannot
// keep it refuses, and it loses nothing.
package fulldisk_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/chatcluster/chatcluster/test/chatdtest"
	"github.com/chatcluster/chatcluster/test/checker"
)

func TestMain(m *testing.M) {
	code := m.Run()
	chatdtest.RemoveBinaries()
	os.Exit(code)
}

// smallDisk wraps a command so that dir is a disk of its own for it, in a mount
// namespace that ends with it; no right is needed where users may have one.
func smallDisk(dir string) []string {
	return []string{"unshare", "--map-root-user", "--mount", "sh", "-c", `mount -t tmpfs -o size=256m tmpfs "$0" && exec "$@"`, dir}
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	s, err := chatdtest.StartWrapped(t, smallDisk(dir), dir, "--send-rate=0")
	if err != nil {
		t.Fatalf("start on a small disk (needs util-linux's unshare, and user namespaces): %v", err)
	}
	log := &checker.Log{}
	user := chatdtest.Register(t, s, "amir")
	uri := user.CreateSession(t)
	send := func(text string) (status int) {
		t.Helper()
		answer, err := user.Call(t.Context(), http.MethodPost, "/api/chats/"+uri+"/messages/", url.Values{"message": {text}})
		if err != nil {
			t.Fatalf("the server is gone: %v\n%s", err, s.Output())
		}
		if answer.Status != http.StatusOK && answer.Header.Get("Retry-After") == "" && answer.Status == http.StatusServiceUnavailable {
			t.Errorf("a 503 without Retry-After")
		}
		log.AddSend(user.Logged(answer, uri, text))
		return answer.Status
	}
	for n := range 20 {
		if status := send(fmt.Sprint("before ", n)); status != http.StatusOK {
			t.Fatalf("send: got %d, want 200", status)
		}
	}

	// The disk as the server sees it.
	filler := filepath.Join("/proc", fmt.Sprint(s.PID()), "root", dir, "filler")
	fill(t, filler)
	refusals, accepted := 0, 0
	for n := range 2000 {
		switch status := send(fmt.Sprint("full ", n, strings.Repeat(" x", 4000))); status {
		case http.StatusOK:
			accepted++ // into what was left of a block
		case http.StatusInsufficientStorage, http.StatusServiceUnavailable:
			refusals++
		default:
			t.Fatalf("send to a full disk: got %d, want 507 or 503", status)
		}
		if refusals == 10 {
			break
		}
	}
	if refusals == 0 {
		t.Errorf("%d messages of 8 kB were accepted by a full disk", accepted)
	}
	check(t, user, log, uri)

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		if status := send(fmt.Sprint("after ", n)); status != http.StatusOK {
			t.Fatalf("send once there is space again: got %d, want 200\n%s", status, s.Output())
		}
	}
	check(t, user, log, uri)
}

// fill writes to path until nothing more fits.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		switch _, err := f.Write(make([]byte, size)); {
		case errors.Is(err, syscall.ENOSPC):
			size /= 2
		case err != nil:
			t.Fatal(err)
		}
	}
}

func check(t *testing.T, user *chatdtest.Client, log *checker.Log, uri string) {
	t.Helper()
	final, err := user.WholeHistory(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range log.Check(map[string][]checker.Message{uri: final}) {
		t.Error(v)
	}
}
