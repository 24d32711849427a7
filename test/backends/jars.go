package backends

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

//go:embed kafka/pom.xml cassandra/pom.xml cassandra/logback.xml
var files embed.FS

// java runs the nodes, mvn resolves their jars.
const installCommand = "apt-get install -y openjdk-17-jdk-headless maven"

// jars returns the folder with the jars of the product's pom.xml. They are
// resolved once, into the user's cache, under a lock against other tests.
func jars(ctx context.Context, product string) (string, error) {
	for _, tool := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", fmt.Errorf("%s is needed to run %s: %w; to install it: %s", tool, product, err, installCommand)
		}
	}
	pom, err := files.ReadFile(product + "/pom.xml")
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache: %w", err)
	}
	// The name follows from the pom.xml, so that a new version of anything in
	// it is a new folder.
	sum := sha256.Sum256(pom)
	dir := filepath.Join(cache, "chatcluster", product+"-"+hex.EncodeToString(sum[:6]))
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	lock, err := lockFile(dir+".lock", syscall.LOCK_EX)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	lib := filepath.Join(dir, "lib")
	if _, err := os.Stat(lib); err == nil {
		return lib, nil
	}
	return lib, resolve(ctx, dir, pom)
}

// resolve fills dir; it is there only once it is complete.
func resolve(ctx context.Context, dir string, pom []byte) error {
	partial := dir + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return err
	}
	if err := os.MkdirAll(partial, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(partial, "pom.xml"), pom, 0o644); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib", "-DincludeScope=runtime")
	cmd.Dir = partial
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("resolve jars: %s in %s: %w\n%s", cmd, partial, err, bytes.TrimSpace(output))
	}
	return os.Rename(partial, dir)
}

// lockFile takes a lock of the file, which lasts until it is closed or the
// process ends. With syscall.LOCK_NB it does not wait.
func lockFile(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), how); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}
