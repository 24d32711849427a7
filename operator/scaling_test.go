package operator_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
)

// sockets are gateways that answer for their sockets, and for the checks by which
// they are not ready, by address.
type sockets struct {
	mu      sync.Mutex // guards the rest
	open    map[string]float64
	shed    map[string]int
	failing map[string][]string
}

func (s *sockets) Failing(_ context.Context, addr string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failing[addr], nil
}

func (s *sockets) Gauges(_ context.Context, addrs map[string]string, metric string) (map[string]float64, map[string]error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	values, failed := map[string]float64{}, map[string]error{}
	for name, addr := range addrs {
		if n, ok := s.open[addr]; ok && metric == "chat_gateway_connections" {
			values[name] = n
		} else {
			failed[name] = fmt.Errorf("%s has no %s", addr, metric)
		}
	}
	return values, failed
}

func (s *sockets) Shed(_ context.Context, addr string, n int, _ time.Duration) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shed[addr] += n
	return n, nil
}

func (s *sockets) set(addr string, n float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[addr] = n
}

func (s *sockets) hasShed(addr string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shed[addr]
}

// gateway makes a pod of the gateways that has just become ready, or has the status
// that it is changed to.
func (w *world) gateway(i int, change ...func(*corev1.PodStatus)) {
	w.t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("gateway-%d", i), Namespace: w.namespace, Labels: map[string]string{
			"app.kubernetes.io/managed-by": "chat-operator", "app.kubernetes.io/instance": "demo", "app.kubernetes.io/component": "gateway",
		}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "chatd", Image: "chatcluster/chatd:1"}}},
	}
	w.create(pod)
	ip := fmt.Sprintf("10.0.0.%d", i)
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}},
	}
	for _, f := range change {
		f(&pod.Status)
	}
	if err := w.client.Status().Update(w.t.Context(), pod); err != nil {
		w.t.Fatal(err)
	}
}

// TestScalesBySockets: more sockets than the gateways should hold are more
// gateways; those get their share of the sockets; and an operator that has just
// started goes on from there, not from the number in the spec.
func TestScalesBySockets(t *testing.T) {
	w := newWorld(t)
	asked := &sockets{open: map[string]float64{}, shed: map[string]int{}}
	w.sockets = asked
	stop := w.operate()
	w.create(w.cluster(func(c *v1alpha1.ChatCluster) {
		c.Spec.Gateway.Autoscaling = &v1alpha1.GatewayAutoscaling{MinReplicas: 1, MaxReplicas: 8, TargetSockets: 1000}
	}))
	w.ready()
	replicas := func(want int32) {
		t.Helper()
		w.eventually(func() string {
			if got := ptr.Deref(w.deployment("gateway").Spec.Replicas, 0); got != want {
				return fmt.Sprintf("gateway has %d replicas, want %d", got, want)
			}
			return ""
		})
	}
	replicas(2)

	asked.set("10.0.0.1:9464", 1500)
	asked.set("10.0.0.2:9464", 1500)
	asked.set("10.0.0.3:9464", 0)
	w.gateway(1)
	w.gateway(2)
	replicas(3)
	w.eventually(func() string {
		said := ""
		w.each(&eventsv1.EventList{}, func(o client.Object) {
			if event := o.(*eventsv1.Event); event.Reason == "Scaled" {
				said = event.Note
			}
		})
		if !strings.HasPrefix(said, "gateway: 2 to 3 pods: ") {
			return fmt.Sprintf("the event says %q", said)
		}
		return ""
	})

	w.gateway(3)
	w.eventually(func() string {
		if a, b := asked.hasShed("10.0.0.1:9464"), asked.hasShed("10.0.0.2:9464"); a == 0 || b == 0 {
			return fmt.Sprintf("gateways have shed %d and %d sockets, want some", a, b)
		}
		return ""
	})
	if n := asked.hasShed("10.0.0.3:9464"); n != 0 {
		t.Errorf("the new gateway has shed %d sockets", n)
	}

	stop()
	for i := range 3 {
		asked.set(fmt.Sprintf("10.0.0.%d:9464", i+1), 0)
	}
	w.operate()
	// The image tells when the new operator has acted.
	w.update(func(c *v1alpha1.ChatCluster) { c.Spec.Image = "chatcluster/chatd:2" })
	w.eventually(func() string {
		if got := w.deployment("gateway").Spec.Template.Spec.Containers[0].Image; got != "chatcluster/chatd:2" {
			return "gateway has the image " + got
		}
		return ""
	})
	replicas(3)
}

// TestPodsTellWhyTheyAreNotReady: what a pod that runs and is not ready waits for
// is in the status.
func TestPodsTellWhyTheyAreNotReady(t *testing.T) {
	w := newWorld(t)
	w.sockets.failing = map[string][]string{"10.0.0.1:9464": {"kafka"}}
	w.tell(func(w *world) { w.rolloutsWait = true })
	w.operate()
	w.create(w.cluster())
	w.gateway(1, func(s *corev1.PodStatus) {
		s.Conditions[0].Status = corev1.ConditionFalse
		running := corev1.ContainerStateRunning{StartedAt: metav1.NewTime(time.Now().Add(-time.Minute))}
		s.ContainerStatuses = []corev1.ContainerStatus{{Name: "chatd", State: corev1.ContainerState{Running: &running}}}
	})
	w.eventually(func() string {
		ready := meta.FindStatusCondition(w.get().Status.Conditions, v1alpha1.ConditionReady)
		if ready == nil || !strings.Contains(ready.Message, "gateway (a pod is not ready: kafka)") {
			return fmt.Sprintf("Ready is %v", ready)
		}
		return ""
	})
	w.tell(func(w *world) { w.rolloutsWait = false })
	w.ready()
}
