package resources

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func Config(in Inputs) ([]byte, error)                                    { return nil, nil }
func Validate(in Inputs) error                                            { return nil }
func ConfigMap(in Inputs) (*unstructured.Unstructured, error)             { return nil, nil }
func MigrationRevision(in Inputs) string                                  { return "" }
func MigrationJob(in Inputs) (*unstructured.Unstructured, error)          { return nil, nil }
func Deployment(in Inputs, part Part) (*unstructured.Unstructured, error) { return nil, nil }
func CronJob(in Inputs) (*unstructured.Unstructured, error)               { return nil, nil }
func Rest(in Inputs) ([]*unstructured.Unstructured, error)                { return nil, nil }
func Prunable(c Capabilities) []schema.GroupVersionKind                   { return nil }
func Name(cluster string, part Part) string                               { return "" }
func Selector(cluster string, part Part) map[string]string                { return nil }
