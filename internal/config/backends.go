package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// TLS is how to reach a backend over TLS.
type TLS struct {
	// Enabled turns TLS on. CAFile is a PEM file of the authorities to trust
	// instead of the system's; CertFile and KeyFile are the client's own.
	Enabled                   bool
	CAFile, CertFile, KeyFile string
}

// Config is the setting as crypto/tls knows it; nil if TLS is off.
func (t TLS) Config() (*tls.Config, error) {
	if !t.Enabled {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read authorities: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM form", t.CAFile)
		}
	}
	if t.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read client certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}

func (t TLS) validate(v *validator, backend string) {
	v.check((t.CertFile == "") == (t.KeyFile == ""), backend+"-tls-cert", "and %s-tls-key go together", backend)
	v.check(t.Enabled || t.CAFile+t.CertFile == "", backend+"-tls", "must be set for its certificates to be used")
}

// secret is the value, or the content of the file that holds it.
func secret(value, file string) (string, error) {
	if file == "" {
		return value, nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	return strings.TrimRight(string(content), "\r\n"), nil
}

// Kafka is how a cluster reaches its log, and how migrate makes it.
type Kafka struct {
	Brokers      []string `yaml:"kafka-brokers"`
	TopicPrefix  string   `yaml:"kafka-topic-prefix"`
	TLSEnabled   bool     `yaml:"kafka-tls"`
	TLSCA        string   `yaml:"kafka-tls-ca"`
	TLSCert      string   `yaml:"kafka-tls-cert"`
	TLSKey       string   `yaml:"kafka-tls-key"`
	Mechanism    string   `yaml:"kafka-sasl-mechanism"`
	Username     string   `yaml:"kafka-username"`
	Password     string   `yaml:"kafka-password"`
	PasswordFile string   `yaml:"kafka-password-file"`

	Partitions        int32         `yaml:"kafka-partitions"`
	ReplicationFactor int           `yaml:"kafka-replication-factor"`
	MinInsync         int           `yaml:"kafka-min-insync-replicas"`
	Retention         time.Duration `yaml:"kafka-retention"`
	ArchiverGroup     string        `yaml:"archiver-group"`
}

func defaultKafka() Kafka {
	return Kafka{
		TopicPrefix: "chat", Partitions: 64, ReplicationFactor: 3, MinInsync: 2,
		Retention: 72 * time.Hour, ArchiverGroup: "chat-archivers",
	}
}

func (k *Kafka) bind(fs *pflag.FlagSet) {
	fs.StringSliceVar(&k.Brokers, "kafka-brokers", k.Brokers, "host:port of some Kafka brokers; with cassandra-hosts, makes the server part of a cluster")
	fs.StringVar(&k.TopicPrefix, "kafka-topic-prefix", k.TopicPrefix, "what the names of the topics begin with")
	fs.BoolVar(&k.TLSEnabled, "kafka-tls", k.TLSEnabled, "reach Kafka over TLS")
	fs.StringVar(&k.TLSCA, "kafka-tls-ca", k.TLSCA, "PEM file of the authorities to trust; the system's if empty")
	fs.StringVar(&k.TLSCert, "kafka-tls-cert", k.TLSCert, "PEM file of the client's certificate")
	fs.StringVar(&k.TLSKey, "kafka-tls-key", k.TLSKey, "PEM file of the client's key")
	fs.StringVar(&k.Mechanism, "kafka-sasl-mechanism", k.Mechanism, "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; none if empty")
	fs.StringVar(&k.Username, "kafka-username", k.Username, "user for SASL")
	fs.StringVar(&k.Password, "kafka-password", k.Password, "password for SASL; better in a variable or a file")
	fs.StringVar(&k.PasswordFile, "kafka-password-file", k.PasswordFile, "file with the password for SASL")
	fs.Int32Var(&k.Partitions, "kafka-partitions", k.Partitions, "partitions of the topics of messages and rooms, for migrate; they never shrink")
	fs.IntVar(&k.ReplicationFactor, "kafka-replication-factor", k.ReplicationFactor, "replicas of each partition, for migrate")
	fs.IntVar(&k.MinInsync, "kafka-min-insync-replicas", k.MinInsync, "replicas that must have a message before it is acknowledged, for migrate")
	fs.DurationVar(&k.Retention, "kafka-retention", k.Retention, "how long Kafka keeps messages: longer than the archivers may be down, for migrate")
	fs.StringVar(&k.ArchiverGroup, "archiver-group", k.ArchiverGroup, "consumer group by which archivers share the partitions")
}

// TLS is how to reach Kafka over TLS.
func (k *Kafka) TLS() TLS {
	return TLS{Enabled: k.TLSEnabled, CAFile: k.TLSCA, CertFile: k.TLSCert, KeyFile: k.TLSKey}
}

// Secret is the password for SASL.
func (k *Kafka) Secret() (string, error) { return secret(k.Password, k.PasswordFile) }

func (k *Kafka) validate(v *validator) {
	k.TLS().validate(v, "kafka")
	v.oneOf("kafka-sasl-mechanism", k.Mechanism, "", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
	v.check(k.Mechanism == "" || k.Username != "", "kafka-username", "is needed for kafka-sasl-mechanism")
	v.check(k.TopicPrefix != "", "kafka-topic-prefix", "must not be empty")
	v.check(k.ArchiverGroup != "", "archiver-group", "must not be empty")
	v.integer("kafka-partitions", int(k.Partitions), 1, 4096)
	v.integer("kafka-replication-factor", k.ReplicationFactor, 1, 15)
	v.integer("kafka-min-insync-replicas", k.MinInsync, 1, k.ReplicationFactor)
	v.duration("kafka-retention", k.Retention, time.Hour, 10*365*24*time.Hour)
}

// Cassandra is how a cluster reaches its store.
type Cassandra struct {
	Hosts        []string      `yaml:"cassandra-hosts"`
	Keyspace     string        `yaml:"cassandra-keyspace"`
	Replication  string        `yaml:"cassandra-replication"`
	Datacenter   string        `yaml:"cassandra-datacenter"`
	TLSEnabled   bool          `yaml:"cassandra-tls"`
	TLSCA        string        `yaml:"cassandra-tls-ca"`
	TLSCert      string        `yaml:"cassandra-tls-cert"`
	TLSKey       string        `yaml:"cassandra-tls-key"`
	Username     string        `yaml:"cassandra-username"`
	Password     string        `yaml:"cassandra-password"`
	PasswordFile string        `yaml:"cassandra-password-file"`
	Timeout      time.Duration `yaml:"cassandra-timeout"`
}

func defaultCassandra() Cassandra {
	return Cassandra{Keyspace: "chat", Replication: "{'class': 'SimpleStrategy', 'replication_factor': 3}", Timeout: 5 * time.Second}
}

func (c *Cassandra) bind(fs *pflag.FlagSet) {
	fs.StringSliceVar(&c.Hosts, "cassandra-hosts", c.Hosts, "host or host:port of some Cassandra nodes")
	fs.StringVar(&c.Keyspace, "cassandra-keyspace", c.Keyspace, "keyspace of the tables")
	fs.StringVar(&c.Replication, "cassandra-replication", c.Replication, "replication of the keyspace, as CQL has it, for migrate where there is no keyspace yet")
	fs.StringVar(&c.Datacenter, "cassandra-datacenter", c.Datacenter, "datacenter to prefer; any if empty")
	fs.BoolVar(&c.TLSEnabled, "cassandra-tls", c.TLSEnabled, "reach Cassandra over TLS")
	fs.StringVar(&c.TLSCA, "cassandra-tls-ca", c.TLSCA, "PEM file of the authorities to trust; the system's if empty")
	fs.StringVar(&c.TLSCert, "cassandra-tls-cert", c.TLSCert, "PEM file of the client's certificate")
	fs.StringVar(&c.TLSKey, "cassandra-tls-key", c.TLSKey, "PEM file of the client's key")
	fs.StringVar(&c.Username, "cassandra-username", c.Username, "user")
	fs.StringVar(&c.Password, "cassandra-password", c.Password, "password; better in a variable or a file")
	fs.StringVar(&c.PasswordFile, "cassandra-password-file", c.PasswordFile, "file with the password")
	fs.DurationVar(&c.Timeout, "cassandra-timeout", c.Timeout, "how long a query may take")
}

// TLS is how to reach Cassandra over TLS.
func (c *Cassandra) TLS() TLS {
	return TLS{Enabled: c.TLSEnabled, CAFile: c.TLSCA, CertFile: c.TLSCert, KeyFile: c.TLSKey}
}

// Secret is the password.
func (c *Cassandra) Secret() (string, error) { return secret(c.Password, c.PasswordFile) }

func (c *Cassandra) validate(v *validator) {
	c.TLS().validate(v, "cassandra")
	v.check(c.Keyspace != "", "cassandra-keyspace", "must not be empty")
	v.check(c.Password+c.PasswordFile == "" || c.Username != "", "cassandra-username", "is needed for a password")
	v.duration("cassandra-timeout", c.Timeout, 100*time.Millisecond, time.Minute)
}
