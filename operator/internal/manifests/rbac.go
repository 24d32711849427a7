package main

import (
	"bytes"
	"errors"
	"slices"

	"sigs.k8s.io/yaml"
)

// splitRules parts the rules of the role in those that the operator needs where
// the ChatClusters are, and those of the lease, which it needs in its own
// namespace only.
func splitRules(role map[string]any) (cluster, leader []any, err error) {
	rules, _ := role["rules"].([]any)
	for _, rule := range rules {
		r, _ := rule.(map[string]any)
		groups, _ := r["apiGroups"].([]any)
		if slices.Contains(groups, any("coordination.k8s.io")) {
			leader = append(leader, rule)
		} else {
			cluster = append(cluster, rule)
		}
	}
	if len(cluster) == 0 || len(leader) == 0 {
		return nil, nil, errors.New("the role has no rules, or none for leases: where are the kubebuilder:rbac markers?")
	}
	return cluster, leader, nil
}

// roleManifests are the ClusterRole and the Role for config/rbac.
func roleManifests(cluster, leader []any) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(header)
	for _, role := range []map[string]any{
		manifest("ClusterRole", "chat-operator", cluster),
		manifest("Role", "chat-operator-leader-election", leader),
	} {
		data, err := yaml.Marshal(role)
		if err != nil {
			return nil, err
		}
		b.WriteString("---\n")
		b.Write(data)
	}
	return b.Bytes(), nil
}

func manifest(kind, name string, rules []any) map[string]any {
	return map[string]any{
		"apiVersion": "rbac.authorization.k8s.io/v1",
		"kind":       kind,
		"metadata":   map[string]any{"name": name},
		"rules":      rules,
	}
}
