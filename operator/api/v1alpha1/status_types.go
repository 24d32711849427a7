package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The conditions. Ready is what kstatus and so helm --wait look at.
const (
	ConditionReady             = "Ready"
	ConditionProgressing       = "Progressing"
	ConditionDegraded          = "Degraded"
	ConditionDependenciesReady = "DependenciesReady"
	ConditionCleanerHealthy    = "CleanerHealthy"
	ConditionRequiresUpdate    = "RequiresUpdate"
	ConditionPaused            = "Paused"
)

// ChatClusterStatus is what the operator saw. It changes only when what it
// tells does.
type ChatClusterStatus struct {
	// observedGeneration is the generation of the spec that this was made of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions are what is so, each with its reason.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// replicas is how many gateways there are, for the scale subresource.
	// +optional
	Replicas int32 `json:"replicas"`
	// selector selects the gateways' pods, for the scale subresource.
	// +optional
	Selector string `json:"selector,omitempty"`
	// readyReplicas is how many gateways are ready.
	// +optional
	ReadyReplicas int32 `json:"readyReplicas"`
	// updatedReplicas is how many are of the newest template.
	// +optional
	UpdatedReplicas int32 `json:"updatedReplicas"`

	// migratedRevision is the input of the last migration that succeeded.
	// +optional
	MigratedRevision string `json:"migratedRevision,omitempty"`
	// cleaner is the last result of the cleaner.
	// +optional
	Cleaner *CleanerStatus `json:"cleaner,omitempty"`
	// endpoints are where the cluster is reached from inside Kubernetes.
	// +optional
	Endpoints *Endpoints `json:"endpoints,omitempty"`
}

// Endpoints are where the cluster is reached from inside Kubernetes.
type Endpoints struct {
	// api is the REST API's URL.
	// +optional
	API string `json:"api,omitempty"`
	// gateway is the sockets' URL.
	// +optional
	Gateway string `json:"gateway,omitempty"`
}

// CleanerStatus is the last result of the cleaner.
type CleanerStatus struct {
	// job is the name of the last Job that ended.
	// +optional
	Job string `json:"job,omitempty"`
	// result is how the job ended.
	// +optional
	// +kubebuilder:validation:Enum=Succeeded;Failed
	Result string `json:"result,omitempty"`
	// message says why it failed.
	// +optional
	Message string `json:"message,omitempty"`
	// finishedAt is when the job ended.
	// +optional
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`
	// lastSuccessAt is when a job last succeeded.
	// +optional
	LastSuccessAt *metav1.Time `json:"lastSuccessAt,omitempty"`
	// deletedMessages, tookMilliseconds and oldestKept are of the last success.
	// +optional
	DeletedMessages int64 `json:"deletedMessages,omitempty"`
	// tookMilliseconds is how long the last success took.
	// +optional
	TookMilliseconds int64 `json:"tookMilliseconds,omitempty"`
	// oldestKept is the time of the oldest message that it left.
	// +optional
	OldestKept *metav1.Time `json:"oldestKept,omitempty"`
}
