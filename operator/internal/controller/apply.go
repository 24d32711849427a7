package controller

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/chatcluster/chatcluster/operator/internal/resources"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// annotationApplied on a child is the hash of what was applied.
const annotationApplied = "chatcluster.dev/applied"

// optionalResync is how often a child of an optional kind is applied again.
// Such kinds are not watched, because they may be missing.
const optionalResync = 10 * time.Minute

type childKey struct {
	schema.GroupVersionKind
	name string
}

func keyOf(u *unstructured.Unstructured) childKey {
	return childKey{GroupVersionKind: u.GroupVersionKind(), name: u.GetName()}
}

// appliedVersion is what was applied, and the child's version after that.
type appliedVersion struct {
	hash, version string
	at            time.Time
}

// apply brings a child to where it should be, unless it is there already; while
// the ChatCluster is paused, it notes that it would.
func (p *pass) apply(ctx context.Context, u *unstructured.Unstructured) error {
	key := keyOf(u)
	p.wanted[key] = true
	hash, err := stamp(u)
	if err != nil {
		return fmt.Errorf("hash %s %s: %w", key.Kind, key.name, err)
	}
	live, err := p.liveChild(ctx, key)
	if err != nil {
		return err
	}
	if p.observed.Paused {
		if live == nil || live.GetAnnotations()[annotationApplied] != hash {
			p.observed.Pending = append(p.observed.Pending, key.Kind+" "+key.name)
		}
		return nil
	}
	known, watched := p.state.applied[key], p.watched(key.GroupVersionKind)
	if known.hash == hash {
		if watched && live != nil && version(live) == known.version {
			return nil
		}
		if !watched && p.observed.Now.Sub(known.at) < optionalResync {
			return nil
		}
	}
	if err := p.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), FieldOwner, client.ForceOwnership); err != nil {
		return fmt.Errorf("apply %s %s: %w", key.Kind, key.name, err)
	}
	// u is what the API server answered now.
	p.state.applied[key] = appliedVersion{hash: hash, version: version(u), at: p.observed.Now}
	return nil
}

// liveChild is a child as the cache has it, or nil. Children of optional kinds
// are asked for only where it matters: while paused.
func (p *pass) liveChild(ctx context.Context, key childKey) (client.Object, error) {
	id := client.ObjectKey{Namespace: p.cluster.Namespace, Name: key.name}
	if !p.watched(key.GroupVersionKind) {
		if !p.observed.Paused {
			return nil, nil
		}
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(key.GroupVersionKind)
		return found(u, p.live.Get(ctx, id, u))
	}
	object, err := p.client.Scheme().New(key.GroupVersionKind)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", key.Kind, err)
	}
	child := object.(client.Object)
	return found(child, p.client.Get(ctx, id, child))
}

func found(o client.Object, err error) (client.Object, error) {
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get child: %w", err)
	}
	return o, nil
}

// watched reports whether the kind is one of Kubernetes' own, which are
// watched and cached.
func (p *pass) watched(kind schema.GroupVersionKind) bool { return p.client.Scheme().Recognizes(kind) }

// stamp notes on u the hash of all that it has, and returns it.
func stamp(u *unstructured.Unstructured) (string, error) {
	annotations := u.GetAnnotations()
	delete(annotations, annotationApplied)
	u.SetAnnotations(annotations)
	data, err := json.Marshal(u)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	hash := hex.EncodeToString(sum[:8])
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[annotationApplied] = hash
	u.SetAnnotations(annotations)
	return hash, nil
}

// version changes whenever somebody changes what a child shall be. The
// resourceVersion changes with the status too, so the generation is used where there
// is one.
func version(o client.Object) string {
	if o.GetGeneration() == 0 {
		return string(o.GetUID()) + "/" + o.GetResourceVersion()
	}
	// Labels and annotations do not change the generation.
	data, _ := json.Marshal([]map[string]string{o.GetLabels(), o.GetAnnotations()})
	sum := sha256.Sum256(data)
	return string(o.GetUID()) + "/" + strconv.FormatInt(o.GetGeneration(), 10) + "/" + hex.EncodeToString(sum[:4])
}

// applyFoundation applies what pods need before they start, and all that is
// not a pod's template.
func (p *pass) applyFoundation(ctx context.Context) error {
	configMap, err := resources.ConfigMap(p.inputs)
	if err != nil {
		return fmt.Errorf("render configuration: %w", err)
	}
	rest, err := resources.Rest(p.inputs)
	if err != nil {
		return fmt.Errorf("render children: %w", err)
	}
	for _, u := range append(rest, configMap) {
		if err := p.apply(ctx, u); err != nil {
			return err
		}
	}
	return nil
}
