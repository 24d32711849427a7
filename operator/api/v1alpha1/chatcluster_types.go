package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ChatCluster is a chat server of many replicas over a Kafka and a Cassandra
// that exist already.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=chat,categories=all
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.gateway.replicas,statuspath=.status.replicas,selectorpath=.status.selector
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Gateways",type=integer,JSONPath=`.status.replicas`
// +kubebuilder:printcolumn:name="Updated",type=integer,JSONPath=`.status.updatedReplicas`
// +kubebuilder:printcolumn:name="Image",type=string,JSONPath=`.spec.image`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40",message="metadata.name must have at most 40 characters: the names of its parts are made of it"
type ChatCluster struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec ChatClusterSpec `json:"spec"`
	// +optional
	Status ChatClusterStatus `json:"status,omitempty"`
}

// ChatClusterList is a list of ChatClusters.
//
// +kubebuilder:object:root=true
type ChatClusterList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ChatCluster `json:"items"`
}

// State says whether the parts run.
//
// +kubebuilder:validation:Enum=Running;Hibernated
type State string

// The states.
const (
	StateRunning    State = "Running"
	StateHibernated State = "Hibernated"
)

// Reconciliation says whether the operator acts.
//
// +kubebuilder:validation:Enum=Active;Paused
type Reconciliation string

// The kinds of reconciliation.
const (
	ReconciliationActive Reconciliation = "Active"
	ReconciliationPaused Reconciliation = "Paused"
)

// UpdatePolicy says what happens when pods would change although nothing that
// the user controls did, as after an upgrade of the operator.
//
// +kubebuilder:validation:Enum=OnRequest;Automatic
type UpdatePolicy string

// The update policies.
const (
	UpdateOnRequest UpdatePolicy = "OnRequest"
	UpdateAutomatic UpdatePolicy = "Automatic"
)

// UpdateAnnotation on a ChatCluster holds the user's word for a withheld
// update: the revision that the condition RequiresUpdate names.
const UpdateAnnotation = "chatcluster.dev/update-to"

// ChatClusterSpec is what the user wants.
type ChatClusterSpec struct {
	// image is the image of chatd, by tag or digest.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image"`
	// imagePullPolicy is as in a pod; by default, as Kubernetes decides by the tag.
	// +optional
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	ImagePullPolicy string `json:"imagePullPolicy,omitempty"`
	// imagePullSecrets are names of Secrets of the namespace.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	ImagePullSecrets []string `json:"imagePullSecrets,omitempty"`

	// state is Hibernated to stop all parts and keep all data.
	// +optional
	// +kubebuilder:default=Running
	State State `json:"state,omitempty"`
	// reconciliation is Paused to have the operator change nothing, and list
	// in the condition Paused what it would.
	// +optional
	// +kubebuilder:default=Active
	Reconciliation Reconciliation `json:"reconciliation,omitempty"`
	// updatePolicy says whether pods may be replaced only because a newer
	// operator writes them otherwise. OnRequest reports RequiresUpdate and waits for
	// the annotation chatcluster.dev/update-to, or for any change of the spec.
	// +optional
	// +kubebuilder:default=OnRequest
	UpdatePolicy UpdatePolicy `json:"updatePolicy,omitempty"`

	// api is the REST API and the pages.
	// +optional
	// +kubebuilder:default={}
	API API `json:"api,omitempty"`
	// gateway holds the WebSockets.
	// +optional
	// +kubebuilder:default={}
	Gateway Gateway `json:"gateway,omitempty"`
	// archiver moves messages from Kafka to Cassandra.
	// +optional
	// +kubebuilder:default={}
	Archiver Archiver `json:"archiver,omitempty"`

	// kafka is the log of the cluster.
	// +required
	Kafka Kafka `json:"kafka"`
	// cassandra is the store of the cluster.
	// +required
	Cassandra Cassandra `json:"cassandra"`

	// retention says how long messages are kept.
	// +optional
	// +kubebuilder:default={}
	Retention Retention `json:"retention,omitempty"`
	// limits bound what one client may ask for.
	// +optional
	// +kubebuilder:default={}
	Limits Limits `json:"limits,omitempty"`
	// sessionAccess says who may read a session whose creator chose nothing.
	// +optional
	// +kubebuilder:default=Members
	// +kubebuilder:validation:Enum=Members;Link
	SessionAccess string `json:"sessionAccess,omitempty"`
	// exposure says how clients reach the cluster.
	// +optional
	// +kubebuilder:default={}
	Exposure Exposure `json:"exposure,omitempty"`
	// monitoring says how Prometheus finds the pods.
	// +optional
	// +kubebuilder:default={}
	Monitoring Monitoring `json:"monitoring,omitempty"`
	// networkPolicy restricts who may reach the pods.
	// +optional
	// +kubebuilder:default={}
	NetworkPolicy NetworkPolicy `json:"networkPolicy,omitempty"`
	// logging is what the pods log.
	// +optional
	// +kubebuilder:default={}
	Logging Logging `json:"logging,omitempty"`
}

