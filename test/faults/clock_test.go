package faults_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chatcluster/chatcluster/test/faults"
)

// TestClockOverlay: the overlay fits the standard library of the go command
// that builds with it.
func TestClockOverlay(t *testing.T) {
	module, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := faults.ClockOverlay(t.TempDir(), goroot(t), module)
	if err != nil {
		t.Fatal(err)
	}
	// The run builds it, and looks whether the clocks jump.
	cmd := exec.Command("go", "list", "-overlay", overlay, "-f", "{{.GoFiles}}", "time", "github.com/chatcluster/chatcluster/cmd/chatd")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	for _, want := range []string{"wallclock.go", "clock_overlay.go"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("got files %s, want %s among them", out, want)
		}
	}
}

func goroot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
