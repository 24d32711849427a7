package operator_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestAPIServerTakesWhatIsRendered applies the golden files of the builders, as
// far as their kinds are Kubernetes' own, without keeping anything; and their
// pods, in a namespace where the API server refuses those that are not
// restricted.
func TestAPIServerTakesWhatIsRendered(t *testing.T) {
	c, err := client.New(apiServer, client.Options{Scheme: clientgoscheme.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	// The one of the golden files.
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team", Labels: map[string]string{
		"pod-security.kubernetes.io/enforce": "restricted",
	}}}
	// A pod of an unknown priority is refused.
	priority := &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "high"}, Value: 1000}
	for _, o := range []client.Object{namespace, priority} {
		if err := c.Create(t.Context(), o); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob("internal/resources/testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d golden files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
			for {
				u := &unstructured.Unstructured{}
				if err := decoder.Decode(&u.Object); errors.Is(err, io.EOF) {
					return
				} else if err != nil {
					t.Fatal(err)
				}
				if !clientgoscheme.Scheme.Recognizes(u.GroupVersionKind()) {
					continue
				}
				err := c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(u.DeepCopy()), client.DryRunAll, client.FieldOwner("chat-operator"))
				if err != nil {
					t.Errorf("%s %s: %v", u.GetKind(), u.GetName(), err)
				}
				if pod := podOf(t, u); pod != nil {
					if err := c.Create(t.Context(), pod, client.DryRunAll); err != nil {
						t.Errorf("a pod of %s %s: %v", u.GetKind(), u.GetName(), err)
					}
				}
			}
		})
	}
}

// podOf is a pod as the object's controller makes it; nil if it makes none.
func podOf(t *testing.T, u *unstructured.Unstructured) *corev1.Pod {
	t.Helper()
	path := []string{"spec", "template"}
	if u.GetKind() == "CronJob" {
		path = []string{"spec", "jobTemplate", "spec", "template"}
	}
	content, found, err := unstructured.NestedMap(u.Object, path...)
	if err != nil {
		t.Fatal(err)
	}
	if !found {
		return nil
	}
	var template corev1.PodTemplateSpec
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, &template); err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	pod.Namespace, pod.GenerateName = u.GetNamespace(), u.GetName()+"-"
	return pod
}
