package cassandra_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/store/cassandra"
	"github.com/chatcluster/chatcluster/test/backends"
)

func TestMigrateAtOnce(t *testing.T) {
	o := newOptions(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := cassandra.Migrate(t.Context(), o); err != nil {
				t.Errorf("migrate: got error %v, want none", err)
			}
		})
	}
	all.Wait()
	migrate(t, o) // once more changes nothing
	s := open(t, o)
	if _, err := s.CreateUser(t.Context(), chat.User{Profile: chat.Profile{Username: "user_a"}}); err != nil {
		t.Errorf("create user: got error %v, want none", err)
	}
}

// TestMigrateWaitsForLock: the lock of a migration that died does not last.
func TestMigrateWaitsForLock(t *testing.T) {
	o := newOptions(t)
	migrate(t, o)
	session := newSession(t, o)
	defer session.Close()
	for _, stmt := range []string{
		`DELETE FROM ` + o.Keyspace + `.schema_versions WHERE name = 'schema'`,
		`INSERT INTO ` + o.Keyspace + `.schema_locks (name, owner) VALUES ('schema', 'another') IF NOT EXISTS USING TTL 2`,
	} {
		if err := session.Query(stmt).Exec(); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	migrate(t, o)
	if took := time.Since(began); took < time.Second {
		t.Errorf("migrate: got done after %v, want it to wait for the lock's 2 s", took)
	}
}

func TestSchemaVersion(t *testing.T) {
	tests := []struct {
		name                   string
		release, found, oldest int
		want                   bool
	}{
		{"none", 3, 0, 0, false},
		{"older", 3, 2, 1, false},
		{"the same", 3, 3, 2, true},
		{"newer, made to work with this release", 3, 4, 3, true},
		{"newer, made for later releases", 3, 5, 4, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := cassandra.ReadableBy(test.release, test.found, test.oldest); got != test.want {
				t.Errorf("release %d reads schema %d (made for %d and later): got %t, want %t", test.release, test.found, test.oldest, got, test.want)
			}
		})
	}
}

func TestOpenRefusesSchema(t *testing.T) {
	o := newOptions(t)
	wantRefused := func(says string) {
		t.Helper()
		s, err := cassandra.Open(t.Context(), o)
		if err == nil {
			s.Close()
		}
		var refused *cassandra.SchemaError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), says) {
			t.Errorf("open: got error %v, want a SchemaError that says %q", err, says)
		}
	}
	wantRefused("has no schema, and this release needs version 2")
	migrate(t, o)
	session := newSession(t, o)
	defer session.Close()
	err := session.Query(`INSERT INTO ` + o.Keyspace + `.schema_versions (name, version, oldest_reader) VALUES ('schema', 9, 8)`).Exec()
	if err != nil {
		t.Fatal(err)
	}
	wantRefused("has schema version 9, and this release works with version 2 only")
	if err := cassandra.Migrate(t.Context(), o); err == nil {
		t.Errorf("migrate: got no error, want a SchemaError")
	}
}

func TestOpenErrors(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	listener.Close()
	tests := []struct {
		name    string
		options cassandra.Options
		want    error
		says    string
	}{
		{"no hosts", cassandra.Options{}, nil, "no Cassandra hosts"},
		{"not a keyspace", cassandra.Options{Hosts: []string{closed}, Keyspace: `x"; DROP`}, nil, "small letter"},
		{"nobody listens", cassandra.Options{Hosts: []string{closed}}, chat.ErrUnavailable, closed},
		{"TLS where there is none", cassandra.Options{Hosts: backends.Cassandra(t), TLS: &tls.Config{}}, nil, "tls"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			wantOpenError(t, test.options, test.want, test.says)
		})
	}
}

func wantOpenError(t *testing.T, o cassandra.Options, want error, says string) {
	t.Helper()
	for act, call := range map[string]func() error{
		"open": func() error {
			s, err := cassandra.Open(t.Context(), o)
			if err == nil {
				s.Close()
			}
			return err
		},
		"migrate": func() error { return cassandra.Migrate(t.Context(), o) },
	} {
		began := time.Now()
		err := call()
		if err == nil || want != nil && !errors.Is(err, want) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got error %v, want %v that says %q", act, err, want, says)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s: got the error after %v, want it soon", act, took)
		}
	}
}

func TestPassword(t *testing.T) {
	c := backends.CassandraCluster(t, 1, "authenticator: PasswordAuthenticator", "authorizer: CassandraAuthorizer")
	o := cassandra.Options{Hosts: c.Addrs(), Username: "cassandra", Password: "cassandra"}
	// The first user is made a moment after the node answers.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for cassandra.Migrate(ctx, o) != nil {
		select {
		case <-ctx.Done():
			t.Fatalf("migrate: got no success within a minute, want one")
		case <-time.After(time.Second):
		}
	}
	s := open(t, o)

	wrong := o
	wrong.Password = "wrong"
	wantOpenError(t, wrong, nil, "password")
	wrong.Username = ""
	wantOpenError(t, wrong, nil, "authentication")

	// A node that stops answering is unavailable, soon.
	c.Nodes[0].Pause(t)
	began := time.Now()
	if _, err := s.UserByID(t.Context(), 1); !errors.Is(err, chat.ErrUnavailable) {
		t.Errorf("read from a paused node: got error %v, want %v", err, chat.ErrUnavailable)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("read from a paused node: got the error after %v, want it soon", took)
	}
	c.Nodes[0].Kill(t)
	if err := s.SetCutoff(t.Context(), time.Now()); !errors.Is(err, chat.ErrUnavailable) {
		t.Errorf("write to a dead node: got error %v, want %v", err, chat.ErrUnavailable)
	}
}
