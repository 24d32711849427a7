package resources

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	corev1 "k8s.io/client-go/applyconfigurations/core/v1"
)

// The labels of the series.
const (
	labelCluster = "chatcluster"
	labelPart    = "part"
)

// runbooks is where each alert is explained, under its name in small letters.
const runbooks = "https://github.com/chatcluster/chatcluster/blob/main/docs/runbooks.md#"

// severities of alerts.
const (
	critical = "critical"
	warning  = "warning"
)

// alert is a rule of Prometheus.
type alert struct {
	name, expr, lasts, severity, summary string
}

// alerts are the rules for a cluster. CLUSTER in an expression stands for the
// matchers of the pods' series, OBJECT for those of the operator's series.
func alerts(in Inputs) []alert {
	s := in.Cluster.Spec
	all := []alert{
		{
			name: "ChatAppendErrors", lasts: "5m", severity: critical,
			expr: `sum(rate(chat_messages_refused_total{CLUSTER,reason=~"unavailable|outcome_unknown"}[5m]))` +
				` / (sum(rate(chat_messages_accepted_total{CLUSTER}[5m])) + sum(rate(chat_messages_refused_total{CLUSTER,reason=~"unavailable|outcome_unknown"}[5m]))) > 0.01`,
			summary: "More than 1% of the messages are not accepted.",
		},
		{
			name: "ChatDeliverySlow", lasts: "10m", severity: warning,
			expr:    `histogram_quantile(0.99, sum by (le) (rate(chat_delivery_latency_seconds_bucket{CLUSTER}[5m]))) > 1`,
			summary: "1% of the deliveries take more than a second.",
		},
		{
			name: "ChatGatewayNearLimit", lasts: "10m", severity: warning,
			expr:    fmt.Sprintf(`max(sum by (pod) (chat_gateway_connections{CLUSTER,part="gateway"})) > 0.8 * %d`, s.Gateway.MaxSockets),
			summary: "A gateway holds more than 80% of the sockets that it may.",
		},
		{
			name: "ChatDependencyDown", lasts: "2m", severity: critical,
			expr:    `max by (dependency) (chat_dependency_up{CLUSTER}) == 0`,
			summary: "No pod reaches Kafka, or Cassandra.",
		},
		{
			name: "ChatArchiverLag", lasts: "10m", severity: critical,
			expr:    `sum(chat_archive_lag_messages{CLUSTER}) > 50000`,
			summary: "More than 50,000 messages wait to be archived.",
		},
		{
			name: "ChatClusterNotReady", lasts: "15m", severity: critical,
			expr:    `chatcluster_status_condition{OBJECT,type="Ready",status="True"} == 0`,
			summary: "The ChatCluster has not been ready for 15 minutes.",
		},
	}
	for _, down := range []struct {
		part        Part
		name, lasts string
	}{
		{PartAPI, "ChatAPIDown", "2m"},
		{PartGateway, "ChatGatewaysDown", "2m"},
		// ChatArchiverLag is silent then: who would tell of the lag is gone.
		{PartArchiver, "ChatArchiversDown", "10m"},
	} {
		if in.Replicas[down.part] > 0 {
			all = append(all, alert{
				name: down.name, lasts: down.lasts, severity: critical,
				expr:    fmt.Sprintf(`(sum(up{CLUSTER,part=%q}) or vector(0)) == 0`, down.part),
				summary: fmt.Sprintf("No pod of %s answers.", down.part),
			})
		}
	}
	if c := s.Retention.Cleaner; c.Mode == "Enabled" {
		all = append(all, alert{
			name: "ChatCleanerStale", lasts: "15m", severity: warning,
			expr:    fmt.Sprintf(`time() - chatcluster_cleaner_last_success_timestamp_seconds{OBJECT} > %d`, int64(c.StaleAfterHours)*3600),
			summary: fmt.Sprintf("The cleaner has not succeeded for %d hours.", c.StaleAfterHours),
		})
	}
	return all
}

// prometheusRule is for a Prometheus that has an operator of its own.
func prometheusRule(in Inputs) (*unstructured.Unstructured, error) {
	return foreign(in, prometheusRuleKind, in.Cluster.Name, "", ruleGroups(in))
}

// alertRules are the same rules as a file, for a Prometheus without one.
func alertRules(in Inputs) (*unstructured.Unstructured, error) {
	file, err := yaml.Marshal(ruleGroups(in))
	if err != nil {
		return nil, fmt.Errorf("encode the rules: %w", err)
	}
	return object(corev1.ConfigMap(in.Cluster.Name+"-alerts", in.Cluster.Namespace).
		WithLabels(labels(in.Cluster.Name, "")).WithOwnerReferences(owner(in)).
		WithData(map[string]string{"rules.yml": string(file)}))
}

func ruleGroups(in Inputs) map[string]any {
	name, namespace := in.Cluster.Name, in.Cluster.Namespace
	matchers := strings.NewReplacer(
		"CLUSTER", fmt.Sprintf(`namespace=%q,%s=%q`, namespace, labelCluster, name),
		"OBJECT", fmt.Sprintf(`namespace=%q,name=%q`, namespace, name),
	)
	var rules []any
	for _, a := range alerts(in) {
		rules = append(rules, map[string]any{
			"alert": a.name, "expr": matchers.Replace(a.expr), "for": a.lasts,
			"labels":      map[string]any{"severity": a.severity, labelCluster: name, "namespace": namespace},
			"annotations": map[string]any{"summary": a.summary, "runbook_url": runbooks + strings.ToLower(a.name)},
		})
	}
	return map[string]any{
		"groups": []any{map[string]any{"name": "chatcluster." + namespace + "." + name, "rules": rules}},
	}
}
