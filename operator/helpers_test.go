package operator_test

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// each calls f with all objects of a kind in the world.
func (w *world) each(list client.ObjectList, f func(client.Object)) {
	w.t.Helper()
	if err := w.client.List(w.t.Context(), list, client.InNamespace(w.namespace)); err != nil {
		w.t.Fatal(err)
	}
	err := meta.EachListItem(list, func(o runtime.Object) error {
		f(o.(client.Object))
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func equalTemplates(a, b corev1.PodTemplateSpec) bool { return equality.Semantic.DeepEqual(a, b) }
