// Package layers_test holds the code to the layers of docs/architecture.md.
package layers_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/chatcluster/chatcluster/"

// rule says what the packages below a folder of the module may import.
type rule struct {
	// folder is the path below the module; the first rule that fits counts.
	folder string
	// internal lists the folders of the module that it may import, besides its
	// own.
	internal []string
}

// Both sides import chat; chat imports neither, and neither imports the other:
// only a main joins them, and the doctor, which looks at all of a cluster.
var rules = []rule{
	{"internal/chat", []string{"internal/coalesce"}},
	{"internal/coalesce", nil},
	{"internal/metrics", []string{"internal/chat"}},
	{"internal/lifecycle", nil},
	{"internal/readiness", nil},
	{"internal/config", nil},
	{"internal/clientaddr", nil},
	{"internal/httpauth", []string{"internal/chat"}},
	{"internal/api", []string{"internal/chat", "internal/metrics", "internal/httpauth", "internal/readiness"}},
	{"internal/gateway", []string{"internal/chat", "internal/metrics", "internal/httpauth"}},
	{"internal/web", []string{"internal/chat", "internal/httpauth"}},
	{"internal/archive", []string{"internal/chat", "internal/metrics"}},
	{"internal/clean", []string{"internal/chat"}},
	{"internal/control", []string{"internal/chat", "internal/clean"}},
	{"internal/log", []string{"internal/chat"}},
	{"internal/store", []string{"internal/chat"}},
	{"internal/client", nil},
	{"internal/connect", []string{"internal/config", "internal/log/kafka", "internal/store/cassandra"}},
	{"internal/doctor", []string{"internal/chat", "internal/log/kafka", "internal/store/cassandra"}},
	{"internal/ctl", []string{"internal/client", "internal/config", "internal/connect", "internal/doctor"}},
	{"cmd/chatctl", []string{"internal/client", "internal/ctl"}},
	{"operator", []string{"internal/config"}},
	{"cmd/chat-operator", []string{"operator"}},
}

// drivers may be imported below these folders only.
var drivers = map[string][]string{
	"github.com/cockroachdb/pebble":            {"internal/store/local"},
	"github.com/segmentio/kafka-go":            {"internal/log/kafka", "test"},
	"github.com/apache/cassandra-gocql-driver": {"internal/store/cassandra", "test"},
	"github.com/gorilla/websocket":             {"internal/gateway", "internal/client", "test"},
	"k8s.io":                                   {"operator", "cmd/chat-operator", "test/e2e"},
	"sigs.k8s.io":                              {"operator", "cmd/chat-operator", "test/e2e"},
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func TestLayers(t *testing.T) {
	for _, pkg := range list(t) {
		folder := strings.TrimPrefix(pkg.ImportPath, module)
		for _, imported := range pkg.Imports {
			checkInternal(t, folder, imported)
			checkDriver(t, folder, imported)
		}
	}
}

func checkInternal(t *testing.T, folder, imported string) {
	target, ours := strings.CutPrefix(imported, module)
	if !ours {
		return
	}
	for _, r := range rules {
		if !below(folder, r.folder) {
			continue
		}
		for _, allowed := range append(r.internal, r.folder) {
			if below(target, allowed) {
				return
			}
		}
		t.Errorf("%s imports %s, which the layer %s may not", folder, target, r.folder)
		return
	}
}

func checkDriver(t *testing.T, folder, imported string) {
	for driver, folders := range drivers {
		if !below(imported, driver) {
			continue
		}
		for _, allowed := range folders {
			if below(folder, allowed) {
				return
			}
		}
		t.Errorf("%s imports %s, which only %q may", folder, imported, folders)
	}
}

func below(path, folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }

// list asks the go command for the packages, without their tests: a test may
// join layers.
func list(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []goPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var pkg goPackage
		if err := decoder.Decode(&pkg); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("read go list: %v", err)
		}
		packages = append(packages, pkg)
	}
	if len(packages) < 10 {
		t.Fatalf("go list found %d packages, want all of them", len(packages))
	}
	return packages
}
