// Package resources renders the children of a ChatCluster. It is pure: the
// same Inputs give the same objects, and nothing is asked of a cluster.
//
// The objects are what is applied, no more: a field that the operator does not
// set is somebody else's.
package resources

import (
	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
)

// Part is a part of a ChatCluster that has pods.
type Part string

// The parts. The first three are Deployments, the others a Job and a CronJob.
const (
	PartAPI      Part = "api"
	PartGateway  Part = "gateway"
	PartArchiver Part = "archiver"
	PartMigrate  Part = "migrate"
	PartCleaner  Part = "cleaner"
)

// Deployments are the parts that run all the time, in the order in which they
// are applied.
var Deployments = []Part{PartArchiver, PartAPI, PartGateway}

// The labels and annotations of the children.
const (
	LabelName      = "app.kubernetes.io/name"
	LabelInstance  = "app.kubernetes.io/instance"
	LabelComponent = "app.kubernetes.io/component"
	LabelManagedBy = "app.kubernetes.io/managed-by"

	// NameValue and ManagedByValue are the values of the labels of that name.
	NameValue      = "chatcluster"
	ManagedByValue = "chat-operator"

	// AnnotationInputs on a Deployment is the hash of what the user controls
	// of its pods: the spec without the replicas, and the content of the Secrets.
	AnnotationInputs = "chatcluster.dev/inputs"
	// AnnotationRevision on a Deployment or a Job is the hash of its rendered pod
	// template: it changes too when the operator writes pods otherwise.
	AnnotationRevision = "chatcluster.dev/revision"
	// AnnotationSecrets on a pod is the hash of the content of its Secrets.
	AnnotationSecrets = "chatcluster.dev/secrets"
)

// The ports of the pods.
const (
	PortAPI     int32 = 8000
	PortGateway int32 = 8081
	PortMetrics int32 = 9464
)

// Inputs are what the children are made of.
type Inputs struct {
	// Cluster is the ChatCluster, with the schema's defaults.
	Cluster *v1alpha1.ChatCluster
	// SecretsHash is the hash of the content of the Secrets that it names.
	SecretsHash string
	// Replicas is how many pods each Deployment shall have.
	Replicas map[Part]int32
	// Capabilities is what the API server knows besides Kubernetes' own kinds.
	Capabilities Capabilities
	// OperatorNamespace is where the operator runs, which reads the pods' metrics.
	OperatorNamespace string
}

// Capabilities is which optional kinds the API server knows.
type Capabilities struct {
	PodMonitor           bool
	PrometheusRule       bool
	GrafanaDashboard     bool
	HTTPRoute            bool
	BackendTrafficPolicy bool
}
