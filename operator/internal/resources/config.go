package resources

import (
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/chatcluster/chatcluster/internal/config"
	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	"gopkg.in/yaml.v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	corev1 "k8s.io/client-go/applyconfigurations/core/v1"
)

// Where the pods find their settings.
const (
	configFile = "chatd.yaml"
	configDir  = "/etc/chatd"
	// secretsDir is not below configDir: a mount cannot be made in another one that
	// is read-only.
	secretsDir = "/etc/chatd-secrets"
)

// bodyFactor is how many times a message's length its request's or frame's may
// be: as JSON a byte may take six, and the rest is for the other fields. It is
// also the ratio of chatd's defaults.
const bodyFactor = 8

// settings are chatd's settings that all parts share. What concerns one part
// alone is in its arguments (see args.go), so that a change of it rolls only
// that part's pods.
func settings(in Inputs) config.Config {
	s := in.Cluster.Spec
	c := config.Default()
	c.MessageTTL = time.Duration(s.Retention.MessageTTLHours) * time.Hour
	c.SessionAccess = map[string]string{"Members": "members", "Link": "link"}[s.SessionAccess]
	c.MaxMessageBytes = int(s.Limits.MaxMessageBytes)
	c.MaxBodyBytes = max(c.MaxBodyBytes, bodyFactor*c.MaxMessageBytes)
	c.MaxFrameBytes = max(c.MaxFrameBytes, bodyFactor*c.MaxMessageBytes)
	if s.Limits.MessagesPerSecond != nil {
		c.SendRate = float64(*s.Limits.MessagesPerSecond)
	}
	c.SendBurst = int(s.Limits.MessageBurst)
	c.AllowedOrigins, c.TrustedProxies = s.Exposure.AllowedOrigins, s.Exposure.TrustedProxies
	c.LogFormat, c.LogLevel = s.Logging.Format, s.Logging.Level

	c.Kafka.Brokers = s.Kafka.Brokers
	c.Kafka.TopicPrefix = s.Kafka.TopicPrefix
	if sasl := s.Kafka.SASL; sasl != nil {
		c.Kafka.Mechanism = sasl.Mechanism
		c.Kafka.Username = sasl.Credentials.Username
		c.Kafka.PasswordFile = kafkaSecrets.file(passwordFile)
	}
	c.Kafka.TLSEnabled, c.Kafka.TLSCA, c.Kafka.TLSCert, c.Kafka.TLSKey = tlsFiles(s.Kafka.TLS, kafkaSecrets)

	c.Cassandra.Hosts = s.Cassandra.Hosts
	c.Cassandra.Keyspace = s.Cassandra.Keyspace
	c.Cassandra.Datacenter = s.Cassandra.Datacenter
	if credentials := s.Cassandra.Credentials; credentials != nil {
		c.Cassandra.Username = credentials.Username
		c.Cassandra.PasswordFile = cassandraSecrets.file(passwordFile)
	}
	c.Cassandra.TLSEnabled, c.Cassandra.TLSCA, c.Cassandra.TLSCert, c.Cassandra.TLSKey = tlsFiles(s.Cassandra.TLS, cassandraSecrets)
	return c
}

func tlsFiles(t *v1alpha1.BackendTLS, dir secretDir) (enabled bool, ca, cert, key string) {
	if t == nil {
		return false, "", "", ""
	}
	if t.CA != nil {
		ca = dir.file(caFile)
	}
	if t.ClientSecret != "" {
		cert, key = dir.file(certFile), dir.file(keyFile)
	}
	return true, ca, cert, key
}

// Config is the file of chatd's settings that all parts share: those that are
// not chatd's own defaults, in YAML, in the order of their names.
func Config(in Inputs) ([]byte, error) {
	wanted, err := yamlMap(settings(in))
	if err != nil {
		return nil, err
	}
	defaults, err := defaultSettings()
	if err != nil {
		return nil, err
	}
	for key, value := range defaults {
		if reflect.DeepEqual(wanted[key], value) {
			delete(wanted, key)
		}
	}
	content, err := yaml.Marshal(wanted)
	if err != nil {
		return nil, fmt.Errorf("encode configuration: %w", err)
	}
	return content, nil
}

// defaultSettings are chatd's own, and the same for every ChatCluster.
var defaultSettings = sync.OnceValues(func() (map[string]any, error) { return yamlMap(config.Default()) })

func yamlMap(c config.Config) (map[string]any, error) {
	content, err := yaml.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode configuration: %w", err)
	}
	var m map[string]any
	if err := yaml.Unmarshal(content, &m); err != nil {
		return nil, fmt.Errorf("decode configuration: %w", err)
	}
	return m, nil
}

// ConfigMap holds Config. Its name tells its content, and it is immutable: pods
// of an older revision keep the settings that they were made for.
func ConfigMap(in Inputs) (*unstructured.Unstructured, error) {
	content, err := Config(in)
	if err != nil {
		return nil, err
	}
	return object(corev1.ConfigMap(configMapName(in, content), in.Cluster.Namespace).
		WithLabels(labels(in.Cluster.Name, "")).WithOwnerReferences(owner(in)).
		WithImmutable(true).WithData(map[string]string{configFile: string(content)}))
}

func configMapName(in Inputs, content []byte) string {
	return in.Cluster.Name + "-config-" + hashBytes(content)[:10]
}
