package resources

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// hash is the first 16 hexadecimal digits of the SHA-256 of v's canonical JSON:
// keys in order, so that the order of a struct's fields does not count.
func hash(v any) (string, error) {
	content, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("hash: %w", err)
	}
	var plain any
	if err := json.Unmarshal(content, &plain); err != nil {
		return "", fmt.Errorf("hash: %w", err)
	}
	if content, err = json.Marshal(plain); err != nil {
		return "", fmt.Errorf("hash: %w", err)
	}
	return hashBytes(content), nil
}

func hashBytes(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])[:16]
}

// podInputs is what the user controls of a part's pods. Its hash decides whether
// pods may be replaced, and is compared with one that another version of the
// operator made: a field that is added here must be left out of the JSON where it
// has the value that was in force before, or an upgrade rolls everyone's pods.
type podInputs struct {
	Image            string             `json:"image"`
	ImagePullPolicy  string             `json:"imagePullPolicy,omitempty"`
	ImagePullSecrets []string           `json:"imagePullSecrets,omitempty"`
	Kafka            v1alpha1.Kafka     `json:"kafka"`
	Cassandra        v1alpha1.Cassandra `json:"cassandra"`
	MessageTTLHours  int32              `json:"messageTTLHours"`
	Limits           v1alpha1.Limits    `json:"limits"`
	SessionAccess    string             `json:"sessionAccess"`
	AllowedOrigins   []string           `json:"allowedOrigins,omitempty"`
	TrustedProxies   []string           `json:"trustedProxies,omitempty"`
	Logging          v1alpha1.Logging   `json:"logging"`
	CacheEntries     int32              `json:"cacheEntries,omitempty"`
	Sockets          *socketInputs      `json:"sockets,omitempty"`
	Pod              v1alpha1.Pod       `json:"pod"`
	SecretsHash      string             `json:"secretsHash,omitempty"`
}

// socketInputs reach the parts that have sockets.
type socketInputs struct {
	Drain          v1alpha1.Drain `json:"drain"`
	MaxSockets     int32          `json:"maxSockets"`
	SendQueueBytes int32          `json:"sendQueueBytes"`
	RingBytes      int32          `json:"ringBytes"`
}

func podInputsOf(in Inputs, part Part) podInputs {
	s := in.Cluster.Spec
	i := podInputs{
		Image: s.Image, ImagePullPolicy: s.ImagePullPolicy, ImagePullSecrets: s.ImagePullSecrets,
		Kafka: s.Kafka, Cassandra: s.Cassandra,
		MessageTTLHours: s.Retention.MessageTTLHours, Limits: s.Limits, SessionAccess: s.SessionAccess,
		AllowedOrigins: s.Exposure.AllowedOrigins, TrustedProxies: s.Exposure.TrustedProxies,
		Logging: s.Logging, Pod: podOf(in, part), SecretsHash: in.SecretsHash,
	}
	// What only the migration reads does not reach these pods.
	i.Kafka.Partitions, i.Kafka.ReplicationFactor, i.Kafka.MinInsyncReplicas, i.Kafka.RetentionHours = 0, 0, 0, 0
	i.Cassandra.ReplicationFactor = 0
	if part == PartAPI {
		i.CacheEntries = cacheEntries(in)
	}
	if hasSockets(part) {
		g := s.Gateway
		i.Sockets = &socketInputs{Drain: g.Drain, MaxSockets: g.MaxSockets, SendQueueBytes: g.SendQueueBytes, RingBytes: g.RingBytes}
	}
	return i
}

// hasSockets is true for the API too: it serves the socket of many rooms.
func hasSockets(part Part) bool { return slices.Contains([]Part{PartAPI, PartGateway}, part) }

// MigrationRevision is the hash of what the user controls of the migration: it
// runs again when the revision changes, and not because the operator does.
func MigrationRevision(in Inputs) string {
	s := in.Cluster.Spec
	revision, err := hash(struct {
		Image       string             `json:"image"`
		Kafka       v1alpha1.Kafka     `json:"kafka"`
		Cassandra   v1alpha1.Cassandra `json:"cassandra"`
		SecretsHash string             `json:"secretsHash,omitempty"`
	}{s.Image, s.Kafka, s.Cassandra, in.SecretsHash})
	if err != nil {
		// Strings, numbers and lists of them always have a JSON form.
		panic(err)
	}
	return revision
}

// revise annotates the object with the hash of its pod template.
func revise(u *unstructured.Unstructured) error {
	template, _, err := unstructured.NestedMap(u.Object, "spec", "template")
	if err != nil {
		return fmt.Errorf("find pod template: %w", err)
	}
	revision, err := hash(template)
	if err != nil {
		return err
	}
	return unstructured.SetNestedField(u.Object, revision, "metadata", "annotations", AnnotationRevision)
}
