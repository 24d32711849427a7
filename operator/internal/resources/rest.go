package resources

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	corev1 "k8s.io/client-go/applyconfigurations/core/v1"
)

// Rest are the objects that have no pods and may be applied at any time, in an
// order that does not matter.
func Rest(in Inputs) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	for _, make := range []func(Inputs) ([]*unstructured.Unstructured, error){
		serviceAccount, services, disruptionBudgets, networkPolicies, ingresses, routes, monitors,
	} {
		made, err := make(in)
		if err != nil {
			return nil, err
		}
		all = append(all, made...)
	}
	return all, nil
}

// serviceAccount has no rights and mounts no token.
func serviceAccount(in Inputs) ([]*unstructured.Unstructured, error) {
	return objects(corev1.ServiceAccount(in.Cluster.Name, in.Cluster.Namespace).
		WithLabels(labels(in.Cluster.Name, "")).WithOwnerReferences(owner(in)).
		WithAutomountServiceAccountToken(false))
}

func objects(configurations ...any) ([]*unstructured.Unstructured, error) {
	all := make([]*unstructured.Unstructured, 0, len(configurations))
	for _, c := range configurations {
		u, err := object(c)
		if err != nil {
			return nil, err
		}
		all = append(all, u)
	}
	return all, nil
}

// The kinds that are not Kubernetes' own.
var (
	httpRouteKind            = schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRoute"}
	backendTrafficPolicyKind = schema.GroupVersionKind{Group: "gateway.envoyproxy.io", Version: "v1alpha1", Kind: "BackendTrafficPolicy"}
	podMonitorKind           = schema.GroupVersionKind{Group: "monitoring.coreos.com", Version: "v1", Kind: "PodMonitor"}
	prometheusRuleKind       = schema.GroupVersionKind{Group: "monitoring.coreos.com", Version: "v1", Kind: "PrometheusRule"}
	grafanaDashboardKind     = schema.GroupVersionKind{Group: "grafana.integreatly.org", Version: "v1beta1", Kind: "GrafanaDashboard"}
)

// Prunable are the kinds of which objects with our labels and our owner that are
// no longer rendered are deleted.
//
// Jobs are not among them, although their names change: their results are looked
// at, and they end by their own time to live. Whoever deletes ConfigMaps must spare
// those that pods of an older revision still need.
func Prunable(c Capabilities) []schema.GroupVersionKind {
	kinds := []schema.GroupVersionKind{
		{Group: "batch", Version: "v1", Kind: "CronJob"},
		{Version: "v1", Kind: "ConfigMap"},
		{Version: "v1", Kind: "Service"},
		{Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"},
		{Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy"},
		{Group: "networking.k8s.io", Version: "v1", Kind: "Ingress"},
	}
	for _, optional := range []struct {
		known bool
		kind  schema.GroupVersionKind
	}{
		{c.HTTPRoute, httpRouteKind},
		{c.BackendTrafficPolicy, backendTrafficPolicyKind},
		{c.PodMonitor, podMonitorKind},
		{c.PrometheusRule, prometheusRuleKind},
		{c.GrafanaDashboard, grafanaDashboardKind},
	} {
		if optional.known {
			kinds = append(kinds, optional.kind)
		}
	}
	return kinds
}
