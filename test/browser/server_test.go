package browser_test

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	adminName     = "root"
	adminPassword = "a password of the administrator"
)

func startServer(t *testing.T) string {
	binary := filepath.Join(t.TempDir(), "chatd")
	build := exec.Command("go", "build", "-o", binary, "./test/devserver")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	cmd := exec.Command(binary, "--data-dir", t.TempDir(), "--api-addr", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), "PW="+adminPassword)
	cmd.Stderr = os.Stderr
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, _ := bufio.NewReader(out).ReadString('\n')
	_ = http.DefaultClient
	_ = fmt.Sprint
	_ = time.Now
	return "http://" + strings.TrimSpace(strings.TrimPrefix(line, "api "))
}
