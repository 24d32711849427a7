package resources

import (
	"fmt"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/json"
	metav1 "k8s.io/client-go/applyconfigurations/meta/v1"
)

// Name is the name of the objects of a part.
func Name(cluster string, part Part) string { return cluster + "-" + string(part) }

// Selector selects the pods of a part. It cannot change: a Deployment's selector
// is immutable.
func Selector(cluster string, part Part) map[string]string {
	return map[string]string{LabelName: NameValue, LabelInstance: cluster, LabelComponent: string(part)}
}

// clusterSelector selects the pods of all parts.
func clusterSelector(cluster string) map[string]string {
	return map[string]string{LabelName: NameValue, LabelInstance: cluster}
}

// labels are those of the objects of a part; of the whole cluster, if part is
// empty.
func labels(cluster string, part Part) map[string]string {
	l := map[string]string{LabelName: NameValue, LabelInstance: cluster, LabelManagedBy: ManagedByValue}
	if part != "" {
		l[LabelComponent] = string(part)
	}
	return l
}

// owner has the garbage collector delete the object with its ChatCluster.
func owner(in Inputs) *metav1.OwnerReferenceApplyConfiguration {
	return metav1.OwnerReference().
		WithAPIVersion(v1alpha1.GroupVersion.String()).WithKind("ChatCluster").
		WithName(in.Cluster.Name).WithUID(in.Cluster.UID).
		WithController(true).WithBlockOwnerDeletion(true)
}

// object turns an apply configuration into what is applied. Its fields are
// pointers, so that what is not set is not there.
func object(configuration any) (*unstructured.Unstructured, error) {
	content, err := json.Marshal(configuration)
	if err != nil {
		return nil, fmt.Errorf("encode object: %w", err)
	}
	u := &unstructured.Unstructured{}
	// Kubernetes' decoder, because it makes int64 of whole numbers, as everything
	// that compares unstructured objects expects.
	if err := json.Unmarshal(content, &u.Object); err != nil {
		return nil, fmt.Errorf("decode object: %w", err)
	}
	return u, nil
}

// foreign is an object of a kind that is not Kubernetes' own.
func foreign(in Inputs, kind schema.GroupVersionKind, name string, part Part, spec map[string]any) (*unstructured.Unstructured, error) {
	return object(map[string]any{
		"apiVersion": kind.GroupVersion().String(), "kind": kind.Kind,
		"metadata": metav1.ObjectMeta().WithName(name).WithNamespace(in.Cluster.Namespace).
			WithLabels(labels(in.Cluster.Name, part)).WithOwnerReferences(owner(in)),
		"spec": spec,
	})
}
