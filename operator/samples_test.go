package operator_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// The API server takes the samples as they are: every field is known, and every
// rule of the schema holds.
func TestSamples(t *testing.T) {
	w := newWorld(t)
	files, err := filepath.Glob("../config/samples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %d samples, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for document := range bytes.SplitSeq(data, []byte("\n---\n")) {
				object := &unstructured.Unstructured{}
				if err := yaml.Unmarshal(document, object); err != nil {
					t.Fatal(err)
				}
				if object.GetKind() == "KafkaUser" {
					continue // Strimzi's
				}
				object.SetNamespace(w.namespace)
				err := w.client.Create(t.Context(), object, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
				if err != nil {
					t.Errorf("%s %s: %v", object.GetKind(), object.GetName(), err)
				}
			}
		})
	}
}