// Logging is what the pods log.
type Logging struct {
	// level is the least severe that is logged.
	// +optional
	// +kubebuilder:default=info
	// +kubebuilder:validation:Enum=debug;info;warn;error
	Level string `json:"level,omitempty"`
	// format is json or text.
	// +optional
	// +kubebuilder:default=json
	// +kubebuilder:validation:Enum=json;text
	Format string `json:"format,omitempty"`
}

// Retention says how long messages are kept.
type Retention struct {
	// messageTTLHours is how long a session keeps a message, at most.
	// +optional
	// +kubebuilder:default=720
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=87600
	MessageTTLHours int32 `json:"messageTTLHours,omitempty"`
	// cleaner deletes older messages on a schedule.
	// +optional
	// +kubebuilder:default={}
	Cleaner Cleaner `json:"cleaner,omitempty"`
}

// Cleaner is the CronJob that deletes old messages.
//
// +kubebuilder:validation:XValidation:rule="!has(self.timeZone) || size(self.timeZone) == 0 || self.timeZone.matches('^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$')",message="timeZone must be a name of the time zone database, such as Europe/Berlin"
type Cleaner struct {
	// mode is Disabled to have no CronJob.
	// +optional
	// +kubebuilder:default=Enabled
	// +kubebuilder:validation:Enum=Enabled;Suspended;Disabled
	Mode string `json:"mode,omitempty"`
	// schedule is when it runs, as cron has it.
	// +optional
	// +kubebuilder:default="17 3 * * *"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Schedule string `json:"schedule,omitempty"`
	// timeZone is where the schedule's hours are; UTC by default.
	// +optional
	// +kubebuilder:default=Etc/UTC
	// +kubebuilder:validation:MaxLength=64
	TimeZone string `json:"timeZone,omitempty"`
	// olderThanDays is the age from which on messages are deleted.
	// +optional
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=36500
	OlderThanDays *int32 `json:"olderThanDays,omitempty"`
	// deadlineSeconds is how long a run may take.
	// +optional
	// +kubebuilder:default=3600
	// +kubebuilder:validation:Minimum=10
	// +kubebuilder:validation:Maximum=86400
	DeadlineSeconds int64 `json:"deadlineSeconds,omitempty"`
	// staleAfterHours is how long after its last success the cleaner counts
	// as unhealthy.
	// +optional
	// +kubebuilder:default=48
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=8784
	StaleAfterHours int32 `json:"staleAfterHours,omitempty"`
	// pod changes the cleaner's pods.
	// +optional
	// +kubebuilder:default={}
	Pod Pod `json:"pod,omitempty"`
}

// Limits bound what one client may ask for.
type Limits struct {
	// maxMessageBytes is the largest message, in bytes of UTF-8.
	// +optional
	// +kubebuilder:default=65536
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=921600
	MaxMessageBytes int32 `json:"maxMessageBytes,omitempty"`
	// messagesPerSecond is what one user may send in the long run, at each replica; 0 for no limit.
	// +optional
	// +kubebuilder:default=1000
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	MessagesPerSecond *int32 `json:"messagesPerSecond,omitempty"`
	// messageBurst is what one user may send at once.
	// +optional
	// +kubebuilder:default=5000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	MessageBurst int32 `json:"messageBurst,omitempty"`
}

