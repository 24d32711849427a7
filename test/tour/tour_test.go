// Package tour_test runs the README's tour, as its reader would.
package tour_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chatcluster/chatcluster/test/chatdtest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	chatdtest.RemoveBinaries()
	os.Exit(code)
}

// commands are the tour's shell blocks, in order.
func commands(t *testing.T) string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, tour, found := strings.Cut(string(readme), "<!-- tour:")
	if !found {
		t.Fatal("README.md has no tour")
	}
	var script strings.Builder
	for _, block := range strings.Split(tour, "```sh\n")[1:] {
		code, _, _ := strings.Cut(block, "```")
		script.WriteString(code)
	}
	return script.String()
}

// TestTour runs the commands against a server at ports of its own, and checks
// what the reader is to see.
func TestTour(t *testing.T) {
	s := chatdtest.Start(t, t.TempDir())
	script := strings.NewReplacer(
		"127.0.0.1:8000", s.API,
		"go build -o bin/ ./cmd/...", "mkdir -p bin && cp "+chatdtest.Binary(t, "chatctl")+" bin/",
		"go run ./cmd/chatd", chatdtest.Binary(t, "chatd"),
	).Replace(commands(t))

	home := t.TempDir()
	shell := exec.CommandContext(t.Context(), "bash", "-euxo", "pipefail", "-c", script)
	shell.Dir = home
	shell.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "CHATD_DATA_DIR="+s.DataDir)
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("the tour failed: %v\n%s\nserver:\n%s", err, out, s.Output())
	}
	for _, want := range []string{
		`{"email":"amir@mail.com","username":"amir","id":1}`,
		`"message":"binh joined that chat"`,
		`"message":"Hello!"`,
		`Hello again!`,
		`Superuser root created with id 3.`,
		`"title":"Lobby"`,
		`"deleted":0`,
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the tour does not show %s:\n%s", want, out)
		}
	}
}

// TestLinks follows each relative link of the documents.
func TestLinks(t *testing.T) {
	documents, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	decisions, err := filepath.Glob("../../docs/adr/*.md")
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([^):#]+)[^)]*\)`)
	for _, document := range append(append(documents, decisions...), "../../README.md") {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(document), match[1])); err != nil {
				t.Errorf("%s leads nowhere: %v", document, err)
			}
		}
	}
}
