package resources

import (
	"fmt"
	"maps"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// modeAuto is the mode in which monitors are made where their kinds exist.
const modeAuto = "Auto"

// monitors are what Prometheus and Grafana are told, by way of their operators
// where these are there.
func monitors(in Inputs) ([]*unstructured.Unstructured, error) {
	m := in.Cluster.Spec.Monitoring
	if m.Mode != modeAuto {
		return nil, nil
	}
	// Nothing is wrong with a cluster that rests on purpose.
	alerting := in.Cluster.Spec.State != v1alpha1.StateHibernated
	var all []*unstructured.Unstructured
	for _, made := range []struct {
		wanted bool
		make   func(Inputs) (*unstructured.Unstructured, error)
	}{
		{in.Capabilities.PodMonitor, podMonitor},
		{alerting && in.Capabilities.PrometheusRule, prometheusRule},
		{alerting && !in.Capabilities.PrometheusRule, alertRules},
		{in.Capabilities.GrafanaDashboard, grafanaDashboard},
	} {
		if !made.wanted {
			continue
		}
		u, err := made.make(in)
		if err != nil {
			return nil, err
		}
		// The selectors of a Prometheus or a Grafana look at these.
		all = append(all, withLabels(u, m.Labels))
	}
	return all, nil
}

// withLabels adds the user's labels; the operator's own win.
func withLabels(u *unstructured.Unstructured, more map[string]string) *unstructured.Unstructured {
	merged := maps.Clone(more)
	if merged == nil {
		merged = map[string]string{}
	}
	maps.Copy(merged, u.GetLabels())
	u.SetLabels(merged)
	return u
}

// podMonitor has the pods of all Deployments scraped. Their series carry the
// labels chatcluster and part, by which alerts and dashboard find them.
func podMonitor(in Inputs) (*unstructured.Unstructured, error) {
	selector := clusterSelector(in.Cluster.Name)
	selector[labelMetrics] = "true"
	relabel := func(podLabel, target string) map[string]any {
		return map[string]any{"sourceLabels": []any{"__meta_kubernetes_pod_label_" + podLabel}, "targetLabel": target}
	}
	return foreign(in, podMonitorKind, in.Cluster.Name, "", map[string]any{
		"selector": map[string]any{"matchLabels": selector},
		"podMetricsEndpoints": []any{map[string]any{
			"port": "metrics", "path": "/metrics",
			"interval": fmt.Sprintf("%ds", in.Cluster.Spec.Monitoring.IntervalSeconds),
			"relabelings": []any{
				relabel("app_kubernetes_io_instance", labelCluster),
				relabel("app_kubernetes_io_component", labelPart),
			},
		}},
	})
}
