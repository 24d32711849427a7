package controller

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	"github.com/chatcluster/chatcluster/operator/internal/decide"
	"github.com/chatcluster/chatcluster/operator/internal/resources"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	"k8s.io/utils/ptr"
)

// shownPaths is how many changed fields RequiresUpdate names, for each part.
const shownPaths = 4

// chooseReplicas says how many pods each Deployment shall have.
func (p *pass) chooseReplicas(ctx context.Context) {
	if p.observed.Hibernated {
		return
	}
	spec, scaler := &p.cluster.Spec, p.scaler()
	for part, replicas := range map[resources.Part]*int32{
		resources.PartAPI: spec.API.Replicas, resources.PartGateway: spec.Gateway.Replicas, resources.PartArchiver: spec.Archiver.Replicas,
	} {
		p.inputs.Replicas[part] = ptr.Deref(replicas, 0)
	}
	for _, of := range []struct {
		part resources.Part
		as   func(*v1alpha1.ChatCluster, *appsv1.Deployment, []corev1.Pod) (autoscaled, bool)
	}{{resources.PartGateway, gateways}, {resources.PartArchiver, archivers}} {
		a, ok := of.as(p.cluster, p.children.deployments[of.part], p.children.podsOf(of.part))
		switch {
		case !ok:
		// What waits for a backend that is away gets no shorter by more archivers.
		case p.observed.Paused || of.part == resources.PartArchiver && p.observed.Unreachable != "":
			p.inputs.Replicas[of.part] = a.current()
		default:
			replicas, reason := scaler.scale(ctx, a)
			if reason != "" {
				p.event(corev1.EventTypeNormal, "Scaled", "Scale", "%s: %d to %d pods: %s", of.part, a.current(), replicas, reason)
			}
			p.inputs.Replicas[of.part] = replicas
			p.autoscaled = true
		}
	}
}

func (p *pass) scaler() scaler {
	return scaler{scaling: &p.state.scaling, pods: p.options.Pods, logger: p.logger, now: p.observed.Now}
}

// rebalance has old gateways give sockets to new ones.
func (p *pass) rebalance(ctx context.Context) error {
	if p.cluster.Spec.Gateway.Rebalance == "Enabled" && !p.observed.Hibernated && !p.observed.Paused {
		p.rebalancing = p.scaler().rebalance(ctx, p.children.deployments[resources.PartGateway], p.children.podsOf(resources.PartGateway))
	}
	return nil
}

// rollOut writes the Deployments.
func (p *pass) rollOut(ctx context.Context) error {
	rendered := map[resources.Part]*unstructured.Unstructured{}
	for _, part := range resources.Deployments {
		u, err := resources.Deployment(p.inputs, part)
		if err != nil {
			return fmt.Errorf("render %s: %w", part, err)
		}
		rendered[part] = u
	}
	p.observed.UpdateTo = updateRevision(rendered)
	approved := p.cluster.Spec.UpdatePolicy == v1alpha1.UpdateAutomatic || p.cluster.Annotations[v1alpha1.UpdateAnnotation] == p.observed.UpdateTo
	for _, part := range resources.Deployments {
		if err := p.rollOutPart(ctx, part, rendered[part], approved); err != nil {
			return err
		}
		observed := p.children.part(part, p.inputs.Replicas[part])
		if !observed.Complete() {
			observed.Unready = p.unready(ctx, part)
		}
		p.observed.Parts = append(p.observed.Parts, observed)
	}
	return nil
}

func (p *pass) rollOutPart(ctx context.Context, part resources.Part, u *unstructured.Unstructured, approved bool) error {
	live := p.children.deployments[part]
	want := u.GetAnnotations()
	r := decide.Rollout{
		Exists: live != nil, Inputs: want[resources.AnnotationInputs], Revision: want[resources.AnnotationRevision],
		Migrated: p.observed.Migration == decide.MigrationNone, Hibernated: p.observed.Hibernated, Approved: approved,
	}
	if live != nil {
		r.LiveInputs, r.LiveRevision = live.Annotations[resources.AnnotationInputs], live.Annotations[resources.AnnotationRevision]
	}
	switch action := r.Decide(); action {
	case decide.RolloutSkip:
		return nil
	case decide.RolloutApply:
		return p.applyDeployment(ctx, part, u)
	default:
		scaled, err := withReplicas(live, p.inputs.Replicas[part])
		if err != nil {
			return fmt.Errorf("keep the template of %s: %w", part, err)
		}
		if action == decide.RolloutWithhold {
			p.observed.Withheld = append(p.observed.Withheld, string(part)+": "+changes(scaled, u))
		}
		return p.applyDeployment(ctx, part, scaled)
	}
}

