package local_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/log/local"
)

// killDir makes the test binary the process that TestKill kills.
const killDir = "CHAT_LOG_KILL_DIR"

var killOptions = local.Options{SegmentBytes: 16 << 10}

// appendForever appends from several goroutines and writes a line for each
// record that was acknowledged. Each line is one write, so none is torn.
func appendForever(dir string, out io.Writer) error {
	l, err := local.Open(dir, killOptions)
	if err != nil {
		return err
	}
	failed := make(chan error)
	for i := range 8 {
		go func() {
			for n := 0; ; n++ {
				topic := chat.Topics()[n%len(chat.Topics())]
				value := fmt.Sprintf("%d-%d-%d", os.Getpid(), i, n)
				r, _, err := l.Append(context.Background(), chat.Partition{Topic: topic}, "room", []byte(value))
				if err == nil {
					_, err = fmt.Fprintf(out, "%d %d %s\n", topic, r.Offset, value)
				}
				if err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	return <-failed
}

// killChild runs what TestKill kills, if this process is that.
func killChild() (isChild bool) {
	dir := os.Getenv(killDir)
	if dir == "" {
		return false
	}
	fmt.Fprintln(os.Stderr, appendForever(dir, os.Stdout))
	return true
}

func TestKill(t *testing.T) {
	const kills = 12
	dir := t.TempDir()
	acknowledged := make(map[chat.Topic]map[int64]string)
	for _, topic := range chat.Topics() {
		acknowledged[topic] = make(map[int64]string)
	}
	for kill := range kills {
		runAndKill(t, dir, 20+37*kill, acknowledged)
		l, err := local.Open(dir, killOptions)
		if err != nil {
			t.Fatalf("Open after kill %d: %v", kill, err)
		}
		for topic, want := range acknowledged {
			checkHolds(t, l, chat.Partition{Topic: topic}, want)
		}
		closeLog(t, l)
	}
}

// runAndKill runs the child until it has acknowledged a number of records,
// kills it, and adds all that it has acknowledged.
func runAndKill(t *testing.T, dir string, records int, acknowledged map[chat.Topic]map[int64]string) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), killDir+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	kill := sync.OnceFunc(func() {
		if err := child.Process.Kill(); err != nil {
			t.Error(err)
		}
	})
	lines := bufio.NewScanner(out)
	n := 0
	for ; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		topic, topicErr := strconv.Atoi(fields[0])
		offset, offsetErr := strconv.ParseInt(fields[1], 10, 64)
		if err := errors.Join(topicErr, offsetErr); err != nil {
			t.Fatal(err)
		}
		of := acknowledged[chat.Topic(topic)]
		if other, ok := of[offset]; ok {
			t.Errorf("%s and %s were acknowledged at offset %d", other, fields[2], offset)
		}
		of[offset] = fields[2]
		if n == records {
			kill()
		}
	}
	kill()
	if err := child.Wait(); err == nil || n < records {
		t.Fatalf("child ended by itself after %d records: %v", n, err)
	}
}

// checkHolds checks that all acknowledged records are in their places, and that
// no value stands in two.
func checkHolds(t *testing.T, l *local.Log, p chat.Partition, want map[int64]string) {
	t.Helper()
	got := make(map[int64]string)
	seen := make(map[string]int64)
	b, err := l.Bounds(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	for from := b.First; from < b.Next; {
		page, err := l.Read(context.Background(), p, from, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records {
			value := string(r.Value)
			if other, ok := seen[value]; ok {
				t.Errorf("%s: %s stands at offsets %d and %d", p, value, other, r.Offset)
			}
			seen[value], got[r.Offset] = r.Offset, value
		}
		from = page.Next
	}
	for offset, value := range want {
		if got[offset] != value {
			t.Errorf("%s: offset %d holds %q, want the acknowledged %q", p, offset, got[offset], value)
		}
	}
}
