package local_test

import (
	"testing"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/log/local"
	"github.com/chatcluster/chatcluster/internal/log/logtest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if killChild() {
		return
	}
	goleak.VerifyTestMain(m)
}

func TestConformance(t *testing.T) {
	tests := []struct {
		name    string
		options local.Options
	}{
		{"1 partition", local.Options{}},
		{"4 partitions", local.Options{Partitions: partitions(4)}},
		{"small segments, no cache", local.Options{Partitions: partitions(2), SegmentBytes: 2000, CacheBytes: 1}},
		{"all topics synced", local.Options{Sync: chat.Topics()}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dirs := make(map[chat.Log]string)
			open := func(t *testing.T, dir string) chat.Log {
				l := openLog(t, dir, test.options)
				dirs[l] = dir
				return l
			}
			logtest.Run(t, logtest.Backend{
				Open: func(t *testing.T) chat.Log { return open(t, t.TempDir()) },
				Reopen: func(t *testing.T, l chat.Log) chat.Log {
					closeLog(t, l.(*local.Log))
					return open(t, dirs[l])
				},
				TooLarge: 1<<20 + 1,
			})
		})
	}
}

func partitions(n int32) map[chat.Topic]int32 {
	m := make(map[chat.Topic]int32)
	for _, t := range chat.Topics() {
		m[t] = n
	}
	return m
}

// openLog opens a log that ends with the test.
func openLog(t testing.TB, dir string, options local.Options) *local.Log {
	t.Helper()
	l, err := local.Open(dir, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeLog(t, l) })
	return l
}

func closeLog(t testing.TB, l *local.Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}
