package resources

import (
	_ "embed" // the dashboard
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// dashboard is for any cluster: its variables namespace and chatcluster choose
// one.
//
//go:embed dashboard.json
var dashboard []byte

// grafanaDashboard is the dashboard, bound to the cluster.
func grafanaDashboard(in Inputs) (*unstructured.Unstructured, error) {
	var content map[string]any
	if err := json.Unmarshal(dashboard, &content); err != nil {
		return nil, fmt.Errorf("read dashboard: %w", err)
	}
	// Grafana wants titles to differ within a folder.
	content["title"] = fmt.Sprintf("ChatCluster %s/%s", in.Cluster.Namespace, in.Cluster.Name)
	constant := func(name, value string) map[string]any {
		return map[string]any{"name": name, "type": "constant", "query": value, "hide": 2}
	}
	content["templating"] = map[string]any{"list": []any{
		map[string]any{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"},
		constant("namespace", in.Cluster.Namespace),
		constant(labelCluster, in.Cluster.Name),
	}}
	text, err := json.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("write dashboard: %w", err)
	}
	return foreign(in, grafanaDashboardKind, in.Cluster.Name, "", map[string]any{
		// Every Grafana, in whatever namespace it is.
		"instanceSelector":          map[string]any{},
		"allowCrossNamespaceImport": true,
		"json":                      string(text),
	})
}
