package resources_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	"github.com/chatcluster/chatcluster/operator/internal/resources"
	"gopkg.in/yaml.v3"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

var update = flag.Bool("update", false, "write the golden files")

// minimal is a ChatCluster of which the user set what is required, with the
// schema's defaults.
func minimal() resources.Inputs {
	two := func() *int32 { return new(int32(2)) }
	pod := v1alpha1.Pod{TopologySpread: "Preferred"}
	return resources.Inputs{
		Cluster: &v1alpha1.ChatCluster{
			ObjectMeta: metav1.ObjectMeta{Name: "talk", Namespace: "team", UID: "7d3c5a42-0000-4000-8000-000000000001"},
			Spec: v1alpha1.ChatClusterSpec{
				Image: "registry.example/chatd:1.0.0",
				State: v1alpha1.StateRunning, Reconciliation: v1alpha1.ReconciliationActive, UpdatePolicy: v1alpha1.UpdateOnRequest,
				API: v1alpha1.API{Replicas: two(), CacheEntries: 100_000, Pod: pod},
				Gateway: v1alpha1.Gateway{
					Replicas: two(), Drain: v1alpha1.Drain{DelaySeconds: new(int32(5)), WindowSeconds: 30}, Rebalance: "Enabled",
					MaxSockets: 20000, SendQueueBytes: 1 << 20, RingBytes: 1 << 20, Pod: pod,
				},
				Archiver:  v1alpha1.Archiver{Replicas: two(), Pod: pod},
				Kafka:     v1alpha1.Kafka{Brokers: []string{"kafka:9092"}, TopicPrefix: "chat", Partitions: 64, ReplicationFactor: 3, MinInsyncReplicas: 2, RetentionHours: 72},
				Cassandra: v1alpha1.Cassandra{Hosts: []string{"cassandra"}, Keyspace: "chat", ReplicationFactor: 3},
				Retention: v1alpha1.Retention{MessageTTLHours: 720, Cleaner: v1alpha1.Cleaner{
					Mode: "Enabled", Schedule: "17 3 * * *", TimeZone: "Etc/UTC", OlderThanDays: new(int32(30)),
					DeadlineSeconds: 3600, StaleAfterHours: 48, Pod: pod,
				}},
				Limits:        v1alpha1.Limits{MaxMessageBytes: 65536, MessagesPerSecond: new(int32(1000)), MessageBurst: 5000},
				SessionAccess: "Members",
				Exposure:      v1alpha1.Exposure{ServiceType: "ClusterIP"},
				Monitoring:    v1alpha1.Monitoring{Mode: "Auto", IntervalSeconds: 30},
				NetworkPolicy: v1alpha1.NetworkPolicy{Mode: "Disabled"},
				Logging:       v1alpha1.Logging{Level: "info", Format: "json"},
			},
		},
		Replicas: map[resources.Part]int32{
			resources.PartAPI: 2, resources.PartGateway: 2, resources.PartArchiver: 2,
		},
		OperatorNamespace: "chat-system",
	}
}

