package benchcluster_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// cpuOf is the processor time that a process has used. The scheduler counts it
// for each thread in nanoseconds; /proc/PID/stat would do in steps of 10 ms.
func cpuOf(b *testing.B, pid int) time.Duration {
	b.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(threads) == 0 {
		b.Fatalf("threads of process %d: got %d and error %v, want some", pid, len(threads), err)
	}
	var sum time.Duration
	for _, path := range threads {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // the thread has ended meanwhile
		}
		used, err := strconv.ParseInt(strings.Fields(string(data))[0], 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(used)
	}
	return sum
}

// listenerAt is the process of this machine that listens at a port of address.
func listenerAt(b *testing.B, address string) int {
	b.Helper()
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		b.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		b.Fatal(err)
	}
	link := fmt.Sprintf("socket:[%s]", listeningInode(b, port))
	descriptors, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		b.Fatal(err)
	}
	for _, path := range descriptors {
		if target, err := os.Readlink(path); err == nil && target == link {
			pid, err := strconv.Atoi(strings.Split(path, "/")[2])
			if err != nil {
				b.Fatal(err)
			}
			return pid
		}
	}
	b.Fatalf("nothing on this machine listens at %s", address)
	return 0
}

func listeningInode(b *testing.B, port int) string {
	b.Helper()
	const listening = "0A"
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		data, err := os.ReadFile(table)
		if err != nil {
			b.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == listening && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				return f[9]
			}
		}
	}
	b.Fatalf("nothing on this machine listens at port %d", port)
	return ""
}
