package browser_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/test/chatdtest"
)

const (
	adminName     = "root"
	adminPassword = "a password of the administrator"
)

func TestMain(m *testing.M) {
	code := m.Run()
	chatdtest.RemoveBinaries()
	os.Exit(code)
}

// someServer is the site that CHAT_SITE names, else a server of its own, and a word for
// names that nobody has there.
func someServer(t *testing.T) (site, word string) {
	t.Helper()
	if site := os.Getenv("CHAT_SITE"); site != "" {
		return site, strconv.FormatInt(time.Now().UnixMilli(), 36)
	}
	return startServer(t), ""
}

// startServer runs the whole server, with one administrator, and returns its
// site's address.
func startServer(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	server := chatdtest.Start(t, dir)
	_, stderr, err := chatdtest.Run(t, adminPassword+"\n", "chatd",
		"create-superuser", "--data-dir", dir, "--username", adminName, "--email", "root@mail.example", "--password-stdin")
	if err != nil {
		t.Fatalf("create the administrator: %v\n%s", err, stderr)
	}
	return "http://" + server.API
}
