package connect_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/config"
	"github.com/chatcluster/chatcluster/internal/connect"
	"github.com/chatcluster/chatcluster/internal/log/kafka"
	"github.com/chatcluster/chatcluster/internal/store/cassandra"
)

func TestOptions(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	c := config.Default()
	c.Kafka.Brokers, c.Kafka.TopicPrefix = []string{"a:1"}, "prefix"
	c.Kafka.Mechanism, c.Kafka.Username, c.Kafka.PasswordFile = "PLAIN", "user", password
	c.Cassandra.Hosts, c.Cassandra.Keyspace, c.Cassandra.Datacenter = []string{"b"}, "space", "dc"
	c.Cassandra.Username, c.Cassandra.Password, c.Cassandra.Timeout = "other", "given", time.Second

	log, store, err := connect.Options(c, "id", logger)
	if err != nil {
		t.Fatal(err)
	}
	wantLog := kafka.Options{
		Brokers: []string{"a:1"}, TopicPrefix: "prefix", ClientID: "id", Logger: logger,
		SASL: &kafka.SASL{Mechanism: "PLAIN", Username: "user", Password: "from-file"},
	}
	if !reflect.DeepEqual(log, wantLog) {
		t.Errorf("Kafka: got %+v, want %+v", log, wantLog)
	}
	wantStore := cassandra.Options{
		Hosts: []string{"b"}, Keyspace: "space", Replication: c.Cassandra.Replication, DC: "dc",
		Username: "other", Password: "given", Timeout: time.Second, Logger: logger,
	}
	if !reflect.DeepEqual(store, wantStore) {
		t.Errorf("Cassandra: got %+v, want %+v", store, wantStore)
	}
}

// TestMissingFiles: what is wrong with either is reported at once.
func TestMissingFiles(t *testing.T) {
	c := config.Default()
	c.Kafka.PasswordFile = "no-such-password"
	c.Cassandra.TLSEnabled, c.Cassandra.TLSCA = true, "no-such-authority"
	_, _, err := connect.Options(c, "id", nil)
	if err == nil {
		t.Fatal("got no error, want one")
	}
	for _, want := range []string{"settings of Kafka", "no-such-password", "settings of Cassandra", "no-such-authority"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
}
