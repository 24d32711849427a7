package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
)

// API is the REST API and the pages.
type API struct {
	// replicas is how many pods there are.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Replicas *int32 `json:"replicas,omitempty"`
	// cacheEntries is how many tokens, users, sessions and memberships, of each
	// kind, a pod keeps in memory. What sends and reads within a minute should fit.
	// +optional
	// +kubebuilder:default=100000
	// +kubebuilder:validation:Minimum=100
	// +kubebuilder:validation:Maximum=10000000
	CacheEntries int32 `json:"cacheEntries,omitempty"`
	// pod changes the pods of this part.
	// +optional
	// +kubebuilder:default={}
	Pod Pod `json:"pod,omitempty"`
}

// Gateway holds the WebSockets.
//
// +kubebuilder:validation:XValidation:rule="!has(self.autoscaling) || self.autoscaling.minReplicas <= self.autoscaling.maxReplicas",message="autoscaling.minReplicas must not exceed autoscaling.maxReplicas"
type Gateway struct {
	// replicas is how many pods there are; the scale subresource writes it.
	// With autoscaling it is where the operator starts from, and no more.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Replicas *int32 `json:"replicas,omitempty"`
	// autoscaling has the operator choose the number of pods by their sockets.
	// Leave it out to let a HorizontalPodAutoscaler use the scale subresource.
	// +optional
	Autoscaling *GatewayAutoscaling `json:"autoscaling,omitempty"`
	// drain is how a gateway ends.
	// +optional
	// +kubebuilder:default={}
	Drain Drain `json:"drain,omitempty"`
	// rebalance is Enabled to have gateways with more sockets than the mean
	// ask some to reconnect after a scale-up.
	// +optional
	// +kubebuilder:default=Enabled
	// +kubebuilder:validation:Enum=Enabled;Disabled
	Rebalance string `json:"rebalance,omitempty"`
	// maxSockets is how many sockets one pod holds at most.
	// +optional
	// +kubebuilder:default=20000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000000
	MaxSockets int32 `json:"maxSockets,omitempty"`
	// sendQueueBytes may wait for a slow socket before it is closed.
	// +optional
	// +kubebuilder:default=1048576
	// +kubebuilder:validation:Minimum=4096
	// +kubebuilder:validation:Maximum=1073741824
	SendQueueBytes int32 `json:"sendQueueBytes,omitempty"`
	// ringBytes of recent messages are kept in memory for resumes, for each partition.
	// +optional
	// +kubebuilder:default=1048576
	// +kubebuilder:validation:Minimum=4096
	// +kubebuilder:validation:Maximum=1073741824
	RingBytes int32 `json:"ringBytes,omitempty"`
	// pod changes the pods of this part.
	// +optional
	// +kubebuilder:default={}
	Pod Pod `json:"pod,omitempty"`
}

// GatewayAutoscaling chooses the number of gateways by their sockets.
type GatewayAutoscaling struct {
	// minReplicas is how many pods there are at least.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MinReplicas int32 `json:"minReplicas"`
	// maxReplicas is how many pods there are at most.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MaxReplicas int32 `json:"maxReplicas"`
	// targetSockets is how many sockets a pod should hold.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000000
	TargetSockets int32 `json:"targetSockets"`
	// scaleDownAfterSeconds is how long fewer pods must have sufficed before one is taken away.
	// +optional
	// +kubebuilder:default=600
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	ScaleDownAfterSeconds *int32 `json:"scaleDownAfterSeconds,omitempty"`
}

// Archiver moves messages from Kafka to Cassandra.
//
// +kubebuilder:validation:XValidation:rule="!has(self.autoscaling) || self.autoscaling.minReplicas <= self.autoscaling.maxReplicas",message="autoscaling.minReplicas must not exceed autoscaling.maxReplicas"
type Archiver struct {
	// replicas is how many pods there are; more than partitions are idle.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Replicas *int32 `json:"replicas,omitempty"`
	// autoscaling has the operator choose the number of pods by their lag.
	// +optional
	Autoscaling *ArchiverAutoscaling `json:"autoscaling,omitempty"`
	// pod changes the pods of this part.
	// +optional
	// +kubebuilder:default={}
	Pod Pod `json:"pod,omitempty"`
}

// ArchiverAutoscaling chooses the number of archivers by their lag.
type ArchiverAutoscaling struct {
	// minReplicas is how many pods there are at least.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MinReplicas int32 `json:"minReplicas"`
	// maxReplicas is how many pods there are at most.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MaxReplicas int32 `json:"maxReplicas"`
	// targetLagMessages is how many messages may wait for a pod.
	// +optional
	// +kubebuilder:default=10000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000
	TargetLagMessages int32 `json:"targetLagMessages,omitempty"`
	// scaleDownAfterSeconds is how long fewer pods must have sufficed before one is taken away.
	// +optional
	// +kubebuilder:default=600
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	ScaleDownAfterSeconds *int32 `json:"scaleDownAfterSeconds,omitempty"`
}

// Drain is how a gateway ends: it fails its readiness and still serves for
// delaySeconds, then ends its sockets over windowSeconds. The pod's grace
// period is their sum and a rest.
type Drain struct {
	// delaySeconds is how long everything is still served after the readiness has failed.
	// +optional
	// +kubebuilder:default=5
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=300
	DelaySeconds *int32 `json:"delaySeconds,omitempty"`
	// windowSeconds is over how long the sockets are closed.
	// +optional
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3600
	WindowSeconds int32 `json:"windowSeconds,omitempty"`
}

// Pod changes the pods of a part. What it does not name is the operator's.
type Pod struct {
	// resources are what a pod asks for and may use.
	// +optional
	// +kubebuilder:default={}
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`
	// labels and annotations are added to the pods; the operator's own win.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Labels map[string]string `json:"labels,omitempty"`
	// annotations are added to the pods.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Annotations map[string]string `json:"annotations,omitempty"`
	// nodeSelector is which nodes the pods may run on.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	// tolerations let the pods run on tainted nodes.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`
	// affinity says near to what the pods run, or away from what.
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`
	// priorityClassName is the class of the pods' priority.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	PriorityClassName string `json:"priorityClassName,omitempty"`
	// topologySpread spreads the pods over hosts and zones. Preferred: where
	// possible. Required: a pod waits for a host with few enough of them; zones
	// are preferred. RequiredZones: the same of both, on nodes that all have the
	// label topology.kubernetes.io/zone. None: not at all.
	// +optional
	// +kubebuilder:default=Preferred
	// +kubebuilder:validation:Enum=Preferred;Required;RequiredZones;None
	TopologySpread string `json:"topologySpread,omitempty"`
}
