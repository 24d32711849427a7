package operator_test

import (
	"context"
	"sync"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// watchReady notes from now on which generations of the ChatCluster are said to
// be ready.
func (w *world) watchReady() func(generation int64) bool {
	w.t.Helper()
	c, err := client.NewWithWatch(apiServer, client.Options{Scheme: w.client.Scheme()})
	if err != nil {
		w.t.Fatal(err)
	}
	events, err := c.Watch(w.t.Context(), &v1alpha1.ChatClusterList{}, client.InNamespace(w.namespace))
	if err != nil {
		w.t.Fatal(err)
	}
	var mu sync.Mutex // guards ready
	ready := map[int64]bool{}
	w.background(func(ctx context.Context) {
		defer events.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case event, ok := <-events.ResultChan():
				if !ok {
					return
				}
				cluster, ok := event.Object.(*v1alpha1.ChatCluster)
				condition := &metav1.Condition{}
				if ok {
					condition = meta.FindStatusCondition(cluster.Status.Conditions, v1alpha1.ConditionReady)
				}
				if condition != nil && condition.Status == metav1.ConditionTrue {
					mu.Lock()
					ready[condition.ObservedGeneration] = true
					mu.Unlock()
				}
			}
		}
	})
	return func(generation int64) bool {
		mu.Lock()
		defer mu.Unlock()
		return ready[generation]
	}
}

func equalTemplates(a, b corev1.PodTemplateSpec) bool { return equality.Semantic.DeepEqual(a, b) }
