package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// at is the value at a path of keys; nil if there is none.
func at(value any, keys ...string) any {
	for _, key := range keys {
		object, _ := value.(map[string]any)
		value = object[key]
	}
	return value
}

func TestCRDExplainsItselfAndFits(t *testing.T) {
	// A client-side apply keeps the whole object in an annotation, of at most
	// 262,144 bytes for all of them.
	const most = 200_000
	data, err := os.ReadFile(root + crdFile)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > most {
		t.Errorf("got a CRD of %d bytes, want at most %d", len(data), most)
	}
	var crd map[string]any
	readYAML(t, crdFile, &crd)
	spec, err := specSchema(crd)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"image", "gateway.drain", "gateway.autoscaling.targetSockets", "api.pod.topologySpread", "gateway.pod.affinity"} {
		if description, _ := at(spec, propertyKeys(path, "description")...).(string); description == "" {
			t.Errorf("spec.%s has no description", path)
		}
	}
	for _, path := range []string{"gateway.pod.affinity.nodeAffinity", "archiver.pod.resources.requests"} {
		property, ok := at(spec, propertyKeys(path)...).(map[string]any)
		if !ok {
			t.Errorf("spec.%s is not in the schema", path)
		} else if description, ok := property["description"]; ok {
			t.Errorf("spec.%s has Kubernetes' description %q", path, description)
		}
	}
}

func propertyKeys(path string, more ...string) []string {
	var keys []string
	for name := range strings.SplitSeq(path, ".") {
		keys = append(keys, "properties", name)
	}
	return append(keys, more...)
}

func TestChartHasWhatConfigHas(t *testing.T) {
	crd, err := os.ReadFile(root + crdFile)
	if err != nil {
		t.Fatal(err)
	}
	chartCRD, err := os.ReadFile(root + chartCRDFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(crd, chartCRD) {
		t.Errorf("%s and %s differ; run make generate", crdFile, chartCRDFile)
	}
	var rules map[string]any
	readYAML(t, chartRulesFile, &rules)
	want, err := roleManifests(rules["rules"].([]any), rules["leaderElectionRules"].([]any))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(root + roleFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s and %s differ; run make generate", roleFile, chartRulesFile)
	}
}

// Of the Deployment there are two, by kustomize and by Helm. What must be the
// same for the operator to work is compared here.
func TestDeploymentsAreAlike(t *testing.T) {
	chart, err := os.ReadFile(root + "charts/chat-operator/templates/deployment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var deployment map[string]any
	readYAML(t, "config/manager/deployment.yaml", &deployment)
	container, _ := at(deployment, "spec", "template", "spec", "containers").([]any)
	args, _ := at(container[0], "args").([]any)
	if len(args) == 0 {
		t.Error("config/manager/deployment.yaml has no args")
	}
	for _, arg := range args {
		if !strings.Contains(string(chart), "- "+arg.(string)+"\n") {
			t.Errorf("the chart's Deployment has no %s", arg)
		}
	}
	for _, key := range []string{"securityContext", "livenessProbe", "readinessProbe", "ports", "env"} {
		text, err := yaml.Marshal(at(container[0], key))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			line = strings.TrimLeft(strings.TrimSpace(line), "- ")
			if !strings.Contains(string(chart), line) && line != "ALL" {
				t.Errorf("the chart's Deployment has no %q, of %s", line, key)
			}
		}
	}
}

// A key of a schema that has no value by default is one that was forgotten in
// either. The other way round Helm itself complains.
func TestSchemasHaveOnlyValuesThatThereAre(t *testing.T) {
	for _, chart := range []string{"chat-operator", "chat-backends", "chatcluster"} {
		t.Run(chart, func(t *testing.T) {
			var schema, values map[string]any
			readJSON(t, filepath.Join("charts", chart, "values.schema.json"), &schema)
			readYAML(t, filepath.Join("charts", chart, "values.yaml"), &values)
			// global is Helm's own; the spec is the CRD's.
			except := map[string]bool{".global": true, ".spec": true}
			for _, path := range missing(schema, values, "", except) {
				t.Errorf("%s is in values.schema.json, but not in values.yaml", path)
			}
		})
	}
}

func TestDropForeignDescriptions(t *testing.T) {
	schema := map[string]any{}
	if err := yaml.Unmarshal([]byte(`
description: the spec
properties:
  image: {description: ours}
  resources:
    description: kept
    properties:
      limits: {description: dropped, additionalProperties: {description: dropped}}
  list:
    items: {description: ours}
  pod:
    properties:
      tolerations:
        items: {description: dropped, properties: {key: {description: dropped}}}
`), &schema); err != nil {
		t.Fatal(err)
	}
	dropForeignDescriptions(schema)
	var got []string
	walk(schema, func(s map[string]any) {
		if d, ok := s["description"]; ok {
			got = append(got, d.(string))
		}
	})
	slices.Sort(got)
	if want := []string{"kept", "ours", "ours", "the spec"}; !slices.Equal(got, want) {
		t.Errorf("got descriptions %q, want %q", got, want)
	}
}

func TestSplitRules(t *testing.T) {
	rule := func(group string) any { return map[string]any{"apiGroups": []any{group}} }
	for _, test := range []struct {
		name            string
		rules           []any
		cluster, leader int
		fails           bool
	}{
		{name: "both", rules: []any{rule("apps"), rule("coordination.k8s.io"), rule("")}, cluster: 2, leader: 1},
		{name: "no leases", rules: []any{rule("apps")}, fails: true},
		{name: "no markers", fails: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			cluster, leader, err := splitRules(map[string]any{"rules": test.rules})
			if len(cluster) != test.cluster || len(leader) != test.leader || (err != nil) != test.fails {
				t.Errorf("got %d and %d rules and %v, want %d and %d, and an error: %t", len(cluster), len(leader), err, test.cluster, test.leader, test.fails)
			}
		})
	}
}
