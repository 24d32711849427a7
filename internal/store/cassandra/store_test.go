package cassandra_test

import (
	"crypto/rand"
	"strings"
	"testing"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"go.uber.org/goleak"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/store/cassandra"
	"github.com/chatcluster/chatcluster/internal/store/storetest"
	"github.com/chatcluster/chatcluster/test/backends"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, backends.IgnoreNodes()) }

// newOptions are for a keyspace of the test's own, which is dropped when the
// test ends.
func newOptions(t testing.TB) cassandra.Options {
	t.Helper()
	o := cassandra.Options{Hosts: backends.Cassandra(t), Keyspace: "test_" + strings.ToLower(rand.Text())}
	t.Cleanup(func() {
		session := newSession(t, o)
		defer session.Close()
		if err := session.Query(`DROP KEYSPACE IF EXISTS ` + o.Keyspace).Exec(); err != nil {
			t.Errorf("drop keyspace: got error %v, want none", err)
		}
	})
	return o
}

// newSession is a session to look behind the store.
func newSession(t testing.TB, o cassandra.Options) *gocql.Session {
	t.Helper()
	session, err := gocql.NewCluster(o.Hosts...).CreateSession()
	if err != nil {
		t.Fatalf("connect: got error %v, want none", err)
	}
	return session
}

func migrate(t testing.TB, o cassandra.Options) {
	t.Helper()
	if err := cassandra.Migrate(t.Context(), o); err != nil {
		t.Fatalf("migrate: got error %v, want none", err)
	}
}

func open(t testing.TB, o cassandra.Options) *cassandra.Store {
	t.Helper()
	s, err := cassandra.Open(t.Context(), o)
	if err != nil {
		t.Fatalf("open: got error %v, want none", err)
	}
	t.Cleanup(s.Close)
	return s
}

// TestStore runs on one keyspace: to make one takes longer than most of its
// tests.
func TestStore(t *testing.T) {
	o := newOptions(t)
	migrate(t, o)
	t.Run("conformance", func(t *testing.T) {
		s := open(t, o)
		storetest.Run(t, func(*testing.T) chat.Store { return s })
	})
	for _, test := range []struct {
		name string
		run  func(*testing.T, cassandra.Options)
	}{
		{"epochs", epochs},
		{"epochs that many ask for at once", epochsOfManyAtOnce},
		{"many buckets", manyBuckets},
		{"a relieved writer goes on", relievedWriter},
		{"a replay after a delete", replayAfterDelete},
		{"rows expire by their own time", rowsExpire},
		{"classes of retention", classesOfRetention},
		{"text that is not UTF-8", foreignText},
		{"a stale watermark", staleWatermark},
		{"a creator who died half-way", deadCreator},
		{"members come and go at once", memberChurn},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, o) })
	}
}
