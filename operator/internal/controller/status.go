package controller

import (
	"context"
	"fmt"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	"github.com/chatcluster/chatcluster/operator/internal/decide"
	"github.com/chatcluster/chatcluster/operator/internal/resources"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// greet says that the ChatCluster was seen, before any slow work: to kstatus an
// object without the condition Ready is ready.
func (p *pass) greet(ctx context.Context) error {
	p.cluster.Status.ObservedGeneration = p.cluster.Generation
	meta.SetStatusCondition(&p.cluster.Status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionUnknown, Reason: decide.ReasonReconcileStarting,
		Message: "the operator looks at it for the first time", ObservedGeneration: p.cluster.Generation,
	})
	return p.writeStatus(ctx)
}

// report writes the status, if it changed, and tells of what did.
func (p *pass) report(ctx context.Context, passErr error) error {
	if passErr != nil {
		p.observed.Error = passErr.Error()
	}
	status := &p.cluster.Status
	status.ObservedGeneration = p.cluster.Generation
	status.Selector = labels.SelectorFromSet(resources.Selector(p.cluster.Name, resources.PartGateway)).String()
	if d := p.children.deployments[resources.PartGateway]; d != nil {
		status.Replicas, status.ReadyReplicas, status.UpdatedReplicas = d.Status.Replicas, d.Status.ReadyReplicas, d.Status.UpdatedReplicas
	} else {
		status.Replicas, status.ReadyReplicas, status.UpdatedReplicas = 0, 0, 0
	}
	status.Endpoints = &v1alpha1.Endpoints{
		API:     fmt.Sprintf("http://%s.%s:%d", resources.Name(p.cluster.Name, resources.PartAPI), p.cluster.Namespace, resources.PortAPI),
		Gateway: fmt.Sprintf("ws://%s.%s:%d", resources.Name(p.cluster.Name, resources.PartGateway), p.cluster.Namespace, resources.PortGateway),
	}
	for _, condition := range p.observed.Conditions() {
		if meta.SetStatusCondition(&status.Conditions, condition) {
			p.announce(condition)
		}
	}
	p.options.Metrics.observe(p.cluster)
	return p.writeStatus(ctx)
}

func (p *pass) writeStatus(ctx context.Context) error {
	if equality.Semantic.DeepEqual(p.before.Status, p.cluster.Status) {
		return nil
	}
	written := p.cluster.DeepCopy()
	if err := p.client.Status().Patch(ctx, written, client.MergeFrom(p.before), FieldOwner); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("write status: %w", err))
	}
	p.cluster.ResourceVersion = written.ResourceVersion
	p.before = p.cluster.DeepCopy()
	return nil
}

// announce makes an event of a condition that turned for the worse or the
// better.
func (p *pass) announce(c metav1.Condition) {
	before := meta.FindStatusCondition(p.before.Status.Conditions, c.Type)
	if before != nil && before.Status == c.Status && before.Reason == c.Reason {
		return
	}
	bad := map[string]metav1.ConditionStatus{
		v1alpha1.ConditionDegraded: metav1.ConditionTrue, v1alpha1.ConditionDependenciesReady: metav1.ConditionFalse,
		v1alpha1.ConditionCleanerHealthy: metav1.ConditionFalse, v1alpha1.ConditionRequiresUpdate: metav1.ConditionTrue,
	}
	switch worst, judged := bad[c.Type]; {
	case judged && c.Status == worst:
		p.event(corev1.EventTypeWarning, c.Type, "Observe", "%s: %s", c.Reason, c.Message)
	case judged && before != nil && before.Status == worst:
		p.event(corev1.EventTypeNormal, c.Type, "Observe", "no longer: %s", c.Message)
	case c.Type == v1alpha1.ConditionReady && c.Status == metav1.ConditionTrue:
		p.event(corev1.EventTypeNormal, c.Type, "Observe", "%s", c.Message)
	}
	p.logger.Info("condition changed", "condition", c.Type, "status", c.Status, "reason", c.Reason, "message", c.Message)
}

func (p *pass) event(kind, reason, action, note string, args ...any) {
	p.events.Eventf(p.cluster, nil, kind, reason, action, note, args...)
}

// is reports whether a condition is True.
func (p *pass) is(kind string) bool {
	return meta.IsStatusConditionTrue(p.cluster.Status.Conditions, kind)
}