// full is one with about everything set.
func full() resources.Inputs {
	in := minimal()
	in.SecretsHash = "0123456789abcdef"
	in.Replicas[resources.PartGateway] = 12
	in.Capabilities = resources.Capabilities{PodMonitor: true, PrometheusRule: true, GrafanaDashboard: true}
	s := &in.Cluster.Spec
	s.ImagePullPolicy, s.ImagePullSecrets = "IfNotPresent", []string{"registry"}
	s.Kafka.Brokers = []string{"kafka-0.kafka:9093", "kafka-1.kafka:9093", "[fd00::1]:9094"}
	s.Kafka.SASL = &v1alpha1.KafkaSASL{Mechanism: "SCRAM-SHA-512", Credentials: v1alpha1.Credentials{Secret: "kafka-user", PasswordKey: "password", Username: "chat"}}
	s.Kafka.TLS = &v1alpha1.BackendTLS{
		CA: &v1alpha1.SecretKey{Secret: "kafka-ca", Key: "ca.crt"}, ClientSecret: "kafka-client",
		ClientCertificateKey: "user.crt", ClientKeyKey: "user.key",
	}
	s.Cassandra.Hosts = []string{"cassandra-0.cassandra", "cassandra-1.cassandra:9142"}
	s.Cassandra.Datacenter = "dc1"
	s.Cassandra.Credentials = &v1alpha1.Credentials{Secret: "cassandra-superuser", PasswordKey: "password", UsernameKey: "username"}
	s.Cassandra.TLS = &v1alpha1.BackendTLS{CA: &v1alpha1.SecretKey{Secret: "cassandra-ca", Key: "ca.pem"}, ClientCertificateKey: "tls.crt", ClientKeyKey: "tls.key"}
	s.Retention.MessageTTLHours = 24
	s.Limits = v1alpha1.Limits{MaxMessageBytes: 200_000, MessagesPerSecond: new(int32(0)), MessageBurst: 100}
	s.SessionAccess = "Link"
	s.API.CacheEntries = 1_000_000
	s.Logging = v1alpha1.Logging{Level: "debug", Format: "text"}
	s.Gateway.Drain = v1alpha1.Drain{DelaySeconds: new(int32(10)), WindowSeconds: 120}
	s.Gateway.Pod = v1alpha1.Pod{
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")},
		},
		Labels:            map[string]string{"team": "chat", resources.LabelComponent: "stolen"},
		Annotations:       map[string]string{"sidecar.example/inject": "false"},
		NodeSelector:      map[string]string{"pool": "sockets"},
		Tolerations:       []corev1.Toleration{{Key: "sockets", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}},
		PriorityClassName: "high", TopologySpread: "Required",
		Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "spot", Operator: corev1.NodeSelectorOpDoesNotExist}}}},
		}}},
	}
	s.API.Pod.TopologySpread = "None"
	s.Archiver.Pod.TopologySpread = "RequiredZones"
	s.Exposure = v1alpha1.Exposure{
		ServiceType: "NodePort", ServiceAnnotations: map[string]string{"lb.example/kind": "internal"}, APINodePort: 30080, GatewayNodePort: 30081,
		Ingress: &v1alpha1.IngressExposure{
			Hosts: v1alpha1.Hosts{APIHost: "chat.example.com", GatewayHost: "ws.example.com"}, ClassName: "nginx",
			Annotations: map[string]string{"cert-manager.io/issuer": "ours", "nginx.ingress.kubernetes.io/proxy-read-timeout": "7200"},
			TLSSecret:   "chat-tls", Hashing: "Nginx",
		},
		AllowedOrigins: []string{"https://app.example.com"}, TrustedProxies: []string{"10.0.0.0/8"},
	}
	s.Monitoring.Labels = map[string]string{"release": "prometheus"}
	s.NetworkPolicy = v1alpha1.NetworkPolicy{Mode: "Enabled", MetricsNamespaceLabels: map[string]string{"purpose": "monitoring"}}
	return in
}

func hibernated() resources.Inputs {
	in := minimal()
	in.Cluster.Spec.State = v1alpha1.StateHibernated
	in.Replicas = map[resources.Part]int32{}
	in.Capabilities = resources.Capabilities{PodMonitor: true, PrometheusRule: true}
	return in
}

func single() resources.Inputs {
	in := minimal()
	for part := range in.Replicas {
		in.Replicas[part] = 1
	}
	in.Cluster.Spec.Retention.Cleaner.Mode = "Disabled"
	in.Cluster.Spec.Monitoring.Mode = "Disabled"
	return in
}

func gatewayAPI() resources.Inputs {
	in := minimal()
	in.Capabilities = resources.Capabilities{HTTPRoute: true, BackendTrafficPolicy: true}
	in.Cluster.Spec.Exposure.GatewayAPI = &v1alpha1.GatewayAPIExposure{
		Hosts:       v1alpha1.Hosts{APIHost: "chat.example.com", GatewayHost: "ws.example.com"},
		GatewayName: "front", GatewayNamespace: "infra", SectionName: "https", Hashing: "EnvoyGateway",
	}
	return in
}

// all renders everything, in the order in which it is applied.
func all(t *testing.T, in resources.Inputs) []*unstructured.Unstructured {
	t.Helper()
	var objects []*unstructured.Unstructured
	add := func(u *unstructured.Unstructured, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if u != nil {
			objects = append(objects, u)
		}
	}
	rest, err := resources.Rest(in)
	if err != nil {
		t.Fatal(err)
	}
	objects = append(objects, rest...)
	add(resources.ConfigMap(in))
	add(resources.MigrationJob(in))
	for _, part := range resources.Deployments {
		add(resources.Deployment(in, part))
	}
	add(resources.CronJob(in))
	return objects
}

func TestGolden(t *testing.T) {
	for name, in := range everything() {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			encoder := yaml.NewEncoder(&got)
			encoder.SetIndent(2)
			for _, u := range all(t, in) {
				if u.GetKind() == "GrafanaDashboard" {
					// It is long, and has a test of its own.
					if err := unstructured.SetNestedField(u.Object, "…", "spec", "json"); err != nil {
						t.Fatal(err)
					}
				}
				if err := encoder.Encode(u.Object); err != nil {
					t.Fatal(err)
				}
			}
			file := filepath.Join("testdata", name+".yaml")
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%s differs from what is rendered; see the difference by -update and git diff. Got:\n%s", file, got.Bytes())
			}
		})
	}
}
