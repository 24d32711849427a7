package main

import (
	"encoding/json"
	"errors"
	"os"
)

// dashboardFile is the dashboard for any cluster that the Grafana's Prometheus
// knows. The operator's own GrafanaDashboard is bound to one.
const dashboardFile = "charts/chatcluster/files/dashboard.json"

func writeDashboard(dashboard map[string]any) error {
	if _, set := dashboard["templating"]; set {
		return errors.New("the dashboard has variables already")
	}
	dashboard["uid"] = "chatcluster"
	dashboard["templating"] = map[string]any{"list": []any{
		map[string]any{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"},
		variable("namespace", "Namespace", "label_values(chat_build_info, namespace)"),
		variable("chatcluster", "ChatCluster", `label_values(chat_build_info{namespace="$namespace"}, chatcluster)`),
	}}
	data, err := json.MarshalIndent(dashboard, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(dashboardFile, append(data, '\n'), 0o644)
}

// variable is one that has the values of a query, read again with each load.
func variable(name, label, query string) map[string]any {
	return map[string]any{
		"name": name, "label": label, "type": "query", "refresh": 1, "sort": 1,
		"datasource": map[string]any{"type": "prometheus", "uid": "${datasource}"},
		"query":      map[string]any{"query": query, "refId": name},
		"definition": query,
	}
}
