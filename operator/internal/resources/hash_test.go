package resources_test

import (
	"slices"
	"testing"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	"github.com/chatcluster/chatcluster/operator/internal/resources"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// hashes are those of what has pods.
type hashes struct {
	inputs, revision map[resources.Part]string
	migration        string
}

func hashesOf(t *testing.T, in resources.Inputs) hashes {
	t.Helper()
	h := hashes{map[resources.Part]string{}, map[resources.Part]string{}, resources.MigrationRevision(in)}
	for _, part := range resources.Deployments {
		u, err := resources.Deployment(in, part)
		if err != nil {
			t.Fatal(err)
		}
		h.inputs[part] = u.GetAnnotations()[resources.AnnotationInputs]
		h.revision[part] = u.GetAnnotations()[resources.AnnotationRevision]
		if len(h.inputs[part]) != 16 || len(h.revision[part]) != 16 {
			t.Fatalf("%s: got the hashes %q and %q, want 16 digits each", part, h.inputs[part], h.revision[part])
		}
	}
	return h
}

func TestHashes(t *testing.T) {
	const api, gateway, archiver, migrate = resources.PartAPI, resources.PartGateway, resources.PartArchiver, resources.PartMigrate
	pods := []resources.Part{api, gateway, archiver}
	backends := append(slices.Clone(pods), migrate)
	pod := func(p *v1alpha1.Pod) {
		p.Labels = map[string]string{"team": "other"}
	}
	spec := func(change func(*v1alpha1.ChatClusterSpec)) func(*resources.Inputs) {
		return func(in *resources.Inputs) { change(&in.Cluster.Spec) }
	}
	tests := []struct {
		name   string
		change func(*resources.Inputs)
		want   []resources.Part // whose hashes change
	}{
		{"nothing", func(*resources.Inputs) {}, nil},
		{"replicas", func(in *resources.Inputs) {
			for part := range in.Replicas {
				in.Replicas[part] = 40
			}
		}, nil},
		{"replicas in the spec", spec(func(s *v1alpha1.ChatClusterSpec) {
			s.API.Replicas, s.Gateway.Replicas, s.Archiver.Replicas = new(int32(9)), new(int32(9)), new(int32(9))
		}), nil},
		{"autoscaling", spec(func(s *v1alpha1.ChatClusterSpec) {
			s.Gateway.Autoscaling = &v1alpha1.GatewayAutoscaling{MinReplicas: 1, MaxReplicas: 9, TargetSockets: 100}
			s.Archiver.Autoscaling = &v1alpha1.ArchiverAutoscaling{MinReplicas: 1, MaxReplicas: 9}
		}), nil},
		{"rebalance", spec(func(s *v1alpha1.ChatClusterSpec) { s.Gateway.Rebalance = "Disabled" }), nil},
		{"hibernation", spec(func(s *v1alpha1.ChatClusterSpec) { s.State = v1alpha1.StateHibernated }), nil},
		{"pause", spec(func(s *v1alpha1.ChatClusterSpec) { s.Reconciliation = v1alpha1.ReconciliationPaused }), nil},
		{"update policy", spec(func(s *v1alpha1.ChatClusterSpec) { s.UpdatePolicy = v1alpha1.UpdateAutomatic }), nil},
		{"cleaner", spec(func(s *v1alpha1.ChatClusterSpec) {
			s.Retention.Cleaner = v1alpha1.Cleaner{Mode: "Suspended", Schedule: "@daily", OlderThanDays: new(int32(1)), Pod: s.Gateway.Pod}
		}), nil},
		{"monitoring", spec(func(s *v1alpha1.ChatClusterSpec) { s.Monitoring = v1alpha1.Monitoring{Mode: "Disabled"} }), nil},
		{"network policy", spec(func(s *v1alpha1.ChatClusterSpec) { s.NetworkPolicy.Mode = "Disabled" }), nil},
		{"service type", spec(func(s *v1alpha1.ChatClusterSpec) { s.Exposure.ServiceType = "LoadBalancer" }), nil},
		{"hosts", spec(func(s *v1alpha1.ChatClusterSpec) { s.Exposure.Ingress.APIHost = "other.example.com" }), nil},
		{"capabilities", func(in *resources.Inputs) { in.Capabilities = resources.Capabilities{} }, nil},
		{"generation", func(in *resources.Inputs) { in.Cluster.Generation = 9 }, nil},

		{"image", spec(func(s *v1alpha1.ChatClusterSpec) { s.Image = "registry.example/chatd:2" }), backends},
		{"pull policy", spec(func(s *v1alpha1.ChatClusterSpec) { s.ImagePullPolicy = "Always" }), pods},
		{"pull secrets", spec(func(s *v1alpha1.ChatClusterSpec) { s.ImagePullSecrets = nil }), pods},
		{"content of secrets", func(in *resources.Inputs) { in.SecretsHash = "fedcba9876543210" }, backends},
		{"brokers", spec(func(s *v1alpha1.ChatClusterSpec) { s.Kafka.Brokers = []string{"other:9092"} }), backends},
		{"topics' prefix", spec(func(s *v1alpha1.ChatClusterSpec) { s.Kafka.TopicPrefix = "other" }), backends},
		{"no login at Kafka", spec(func(s *v1alpha1.ChatClusterSpec) { s.Kafka.SASL = nil }), backends},
		{"mechanism", spec(func(s *v1alpha1.ChatClusterSpec) { s.Kafka.SASL.Mechanism = "PLAIN" }), backends},
		{"user from a Secret", spec(func(s *v1alpha1.ChatClusterSpec) {
			s.Kafka.SASL.Credentials.Username, s.Kafka.SASL.Credentials.UsernameKey = "", "user"
		}), backends},
		{"password's key", spec(func(s *v1alpha1.ChatClusterSpec) { s.Cassandra.Credentials.PasswordKey = "secret" }), backends},
		{"authorities", spec(func(s *v1alpha1.ChatClusterSpec) { s.Kafka.TLS.CA.Secret = "other" }), backends},
		{"client certificate", spec(func(s *v1alpha1.ChatClusterSpec) { s.Cassandra.TLS.ClientSecret = "client" }), backends},
		{"no TLS", spec(func(s *v1alpha1.ChatClusterSpec) { s.Cassandra.TLS = nil }), backends},
		{"hosts of Cassandra", spec(func(s *v1alpha1.ChatClusterSpec) { s.Cassandra.Hosts = []string{"other"} }), backends},
		{"keyspace", spec(func(s *v1alpha1.ChatClusterSpec) { s.Cassandra.Keyspace = "other" }), backends},
		{"datacenter", spec(func(s *v1alpha1.ChatClusterSpec) { s.Cassandra.Datacenter = "dc2" }), backends},

		{"partitions", spec(func(s *v1alpha1.ChatClusterSpec) { s.Kafka.Partitions = 128 }), []resources.Part{migrate}},
		{"replication of topics", spec(func(s *v1alpha1.ChatClusterSpec) { s.Kafka.ReplicationFactor = 5 }), []resources.Part{migrate}},
		{"in-sync replicas", spec(func(s *v1alpha1.ChatClusterSpec) { s.Kafka.MinInsyncReplicas = 1 }), []resources.Part{migrate}},
		{"retention of topics", spec(func(s *v1alpha1.ChatClusterSpec) { s.Kafka.RetentionHours = 24 }), []resources.Part{migrate}},
		{"replication of the keyspace", spec(func(s *v1alpha1.ChatClusterSpec) { s.Cassandra.ReplicationFactor = 1 }), []resources.Part{migrate}},

		{"retention", spec(func(s *v1alpha1.ChatClusterSpec) { s.Retention.MessageTTLHours = 48 }), pods},
		{"limits", spec(func(s *v1alpha1.ChatClusterSpec) { s.Limits.MaxMessageBytes = 1000 }), pods},
		{"rate", spec(func(s *v1alpha1.ChatClusterSpec) { s.Limits.MessagesPerSecond = new(int32(7)) }), pods},
		{"burst", spec(func(s *v1alpha1.ChatClusterSpec) { s.Limits.MessageBurst = 7 }), pods},
		{"session access", spec(func(s *v1alpha1.ChatClusterSpec) { s.SessionAccess = "Members" }), pods},
		{"origins", spec(func(s *v1alpha1.ChatClusterSpec) { s.Exposure.AllowedOrigins = nil }), pods},
		{"proxies", spec(func(s *v1alpha1.ChatClusterSpec) { s.Exposure.TrustedProxies = nil }), pods},
		{"log level", spec(func(s *v1alpha1.ChatClusterSpec) { s.Logging.Level = "error" }), pods},
		{"log format", spec(func(s *v1alpha1.ChatClusterSpec) { s.Logging.Format = "json" }), pods},

		{"drain's delay", spec(func(s *v1alpha1.ChatClusterSpec) { s.Gateway.Drain.DelaySeconds = new(int32(1)) }), []resources.Part{api, gateway}},
		{"drain's window", spec(func(s *v1alpha1.ChatClusterSpec) { s.Gateway.Drain.WindowSeconds = 300 }), []resources.Part{api, gateway}},
		{"sockets", spec(func(s *v1alpha1.ChatClusterSpec) { s.Gateway.MaxSockets = 7 }), []resources.Part{api, gateway}},
		{"send queue", spec(func(s *v1alpha1.ChatClusterSpec) { s.Gateway.SendQueueBytes = 1 << 16 }), []resources.Part{api, gateway}},
		{"ring", spec(func(s *v1alpha1.ChatClusterSpec) { s.Gateway.RingBytes = 1 << 16 }), []resources.Part{api, gateway}},

		{"cache", spec(func(s *v1alpha1.ChatClusterSpec) { s.API.CacheEntries = 100_000 }), []resources.Part{api}},

		{"labels of the API's pods", spec(func(s *v1alpha1.ChatClusterSpec) { pod(&s.API.Pod) }), []resources.Part{api}},
		{"labels of the gateways' pods", spec(func(s *v1alpha1.ChatClusterSpec) { pod(&s.Gateway.Pod) }), []resources.Part{gateway}},
		{"labels of the archivers' pods", spec(func(s *v1alpha1.ChatClusterSpec) { pod(&s.Archiver.Pod) }), []resources.Part{archiver}},
		{"annotations of pods", spec(func(s *v1alpha1.ChatClusterSpec) { s.API.Pod.Annotations = map[string]string{"a": "b"} }), []resources.Part{api}},
		{"memory", spec(func(s *v1alpha1.ChatClusterSpec) {
			s.API.Pod.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("2Gi")}
		}), []resources.Part{api}},
		{"node selector", spec(func(s *v1alpha1.ChatClusterSpec) { s.API.Pod.NodeSelector = map[string]string{"a": "b"} }), []resources.Part{api}},
		{"tolerations", spec(func(s *v1alpha1.ChatClusterSpec) { s.Gateway.Pod.Tolerations = nil }), []resources.Part{gateway}},
		{"affinity", spec(func(s *v1alpha1.ChatClusterSpec) { s.Gateway.Pod.Affinity = nil }), []resources.Part{gateway}},
		{"priority", spec(func(s *v1alpha1.ChatClusterSpec) { s.Archiver.Pod.PriorityClassName = "low" }), []resources.Part{archiver}},
		{"topology spread", spec(func(s *v1alpha1.ChatClusterSpec) { s.Archiver.Pod.TopologySpread = "None" }), []resources.Part{archiver}},
	}
	before := hashesOf(t, full())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := full()
			tt.change(&in)
			after := hashesOf(t, in)
			for _, part := range pods {
				want := slices.Contains(tt.want, part)
				if got := after.inputs[part] != before.inputs[part]; got != want {
					t.Errorf("%s: inputs changed: %v, want %v", part, got, want)
				}
				// If it changed alone, a change by the user would look like one by the operator.
				if got := after.revision[part] != before.revision[part]; got != want {
					t.Errorf("%s: revision changed: %v, want %v", part, got, want)
				}
			}
			if got, want := after.migration != before.migration, slices.Contains(tt.want, migrate); got != want {
				t.Errorf("migration changed: %v, want %v", got, want)
			}
		})
	}
}

// A revision that another build of the operator gave to the same pods must be
// the same: it stands on their Deployments.
func TestHashesAreStable(t *testing.T) {
	first, second := hashesOf(t, full()), hashesOf(t, full())
	for part, want := range first.inputs {
		if got := second.inputs[part]; got != want {
			t.Errorf("%s: got the inputs %s, want %s", part, got, want)
		}
	}
}
