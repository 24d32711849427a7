package resources

import (
	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	corev1 "k8s.io/client-go/applyconfigurations/core/v1"
)

// secretDir is a folder of secretsDir.
type secretDir string

const (
	kafkaSecrets     secretDir = "kafka"
	cassandraSecrets secretDir = "cassandra"
)

// The files in it, whatever the keys of the Secrets are called.
const (
	passwordFile = "password"
	caFile       = "ca.crt"
	certFile     = "tls.crt"
	keyFile      = "tls.key"
)

func (d secretDir) file(name string) string { return secretsDir + "/" + string(d) + "/" + name }

// secretsVolume holds the entries of the Secrets that the pods read from files;
// nil if there are none.
func secretsVolume(in Inputs) *corev1.VolumeApplyConfiguration {
	projection := corev1.ProjectedVolumeSource().
		// Readable by the group, which is the pod's fsGroup.
		WithDefaultMode(0o440)
	add := func(dir secretDir, secret, key, file string) {
		projection.WithSources(corev1.VolumeProjection().WithSecret(corev1.SecretProjection().WithName(secret).
			WithItems(corev1.KeyToPath().WithKey(key).WithPath(string(dir) + "/" + file))))
	}
	addBackend := func(dir secretDir, credentials *v1alpha1.Credentials, tls *v1alpha1.BackendTLS) {
		if credentials != nil {
			add(dir, credentials.Secret, credentials.PasswordKey, passwordFile)
		}
		if tls == nil {
			return
		}
		if tls.CA != nil {
			add(dir, tls.CA.Secret, tls.CA.Key, caFile)
		}
		if tls.ClientSecret != "" {
			add(dir, tls.ClientSecret, tls.ClientCertificateKey, certFile)
			add(dir, tls.ClientSecret, tls.ClientKeyKey, keyFile)
		}
	}
	s := in.Cluster.Spec
	var sasl *v1alpha1.Credentials
	if s.Kafka.SASL != nil {
		sasl = &s.Kafka.SASL.Credentials
	}
	addBackend(kafkaSecrets, sasl, s.Kafka.TLS)
	addBackend(cassandraSecrets, s.Cassandra.Credentials, s.Cassandra.TLS)
	if len(projection.Sources) == 0 {
		return nil
	}
	return corev1.Volume().WithName("secrets").WithProjected(projection)
}

// usernames are variables with the users that stand in Secrets. Passwords are
// never in variables: those show up in descriptions and dumps.
func usernames(in Inputs) []*corev1.EnvVarApplyConfiguration {
	var env []*corev1.EnvVarApplyConfiguration
	add := func(name string, credentials *v1alpha1.Credentials) {
		if credentials == nil || credentials.UsernameKey == "" {
			return
		}
		env = append(env, corev1.EnvVar().WithName(name).WithValueFrom(corev1.EnvVarSource().WithSecretKeyRef(
			corev1.SecretKeySelector().WithName(credentials.Secret).WithKey(credentials.UsernameKey))))
	}
	s := in.Cluster.Spec
	if s.Kafka.SASL != nil {
		add("CHATD_KAFKA_USERNAME", &s.Kafka.SASL.Credentials)
	}
	add("CHATD_CASSANDRA_USERNAME", s.Cassandra.Credentials)
	return env
}
