package resources_test

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/config"
	"github.com/chatcluster/chatcluster/operator/internal/resources"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// podSpec is the pod of what has one, as Kubernetes reads it: a field that it
// does not know is an error.
func podSpec(t *testing.T, u *unstructured.Unstructured) corev1.PodSpec {
	t.Helper()
	path := []string{"spec", "template", "spec"}
	if u.GetKind() == "CronJob" {
		path = append([]string{"spec", "jobTemplate"}, path...)
	}
	content, found, err := unstructured.NestedMap(u.Object, path...)
	if err != nil || !found {
		t.Fatalf("%s has no pod: %v", u.GetName(), err)
	}
	var spec corev1.PodSpec
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(content, &spec, true); err != nil {
		t.Fatal(err)
	}
	return spec
}

// load reads the settings as chatd does: the file, the pod's variables, and the
// arguments. The flags of the sub-command that are not settings are left out.
func load(t *testing.T, in resources.Inputs, pod corev1.PodSpec) config.Config {
	t.Helper()
	content, err := resources.Config(in)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "chatd.yaml")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	var environ []string
	for _, e := range pod.Containers[0].Env {
		value := e.Value
		if e.ValueFrom != nil {
			value = "from-" + e.ValueFrom.SecretKeyRef.Key
		}
		environ = append(environ, e.Name+"="+value)
	}
	fs := pflag.NewFlagSet("chatd", pflag.ContinueOnError)
	fs.IntP("days", "d", 0, "")
	fs.String("report-file", "", "")
	c := config.Default()
	config.Bind(fs, &c)
	var args []string
	for _, arg := range pod.Containers[0].Args[1:] {
		args = append(args, strings.Replace(arg, "/etc/chatd/chatd.yaml", file, 1))
	}
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	if err := config.Load(fs, &c, environ); err != nil {
		t.Fatalf("chatd refuses its settings: %v", err)
	}
	return c
}

func TestConfigOfEachPart(t *testing.T) {
	shared := func() config.Config {
		c := config.Default()
		c.LogFormat = "json"
		c.Kafka.Brokers, c.Cassandra.Hosts = []string{"kafka:9092"}, []string{"cassandra"}
		return c
	}
	sharedFull := func() config.Config {
		c := config.Default()
		c.MessageTTL, c.SessionAccess = 24*time.Hour, "link"
		c.MaxMessageBytes, c.MaxBodyBytes, c.MaxFrameBytes = 200_000, 1_600_000, 1_600_000
		c.SendRate, c.SendBurst = 0, 100
		c.AllowedOrigins, c.TrustedProxies = []string{"https://app.example.com"}, []string{"10.0.0.0/8"}
		c.LogLevel = "debug"
		c.Kafka.Brokers = []string{"kafka-0.kafka:9093", "kafka-1.kafka:9093", "[fd00::1]:9094"}
		c.Kafka.Mechanism, c.Kafka.Username, c.Kafka.PasswordFile = "SCRAM-SHA-512", "chat", "/etc/chatd-secrets/kafka/password"
		c.Kafka.TLSEnabled, c.Kafka.TLSCA = true, "/etc/chatd-secrets/kafka/ca.crt"
		c.Kafka.TLSCert, c.Kafka.TLSKey = "/etc/chatd-secrets/kafka/tls.crt", "/etc/chatd-secrets/kafka/tls.key"
		c.Cassandra.Hosts = []string{"cassandra-0.cassandra", "cassandra-1.cassandra:9142"}
		c.Cassandra.Datacenter = "dc1"
		c.Cassandra.Username, c.Cassandra.PasswordFile = "from-username", "/etc/chatd-secrets/cassandra/password"
		c.Cassandra.TLSEnabled, c.Cassandra.TLSCA = true, "/etc/chatd-secrets/cassandra/ca.crt"
		return c
	}
	sockets := func(c config.Config) config.Config {
		c.MetricsAddr, c.MaxSockets, c.SendQueueBytes, c.RingBytes = ":9464", 20000, 1<<20, 1<<20
		c.DrainDelay, c.DrainWindow = 5*time.Second, 30*time.Second
		if c.TrustedProxies != nil { // the full one
			c.DrainDelay, c.DrainWindow = 10*time.Second, 2*time.Minute
		}
		return c
	}
	api := func(c config.Config) config.Config {
		c.APIAddr = ":8000"
		if c.TrustedProxies != nil {
			c.CacheEntries = 1_000_000
		}
		return sockets(c)
	}
	gateway := func(c config.Config) config.Config { c.GatewayAddr = ":8081"; return sockets(c) }
	archiver := func(c config.Config) config.Config { c.MetricsAddr = ":9464"; return c }
	migrate := func(c config.Config) config.Config {
		if c.Cassandra.Datacenter != "" {
			c.Cassandra.Replication = "{'class': 'NetworkTopologyStrategy', 'dc1': 3}"
		}
		return c
	}
	same := func(c config.Config) config.Config { return c }
	for _, set := range []struct {
		name   string
		in     resources.Inputs
		shared func() config.Config
	}{{"minimal", minimal(), shared}, {"full", full(), sharedFull}} {
		for _, tt := range []struct {
			name string
			make func() (*unstructured.Unstructured, error)
			want func(config.Config) config.Config
		}{
			{"api", func() (*unstructured.Unstructured, error) { return resources.Deployment(set.in, resources.PartAPI) }, api},
			{"gateway", func() (*unstructured.Unstructured, error) { return resources.Deployment(set.in, resources.PartGateway) }, gateway},
			{"archiver", func() (*unstructured.Unstructured, error) {
				return resources.Deployment(set.in, resources.PartArchiver)
			}, archiver},
			{"migrate", func() (*unstructured.Unstructured, error) { return resources.MigrationJob(set.in) }, migrate},
			{"cleaner", func() (*unstructured.Unstructured, error) { return resources.CronJob(set.in) }, same},
		} {
			t.Run(set.name+"/"+tt.name, func(t *testing.T) {
				u, err := tt.make()
				if err != nil {
					t.Fatal(err)
				}
				got, want := load(t, set.in, podSpec(t, u)), tt.want(set.shared())
				// No list is an empty list.
				for _, c := range []*config.Config{&got, &want} {
					c.AllowedOrigins, c.TrustedProxies = slices.Concat(c.AllowedOrigins), slices.Concat(c.TrustedProxies)
				}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("chatd reads\n%+v\nwant\n%+v", got, want)
				}
			})
		}
	}
}

func TestConfigHoldsNoDefaults(t *testing.T) {
	content, err := resources.Config(minimal())
	if err != nil {
		t.Fatal(err)
	}
	want := "cassandra-hosts:\n    - cassandra\nkafka-brokers:\n    - kafka:9092\nlog-format: json\n"
	if string(content) != want {
		t.Errorf("got\n%s\nwant\n%s", content, want)
	}
}

func TestConfigMapIsNamedByItsContent(t *testing.T) {
	name := func(in resources.Inputs) string {
		u, err := resources.ConfigMap(in)
		if err != nil {
			t.Fatal(err)
		}
		pod, err := resources.Deployment(in, resources.PartGateway)
		if err != nil {
			t.Fatal(err)
		}
		if got := podSpec(t, pod).Volumes[0].ConfigMap.Name; got != u.GetName() {
			t.Errorf("the pod mounts %s, want %s", got, u.GetName())
		}
		return u.GetName()
	}
	in := minimal()
	first := name(in)
	in.Cluster.Spec.Logging.Level = "debug"
	if second := name(in); second == first {
		t.Errorf("got the same name %s for another content", first)
	}
}
