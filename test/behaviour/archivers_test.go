package behaviour_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/test/chatdtest"
)

// Each archiver tells of the partitions that it has now, so that one may add
// them up.
func TestArchiversTellTheirLag(t *testing.T) {
	c := chatdtest.StartCluster(t)
	awaitMetrics(t, c.Archivers[0], "chat_archive_partitions 4\n", "chat_archive_lag_messages 0\n")
	user := chatdtest.Register(t, c.Server(0), "amir")
	user.Send(t.Context(), user.CreateSession(t), "hi", "")
	awaitMetrics(t, c.Archivers[0], "chat_archive_messages_total 1\n", "chat_archive_lag_messages 0\n")
	second := c.AddArchiver()
	for _, s := range []*chatdtest.Server{c.Archivers[0], second} {
		awaitMetrics(t, s, "chat_archive_partitions 2\n", "chat_archive_lag_messages 0\n")
	}
}

// awaitMetrics waits until a process shows all of some series.
func awaitMetrics(t *testing.T, s *chatdtest.Server, want ...string) {
	t.Helper()
	c := chatdtest.NewClient(s)
	c.API = s.Metrics
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	deadline := time.Now().Add(60 * time.Second)
	for range poll.C {
		answer, err := c.Call(t.Context(), http.MethodGet, "/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		lacking := ""
		for _, series := range want {
			if !strings.Contains(string(answer.Body), series) {
				lacking += series
			}
		}
		if lacking == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("/metrics lacks\n%s", lacking)
		}
	}
}
