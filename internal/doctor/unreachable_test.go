package doctor_test

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/doctor"
	"github.com/chatcluster/chatcluster/internal/log/kafka"
	"github.com/chatcluster/chatcluster/internal/store/cassandra"
)

// silent is an address that takes connections and never says anything.
func silent(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener.Addr().String()
}

// TestUnreachable examines what is not there at all: one line for each, soon.
func TestUnreachable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	listener.Close()
	broker, node, api := silent(t), silent(t), silent(t)
	began := time.Now()
	findings := doctor.Examine(t.Context(), doctor.Options{
		Kafka:     kafka.Options{Brokers: []string{closed, broker}, Logger: slog.New(slog.DiscardHandler)},
		Cassandra: cassandra.Options{Hosts: []string{closed, node, "no-such-host.invalid"}},
		Server:    "http://" + api,
		Gateway:   "ws://" + closed,
		LagWarn:   1, LagFail: 2, LagPause: time.Second,
	})
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %v, want it to end soon", took)
	}
	wantFindings(t, findings,
		"FAIL kafka broker "+closed+"|refused", "FAIL kafka broker "+broker+"|deadline",
		"FAIL cassandra node "+closed+"|refused|start it", "FAIL cassandra node "+node, "FAIL cassandra node no-such-host.invalid|cassandra-hosts",
		"warn archive|not measured", "FAIL api http://"+api+"|/livez", "FAIL gateway http://"+closed+"|refused")
	if got := doctor.Failed(findings); got != 7 {
		t.Errorf("got %d failed, want 7", got)
	}
}

func TestNothingToExamine(t *testing.T) {
	if got := doctor.Examine(t.Context(), doctor.Options{}); len(got) != 0 {
		t.Errorf("got %q, want no findings", got)
	}
}
