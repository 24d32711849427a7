package controller

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// secretIndex finds the ChatClusters that name a Secret.
const secretIndex = "spec.secrets"

// secretDigest is the hash of the keys that are used of a Secret, at one
// version of it.
type secretDigest struct{ version, keys, hash string }

// secretKeys lists the Secrets that a ChatCluster names, with the keys of each,
// sorted.
func secretKeys(spec *v1alpha1.ChatClusterSpec) map[string][]string {
	keys := map[string][]string{}
	add := func(secret string, names ...string) {
		for _, name := range names {
			if name != "" && !slices.Contains(keys[secret], name) {
				keys[secret] = append(keys[secret], name)
			}
		}
	}
	credentials := func(c *v1alpha1.Credentials) {
		if c != nil {
			add(c.Secret, c.PasswordKey, c.UsernameKey)
		}
	}
	tls := func(t *v1alpha1.BackendTLS) {
		if t != nil && t.CA != nil {
			add(t.CA.Secret, t.CA.Key)
		}
		if t != nil && t.ClientSecret != "" {
			add(t.ClientSecret, t.ClientCertificateKey, t.ClientKeyKey)
		}
	}
	if spec.Kafka.SASL != nil {
		credentials(&spec.Kafka.SASL.Credentials)
	}
	credentials(spec.Cassandra.Credentials)
	tls(spec.Kafka.TLS)
	tls(spec.Cassandra.TLS)
	for _, names := range keys {
		slices.Sort(names)
	}
	return keys
}

// secretNames is the index of a ChatCluster by secretIndex.
func secretNames(o client.Object) []string {
	return slices.Sorted(maps.Keys(secretKeys(&o.(*v1alpha1.ChatCluster).Spec)))
}

func (r *Reconciler) clustersOfSecret(ctx context.Context, secret client.Object) []reconcile.Request {
	var list v1alpha1.ChatClusterList
	err := r.client.List(ctx, &list, client.InNamespace(secret.GetNamespace()), client.MatchingFields{secretIndex: secret.GetName()})
	if err != nil {
		r.options.Logger.Error("find the ChatClusters of a Secret", "error", err)
	}
	return requests(list)
}

// readSecrets hashes what the pods see of Secrets. Their metadata is cached;
// their content is read only when that has changed.
func (p *pass) readSecrets(ctx context.Context) error {
	keys := secretKeys(&p.cluster.Spec)
	if len(keys) == 0 {
		return nil
	}
	hash := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		digest, missing, err := p.readSecret(ctx, name, keys[name])
		if err != nil {
			return err
		}
		if missing != "" {
			p.observed.MissingSecret = missing
			return nil
		}
		fmt.Fprintf(hash, "%s=%s\n", name, digest)
	}
	p.inputs.SecretsHash = hex.EncodeToString(hash.Sum(nil))[:16]
	return nil
}

func (p *pass) readSecret(ctx context.Context, name string, keys []string) (digest, missing string, err error) {
	id := types.NamespacedName{Namespace: p.cluster.Namespace, Name: name}
	head := &metav1.PartialObjectMetadata{}
	head.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	if err := p.client.Get(ctx, id, head); apierrors.IsNotFound(err) {
		return "", fmt.Sprintf("there is no Secret %s in this namespace", name), nil
	} else if err != nil {
		return "", "", fmt.Errorf("look up Secret %s: %w", name, err)
	}
	joined := strings.Join(keys, ",")
	if known := p.state.secrets[name]; known.version == head.ResourceVersion && known.keys == joined {
		return known.hash, "", nil
	}
	secret := &corev1.Secret{}
	if err := p.live.Get(ctx, id, secret); apierrors.IsNotFound(err) {
		return "", fmt.Sprintf("there is no Secret %s in this namespace", name), nil
	} else if err != nil {
		return "", "", fmt.Errorf("read Secret %s: %w", name, err)
	}
	hash := sha256.New()
	for _, key := range keys {
		value, ok := secret.Data[key]
		if !ok {
			return "", fmt.Sprintf("Secret %s has no key %s", name, key), nil
		}
		fmt.Fprintf(hash, "%s:%d:", key, len(value))
		hash.Write(value)
	}
	digest = hex.EncodeToString(hash.Sum(nil))
	p.state.secrets[name] = secretDigest{version: secret.ResourceVersion, keys: joined, hash: digest}
	return digest, "", nil
}