// Exposure says how clients reach the cluster.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.ingress) && has(self.gatewayAPI))",message="set ingress or gatewayAPI, not both"
type Exposure struct {
	// serviceType is the type of the Services of api and gateway.
	// +optional
	// +kubebuilder:default=ClusterIP
	// +kubebuilder:validation:Enum=ClusterIP;NodePort;LoadBalancer
	ServiceType string `json:"serviceType,omitempty"`
	// serviceAnnotations are put on the Services of api and gateway.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	ServiceAnnotations map[string]string `json:"serviceAnnotations,omitempty"`
	// apiNodePort and gatewayNodePort fix the ports on the nodes; Kubernetes chooses where they are not set.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	APINodePort int32 `json:"apiNodePort,omitempty"`
	// gatewayNodePort is the gateways' port on the nodes; see apiNodePort.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	GatewayNodePort int32 `json:"gatewayNodePort,omitempty"`
	// ingress makes an Ingress for each host.
	// +optional
	Ingress *IngressExposure `json:"ingress,omitempty"`
	// gatewayAPI makes an HTTPRoute for each host.
	// +optional
	GatewayAPI *GatewayAPIExposure `json:"gatewayAPI,omitempty"`
	// allowedOrigins are origins, besides the server's own, whose pages may use a log-in cookie.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=253
	AllowedOrigins []string `json:"allowedOrigins,omitempty"`
	// trustedProxies are the networks (CIDR) of proxies whose X-Forwarded-For is believed.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=64
	TrustedProxies []string `json:"trustedProxies,omitempty"`
}

// Hosts are the names by which clients reach the two front ends. They differ,
// because a session's URI is a path at the gateway's root.
//
// +kubebuilder:validation:XValidation:rule="self.apiHost != self.gatewayHost",message="apiHost and gatewayHost must differ: a session's URI is a path at the gateway's root"
type Hosts struct {
	// apiHost is the name for the API and the pages.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	APIHost string `json:"apiHost"`
	// gatewayHost is the name for the WebSockets of one session.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	GatewayHost string `json:"gatewayHost"`
}

// IngressExposure is an Ingress for each host.
type IngressExposure struct {
	Hosts `json:",inline"`
	// className is the class of the Ingress; the cluster's default if empty.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ClassName string `json:"className,omitempty"`
	// annotations are put on both; what is set here wins over the hashing's.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Annotations map[string]string `json:"annotations,omitempty"`
	// tlsSecret is the Secret of the certificate of both hosts; no TLS if empty.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	TLSSecret string `json:"tlsSecret,omitempty"`
	// hashing sends the sockets of a session to one gateway, by the annotations of a
	// controller: Nginx for ingress-nginx, HAProxy for haproxy-ingress, None where
	// annotations of your own do it.
	// +optional
	// +kubebuilder:default=Nginx
	// +kubebuilder:validation:Enum=Nginx;HAProxy;None
	Hashing string `json:"hashing,omitempty"`
}

// GatewayAPIExposure is an HTTPRoute for each host.
type GatewayAPIExposure struct {
	Hosts `json:",inline"`
	// gatewayName is the Gateway that the routes attach to.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	GatewayName string `json:"gatewayName"`
	// gatewayNamespace is its namespace; the ChatCluster's if empty.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	GatewayNamespace string `json:"gatewayNamespace,omitempty"`
	// sectionName is its listener; any if empty.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	SectionName string `json:"sectionName,omitempty"`
	// hashing sends the sockets of a session to one gateway: EnvoyGateway by a
	// BackendTrafficPolicy where its CRD exists, None otherwise.
	// +optional
	// +kubebuilder:default=EnvoyGateway
	// +kubebuilder:validation:Enum=EnvoyGateway;None
	Hashing string `json:"hashing,omitempty"`
}

// Monitoring says how Prometheus finds the pods.
type Monitoring struct {
	// mode is Auto to make a PodMonitor, a PrometheusRule and a
	// GrafanaDashboard where their CRDs exist, and the usual scrape annotations on
	// the metrics Service where not; Disabled for none of it.
	// +optional
	// +kubebuilder:default=Auto
	// +kubebuilder:validation:Enum=Auto;Disabled
	Mode string `json:"mode,omitempty"`
	// labels are put on the PodMonitor, the PrometheusRule and the GrafanaDashboard,
	// for the selectors of a Prometheus or a Grafana.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Labels map[string]string `json:"labels,omitempty"`
	// intervalSeconds is how often a pod is scraped.
	// +optional
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3600
	IntervalSeconds int32 `json:"intervalSeconds,omitempty"`
}

// NetworkPolicy restricts who may reach the pods, and what they may reach.
type NetworkPolicy struct {
	// mode is Enabled to make the policies.
	// +optional
	// +kubebuilder:default=Disabled
	// +kubebuilder:validation:Enum=Enabled;Disabled
	Mode string `json:"mode,omitempty"`
	// metricsNamespaceLabels select the namespaces that may scrape the pods;
	// only the operator and the ChatCluster's own namespace if empty.
	// +optional
	// +kubebuilder:validation:MaxProperties=8
	MetricsNamespaceLabels map[string]string `json:"metricsNamespaceLabels,omitempty"`
}
