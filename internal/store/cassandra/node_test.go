package cassandra_test

import (
	"errors"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/store/cassandra"
)

func TestAskNode(t *testing.T) {
	o := newOptions(t)
	ask := func() cassandra.NodeState {
		t.Helper()
		n, err := cassandra.AskNode(t.Context(), o, o.Hosts[0])
		if err != nil {
			t.Fatalf("ask: got error %v, want none", err)
		}
		return n
	}
	if n := ask(); n.Schema == nil || n.Schema.Found != 0 || n.Schema.Want != cassandra.SchemaVersion {
		t.Errorf("without a keyspace: got schema %v, want none found", n.Schema)
	}
	migrate(t, o)
	n := ask()
	if n.Schema != nil {
		t.Errorf("after migrate: got schema %v, want that it is right", n.Schema)
	}
	// The node is on this machine, and its clock is cut to milliseconds.
	if n.Clock.Add(time.Millisecond).Before(n.Before) || n.Clock.After(n.After) {
		t.Errorf("clock: got %v, want between %v and %v", n.Clock, n.Before, n.After)
	}
	if _, err := cassandra.AskNode(t.Context(), o, "127.0.0.1:1"); !errors.Is(err, chat.ErrUnavailable) {
		t.Errorf("ask nobody: got error %v, want %v", err, chat.ErrUnavailable)
	}
}
