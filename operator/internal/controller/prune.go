package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/chatcluster/chatcluster/operator/internal/resources"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// prune deletes children that are no longer wanted, such as the disruption
// budget of a part that has one replica now.
func (p *pass) prune(ctx context.Context) error {
	p.keepConfigMapsInUse()
	optional := p.optionalWanted()
	for _, kind := range resources.Prunable(p.inputs.Capabilities) {
		// Optional kinds are not cached: they are asked for only when what is
		// wanted of them has changed.
		if !p.watched(kind) && p.state.optional == optional {
			continue
		}
		if err := p.pruneKind(ctx, kind); err != nil {
			return err
		}
	}
	if !p.observed.Paused {
		p.state.optional = optional
	}
	return nil
}

func (p *pass) optionalWanted() string {
	var names []string
	for key := range p.wanted {
		if !p.watched(key.GroupVersionKind) {
			names = append(names, key.Kind+"/"+key.name)
		}
	}
	slices.Sort(names)
	return fmt.Sprintf("%v %s", p.inputs.Capabilities, strings.Join(names, ","))
}

// keepConfigMapsInUse keeps the configurations that a pod has mounted or a
// template names: a pod of the old template that restarts during a rollout must find
// its own.
func (p *pass) keepConfigMapsInUse() {
	keep := func(spec corev1.PodSpec) {
		for _, v := range spec.Volumes {
			if v.ConfigMap != nil {
				p.wanted[childKey{corev1.SchemeGroupVersion.WithKind("ConfigMap"), v.ConfigMap.Name}] = true
			}
		}
	}
	for _, pod := range p.children.pods {
		keep(pod.Spec)
	}
	for _, d := range p.children.deployments {
		keep(d.Spec.Template.Spec)
	}
	for _, job := range p.children.jobs {
		keep(job.Spec.Template.Spec)
	}
}

func (p *pass) pruneKind(ctx context.Context, kind schema.GroupVersionKind) error {
	// Metadata is enough, but the cache of a watched kind holds whole objects.
	var list client.ObjectList = &metav1.PartialObjectMetadataList{}
	reader := p.live
	if p.watched(kind) {
		object, err := p.client.Scheme().New(kind.GroupVersion().WithKind(kind.Kind + "List"))
		if err != nil {
			return fmt.Errorf("look up %s: %w", kind.Kind, err)
		}
		list, reader = object.(client.ObjectList), p.client
	} else {
		list.GetObjectKind().SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	}
	err := reader.List(ctx, list, client.InNamespace(p.cluster.Namespace),
		client.MatchingLabels{resources.LabelManagedBy: resources.ManagedByValue, resources.LabelInstance: p.cluster.Name})
	if err != nil {
		return fmt.Errorf("list %s: %w", kind.Kind, err)
	}
	return meta.EachListItem(list, func(item runtime.Object) error {
		child := item.(client.Object)
		if p.wanted[childKey{kind, child.GetName()}] || !metav1.IsControlledBy(child, p.cluster) {
			return nil
		}
		if p.observed.Paused {
			p.observed.Pending = append(p.observed.Pending, "no "+kind.Kind+" "+child.GetName())
			return nil
		}
		uid := child.GetUID()
		err := p.client.Delete(ctx, child, client.Preconditions{UID: &uid}, client.PropagationPolicy(metav1.DeletePropagationBackground))
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete %s %s: %w", kind.Kind, child.GetName(), err)
		}
		delete(p.state.applied, childKey{kind, child.GetName()})
		return nil
	})
}