// applyDeployment applies a Deployment and goes on with what the API server
// answers: the cache may still have it as it was, which was rolled out.
func (p *pass) applyDeployment(ctx context.Context, part resources.Part, u *unstructured.Unstructured) error {
	if err := p.apply(ctx, u); err != nil {
		return err
	}
	if u.GetUID() == "" {
		return nil // it was applied before, and the cache has it
	}
	d := &appsv1.Deployment{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, d); err != nil {
		return fmt.Errorf("read the answer for %s: %w", part, err)
	}
	p.children.deployments[part] = d
	return nil
}

// startTime is how long a pod may run before it is asked why it is not ready.
const startTime = 30 * time.Second

// unready asks a pod that has run for a while and is not ready for its reason.
func (p *pass) unready(ctx context.Context, part resources.Part) string {
	for _, pod := range p.children.podsOf(part) {
		if _, ready := readySince(pod); ready || pod.DeletionTimestamp != nil || pod.Status.PodIP == "" || !runsSince(pod, p.observed.Now.Add(-startTime)) {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, podsTime)
		defer cancel()
		checks, err := p.options.Pods.Failing(ctx, address(pod))
		if err != nil {
			p.logger.Debug("pod does not tell why it is not ready", "pod", pod.Name, "error", err)
			return "it does not answer"
		}
		return strings.Join(checks, ", ")
	}
	return ""
}

// runsSince reports whether the pod's containers run, and have since t.
func runsSince(pod corev1.Pod, t time.Time) bool {
	return len(pod.Status.ContainerStatuses) > 0 && !slices.ContainsFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
		return s.State.Running == nil || s.State.Running.StartedAt.After(t)
	})
}

// updateRevision names the templates of all parts together.
func updateRevision(rendered map[resources.Part]*unstructured.Unstructured) string {
	hash := sha256.New()
	for _, part := range resources.Deployments {
		fmt.Fprintf(hash, "%s=%s\n", part, rendered[part].GetAnnotations()[resources.AnnotationRevision])
	}
	return hex.EncodeToString(hash.Sum(nil))[:10]
}

// withReplicas is what the operator applied to a Deployment last, with another
// number of replicas: all of it must be sent again, for what is left out is taken
// away.
func withReplicas(live *appsv1.Deployment, replicas int32) (*unstructured.Unstructured, error) {
	applied, err := appsv1ac.ExtractDeployment(live, string(FieldOwner))
	if err != nil {
		return nil, err
	}
	if applied.Spec == nil || applied.Spec.Template == nil {
		return nil, fmt.Errorf("deployment %s has no template of this operator's", live.Name)
	}
	applied.Spec.WithReplicas(replicas)
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(applied)
	if err != nil {
		return nil, err
	}
	return &unstructured.Unstructured{Object: content}, nil
}

// changes names the fields of the pod template that differ.
func changes(from, to *unstructured.Unstructured) string {
	before, _, _ := unstructured.NestedMap(from.Object, "spec", "template")
	after, _, _ := unstructured.NestedMap(to.Object, "spec", "template")
	paths := changedPaths(nil, "", before, after)
	slices.Sort(paths)
	if more := len(paths) - shownPaths; more > 0 {
		paths = append(paths[:shownPaths], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(paths, ", ")
}

func changedPaths(paths []string, at string, before, after any) []string {
	switch b := before.(type) {
	case map[string]any:
		a, ok := after.(map[string]any)
		if !ok {
			return append(paths, at)
		}
		for key := range b {
			paths = changedPaths(paths, join(at, key), b[key], a[key])
		}
		for key := range a {
			if _, ok := b[key]; !ok {
				paths = append(paths, join(at, key))
			}
		}
		return paths
	case []any:
		a, ok := after.([]any)
		if !ok || len(a) != len(b) {
			return append(paths, at)
		}
		for i := range b {
			paths = changedPaths(paths, fmt.Sprintf("%s[%d]", at, i), b[i], a[i])
		}
		return paths
	default:
		if before != after {
			paths = append(paths, at)
		}
		return paths
	}
}

func join(at, key string) string {
	if at == "" {
		return key
	}
	return at + "." + key
}
