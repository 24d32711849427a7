package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	"sigs.k8s.io/yaml"
)

const root = "../../../"

// clusters are the ChatClusters of a file of many objects.
func clusters(t *testing.T, file string) [][]byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var found [][]byte
	for document := range bytes.SplitSeq(data, []byte("\n---\n")) {
		var kind struct{ Kind string }
		if err := yaml.Unmarshal(document, &kind); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if kind.Kind == "ChatCluster" {
			found = append(found, document)
		}
	}
	return found
}

func sampleFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(root + "config/samples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %d samples, %v", len(files), err)
	}
	return files
}

func TestSamplesHaveNoUnknownField(t *testing.T) {
	for _, file := range sampleFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			found := clusters(t, file)
			if len(found) != 1 {
				t.Fatalf("got %d ChatClusters, want 1", len(found))
			}
			var cluster v1alpha1.ChatCluster
			if err := yaml.UnmarshalStrict(found[0], &cluster); err != nil {
				t.Error(err)
			}
		})
	}
}

// The full sample is what the documentation of the fields points at.
func TestTheFullSampleIsFull(t *testing.T) {
	var sample, crd map[string]any
	if err := yaml.Unmarshal(clusters(t, root+"config/samples/full.yaml")[0], &sample); err != nil {
		t.Fatal(err)
	}
	readYAML(t, crdFile, &crd)
	schema, err := specSchema(crd)
	if err != nil {
		t.Fatal(err)
	}
	// What cannot be set beside the rest, and where one part stands for all.
	except := map[string]bool{
		".gateway.replicas": true, ".archiver.replicas": true, ".exposure.gatewayAPI": true,
		".exposure.apiNodePort": true, ".exposure.gatewayNodePort": true, ".exposure.serviceAnnotations": true,
		".kafka.sasl.credentials.username": true, ".kafka.tls.clientSecret": true, ".kafka.tls.clientCertificateKey": true, ".kafka.tls.clientKeyKey": true,
		".cassandra.credentials.username": true, ".cassandra.credentials.passwordKey": true, ".cassandra.tls.ca.key": true,
		".cassandra.tls.clientCertificateKey": true, ".cassandra.tls.clientKeyKey": true,
		".api.pod": true, ".archiver.pod": true, ".retention.cleaner.pod": true,
		".gateway.pod.affinity": true, ".gateway.pod.resources": true, ".gateway.pod.priorityClassName": true, ".gateway.pod.topologySpread": true,
	}
	for _, path := range missing(schema, sample["spec"], "", except) {
		t.Errorf("spec%s is not in the sample", path)
	}
}

// missing are the paths of the schema that the value does not have.
func missing(schema map[string]any, value any, at string, except map[string]bool) []string {
	properties, _ := schema["properties"].(map[string]any)
	object, _ := value.(map[string]any)
	var paths []string
	for name, property := range properties {
		path := at + "." + name
		if except[path] {
			continue
		}
		inner, set := object[name]
		if !set {
			paths = append(paths, path)
			continue
		}
		paths = append(paths, missing(property.(map[string]any), inner, path, except)...)
	}
	return paths
}

func readYAML(t *testing.T, file string, into any) {
	t.Helper()
	data, err := os.ReadFile(root + file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func readJSON(t *testing.T, file string, into any) {
	t.Helper()
	data, err := os.ReadFile(root + file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}
