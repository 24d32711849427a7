package operator_test

import (
	"strings"
	"testing"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestTheAPIServerRefuses(t *testing.T) {
	w := newWorld(t)
	tests := []struct {
		name   string
		change func(*v1alpha1.ChatCluster)
		says   string
	}{
		{"no image", func(c *v1alpha1.ChatCluster) { c.Spec.Image = "" }, "spec.image"},
		{"no brokers", func(c *v1alpha1.ChatCluster) { c.Spec.Kafka.Brokers = nil }, "spec.kafka.brokers"},
		{"a broker without a port", func(c *v1alpha1.ChatCluster) { c.Spec.Kafka.Brokers = []string{"kafka"} }, "spec.kafka.brokers"},
		{"more in-sync replicas than replicas", func(c *v1alpha1.ChatCluster) {
			c.Spec.Kafka.ReplicationFactor, c.Spec.Kafka.MinInsyncReplicas = 1, 2
		}, "minInsyncReplicas must not exceed"},
		{"a keyspace that is no name", func(c *v1alpha1.ChatCluster) { c.Spec.Cassandra.Keyspace = "Chat-1" }, "spec.cassandra.keyspace"},
		{"two users", func(c *v1alpha1.ChatCluster) {
			c.Spec.Cassandra.Credentials = &v1alpha1.Credentials{Secret: "s", Username: "u", UsernameKey: "k"}
		}, "set username, or usernameKey"},
		{"no user", func(c *v1alpha1.ChatCluster) { c.Spec.Cassandra.Credentials = &v1alpha1.Credentials{Secret: "s"} }, "set username, or usernameKey"},
		{"negative replicas", func(c *v1alpha1.ChatCluster) { c.Spec.Gateway.Replicas = ptr.To[int32](-1) }, "spec.gateway.replicas"},
		{"bounds of autoscaling", func(c *v1alpha1.ChatCluster) {
			c.Spec.Gateway.Autoscaling = &v1alpha1.GatewayAutoscaling{MinReplicas: 3, MaxReplicas: 2, TargetSockets: 1}
		}, "minReplicas must not exceed"},
		{"a drain without end", func(c *v1alpha1.ChatCluster) { c.Spec.Gateway.Drain.WindowSeconds = 7200 }, "spec.gateway.drain.windowSeconds"},
		{"a TTL beyond ten years", func(c *v1alpha1.ChatCluster) { c.Spec.Retention.MessageTTLHours = 100000 }, "spec.retention.messageTTLHours"},
		{"a state that is none", func(c *v1alpha1.ChatCluster) { c.Spec.State = "Asleep" }, "spec.state"},
		{"two exposures", func(c *v1alpha1.ChatCluster) {
			hosts := v1alpha1.Hosts{APIHost: "a.example", GatewayHost: "b.example"}
			c.Spec.Exposure.Ingress = &v1alpha1.IngressExposure{Hosts: hosts}
			c.Spec.Exposure.GatewayAPI = &v1alpha1.GatewayAPIExposure{Hosts: hosts, GatewayName: "g"}
		}, "not both"},
		{"one host for both", func(c *v1alpha1.ChatCluster) {
			c.Spec.Exposure.Ingress = &v1alpha1.IngressExposure{Hosts: v1alpha1.Hosts{APIHost: "a.example", GatewayHost: "a.example"}}
		}, "must differ"},
		{"a long name", func(c *v1alpha1.ChatCluster) { c.Name = strings.Repeat("x", 41) }, "at most 40 characters"},
		{"a schedule in no time zone", func(c *v1alpha1.ChatCluster) { c.Spec.Retention.Cleaner.TimeZone = "../UTC" }, "timeZone"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := w.client.Create(t.Context(), w.cluster(test.change))
			if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want a refusal that says %q", err, test.says)
			}
		})
	}
}

func TestTheAPIServerRefusesChanges(t *testing.T) {
	w := newWorld(t)
	w.create(w.cluster(func(c *v1alpha1.ChatCluster) { c.Spec.Kafka.Partitions = 16 }))
	tests := []struct {
		name   string
		change func(*v1alpha1.ChatCluster)
		says   string
	}{
		{"fewer partitions", func(c *v1alpha1.ChatCluster) { c.Spec.Kafka.Partitions = 8 }, "partitions never shrink"},
		{"another keyspace", func(c *v1alpha1.ChatCluster) { c.Spec.Cassandra.Keyspace = "other" }, "keyspace is immutable"},
		{"other topics", func(c *v1alpha1.ChatCluster) { c.Spec.Kafka.TopicPrefix = "other" }, "topicPrefix is immutable"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := w.get()
			before := c.DeepCopy()
			test.change(c)
			err := w.client.Patch(t.Context(), c, client.MergeFrom(before))
			if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want a refusal that says %q", err, test.says)
			}
		})
	}
	w.update(func(c *v1alpha1.ChatCluster) { c.Spec.Kafka.Partitions = 32 })
}
