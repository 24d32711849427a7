package v1alpha1

// Kafka is the log of the cluster: it exists already, and is kept when the
// ChatCluster is deleted.
//
// +kubebuilder:validation:XValidation:rule="self.minInsyncReplicas <= self.replicationFactor",message="minInsyncReplicas must not exceed replicationFactor"
// +kubebuilder:validation:XValidation:rule="self.partitions >= oldSelf.partitions",message="partitions never shrink: rooms keep theirs"
// +kubebuilder:validation:XValidation:rule="self.topicPrefix == oldSelf.topicPrefix",message="topicPrefix is immutable: the messages are in the topics that it names"
type Kafka struct {
	// brokers are host:port of some of the brokers.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=261
	// +kubebuilder:validation:items:Pattern=`^[^:\s]+:[0-9]{1,5}$`
	Brokers []string `json:"brokers"`
	// topicPrefix is what the names of the topics begin with.
	// +optional
	// +kubebuilder:default=chat
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9._-]+$`
	TopicPrefix string `json:"topicPrefix,omitempty"`
	// partitions of the topics of messages and rooms.
	// +optional
	// +kubebuilder:default=64
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4096
	Partitions int32 `json:"partitions,omitempty"`
	// replicationFactor is how many brokers have each partition.
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=15
	ReplicationFactor int32 `json:"replicationFactor,omitempty"`
	// minInsyncReplicas is how many must have a message before it is acknowledged.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=15
	MinInsyncReplicas int32 `json:"minInsyncReplicas,omitempty"`
	// retentionHours is how long Kafka keeps messages: longer than the archivers may be down.
	// +optional
	// +kubebuilder:default=72
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=87600
	RetentionHours int32 `json:"retentionHours,omitempty"`
	// sasl is how the pods log in; not at all if it is left out.
	// +optional
	SASL *KafkaSASL `json:"sasl,omitempty"`
	// tls is how the connection is protected; not at all if it is left out.
	// +optional
	TLS *BackendTLS `json:"tls,omitempty"`
}

// KafkaSASL is how the pods log in to Kafka.
type KafkaSASL struct {
	// mechanism is the SASL mechanism.
	// +required
	// +kubebuilder:validation:Enum=PLAIN;SCRAM-SHA-256;SCRAM-SHA-512
	Mechanism string `json:"mechanism"`
	// credentials are the user and the password.
	// +required
	Credentials Credentials `json:"credentials"`
}

// Credentials are a user and a password. The user stands here or in the Secret.
//
// +kubebuilder:validation:XValidation:rule="has(self.username) != has(self.usernameKey)",message="set username, or usernameKey to take it from the Secret"
type Credentials struct {
	// secret is the name of a Secret of the namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Secret string `json:"secret"`
	// passwordKey is the password's key in it.
	// +optional
	// +kubebuilder:default=password
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	PasswordKey string `json:"passwordKey,omitempty"`
	// username is the user, as for a Secret of Strimzi's that holds the password only.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Username string `json:"username,omitempty"`
	// usernameKey is the user's key in the Secret.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	UsernameKey string `json:"usernameKey,omitempty"`
}

// BackendTLS is how a connection to a backend is protected. With none of its
// fields, the system's authorities are trusted.
type BackendTLS struct {
	// ca is the Secret with the authorities to trust, in PEM form.
	// +optional
	CA *SecretKey `json:"ca,omitempty"`
	// clientSecret is a Secret with tls.crt and tls.key of the client's own.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ClientSecret string `json:"clientSecret,omitempty"`
	// clientCertificateKey and clientKeyKey name the keys in it.
	// +optional
	// +kubebuilder:default=tls.crt
	// +kubebuilder:validation:MaxLength=253
	ClientCertificateKey string `json:"clientCertificateKey,omitempty"`
	// clientKeyKey is the client's private key's key in clientSecret.
	// +optional
	// +kubebuilder:default=tls.key
	// +kubebuilder:validation:MaxLength=253
	ClientKeyKey string `json:"clientKeyKey,omitempty"`
}

// SecretKey is one entry of a Secret of the namespace.
type SecretKey struct {
	// secret is the name of a Secret of the namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Secret string `json:"secret"`
	// key is the entry's key.
	// +optional
	// +kubebuilder:default=ca.crt
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
}

// Cassandra is the store of the cluster: it exists already, and is kept when
// the ChatCluster is deleted.
//
// +kubebuilder:validation:XValidation:rule="self.keyspace == oldSelf.keyspace",message="keyspace is immutable: the history is in it"
type Cassandra struct {
	// hosts are host or host:port of some of the nodes.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=261
	// +kubebuilder:validation:items:Pattern=`^[^:\s]+(:[0-9]{1,5})?$`
	Hosts []string `json:"hosts"`
	// keyspace of the tables.
	// +optional
	// +kubebuilder:default=chat
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=48
	// +kubebuilder:validation:Pattern=`^[a-z][a-z0-9_]*$`
	Keyspace string `json:"keyspace,omitempty"`
	// datacenter to prefer, and to replicate in; any if empty.
	// +optional
	// +kubebuilder:validation:MaxLength=48
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_.-]*$`
	Datacenter string `json:"datacenter,omitempty"`
	// replicationFactor of the keyspace, where it does not exist yet.
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=15
	ReplicationFactor int32 `json:"replicationFactor,omitempty"`
	// credentials are the user and the password; none if they are left out.
	// +optional
	Credentials *Credentials `json:"credentials,omitempty"`
	// tls is how the connection is protected; not at all if it is left out.
	// +optional
	TLS *BackendTLS `json:"tls,omitempty"`
}
