package controller

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/chatcluster/chatcluster/operator/internal/decide"
	"github.com/chatcluster/chatcluster/operator/internal/resources"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// children are the parts of a ChatCluster as the cache has them.
type children struct {
	deployments map[resources.Part]*appsv1.Deployment
	jobs        []batchv1.Job
	pods        []corev1.Pod
}

// observe reads the children that decisions depend on.
func (p *pass) observe(ctx context.Context) error {
	ours := []client.ListOption{
		client.InNamespace(p.cluster.Namespace),
		client.MatchingLabels{resources.LabelManagedBy: resources.ManagedByValue, resources.LabelInstance: p.cluster.Name},
	}
	var (
		deployments appsv1.DeploymentList
		jobs        batchv1.JobList
		pods        corev1.PodList
	)
	for _, list := range []client.ObjectList{&deployments, &jobs, &pods} {
		if err := p.client.List(ctx, list, ours...); err != nil {
			return fmt.Errorf("list children: %w", err)
		}
	}
	p.children = children{deployments: map[resources.Part]*appsv1.Deployment{}, jobs: jobs.Items, pods: pods.Items}
	for i := range deployments.Items {
		d := &deployments.Items[i]
		p.children.deployments[resources.Part(d.Labels[resources.LabelComponent])] = d
	}
	slices.SortFunc(p.children.pods, func(a, b corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}

// podsOf are the pods of a part, by name.
func (c children) podsOf(part resources.Part) []corev1.Pod {
	var pods []corev1.Pod
	for _, pod := range c.pods {
		if pod.Labels[resources.LabelComponent] == string(part) {
			pods = append(pods, pod)
		}
	}
	return pods
}

// part is what was observed of a Deployment that shall have some pods.
func (c children) part(part resources.Part, desired int32) decide.Part {
	observed := decide.Part{Name: string(part), Desired: desired, Trouble: trouble(c.podsOf(part))}
	d := c.deployments[part]
	if d == nil {
		return observed
	}
	observed.Exists = true
	observed.Pods, observed.Updated, observed.Available = d.Status.Replicas, d.Status.UpdatedReplicas, d.Status.AvailableReplicas
	for _, condition := range d.Status.Conditions {
		if condition.Type != appsv1.DeploymentProgressing {
			continue
		}
		observed.RolledOut = condition.Reason == "NewReplicaSetAvailable" && d.Status.ObservedGeneration == d.Generation
		observed.Stuck = condition.Reason == "ProgressDeadlineExceeded"
	}
	// A Deployment of no pods has nothing to roll out.
	if desired == 0 && d.Status.ObservedGeneration == d.Generation && d.Status.Replicas == 0 {
		observed.RolledOut = true
	}
	return observed
}

// trouble says why the first pod that does not start does not; numbers that
// grow, such as that of the restarts, are left out.
func trouble(pods []corev1.Pod) string {
	for _, pod := range pods {
		if pod.DeletionTimestamp != nil {
			continue
		}
		for _, condition := range pod.Status.Conditions {
			if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse && condition.Reason == corev1.PodReasonUnschedulable {
				return "a pod can't be scheduled: " + condition.Message
			}
		}
		for _, s := range pod.Status.ContainerStatuses {
			waiting := s.State.Waiting
			if waiting == nil || waiting.Reason == "ContainerCreating" || waiting.Reason == "PodInitializing" {
				continue
			}
			if last := s.LastTerminationState.Terminated; last != nil && last.Message != "" {
				return waiting.Reason + ": " + lastLine(last.Message)
			}
			return waiting.Reason
		}
	}
	return ""
}
