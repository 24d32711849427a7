package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	"github.com/chatcluster/chatcluster/operator/internal/decide"
	"github.com/chatcluster/chatcluster/operator/internal/pods"
	"github.com/chatcluster/chatcluster/operator/internal/resources"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// fakePods are pods that answer for their load, by address. One that is not
// there does not answer.
type fakePods struct {
	load  map[string]float64
	busy  map[string]bool
	asked []string // names of the metrics
	shed  map[string]int
}

func (f *fakePods) Gauges(_ context.Context, addrs map[string]string, metric string) (map[string]float64, map[string]error) {
	f.asked = append(f.asked, metric)
	values, failed := map[string]float64{}, map[string]error{}
	for name, addr := range addrs {
		if load, ok := f.load[addr]; ok {
			values[name] = load
		} else {
			failed[name] = errors.New("no answer")
		}
	}
	return values, failed
}

func (f *fakePods) Failing(context.Context, string) ([]string, error) {
	return nil, errors.New("no answer")
}

func (f *fakePods) Shed(_ context.Context, addr string, n int, window time.Duration) (int, error) {
	switch _, ok := f.load[addr]; {
	case f.busy[addr]:
		return 0, pods.ErrShedding
	case !ok || window >= decide.ShedEvery:
		return 0, errors.New("no answer")
	}
	if f.shed == nil {
		f.shed = map[string]int{}
	}
	f.shed[addr] += n
	return n, nil
}

// runningPod is a pod that has been ready since then, or is not if that is zero.
func runningPod(i int, ready time.Time) corev1.Pod {
	pod := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(i)},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIP: fmt.Sprintf("10.0.0.%d", i)},
	}
	condition := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse}
	if !ready.IsZero() {
		condition.Status, condition.LastTransitionTime = corev1.ConditionTrue, metav1.NewTime(ready)
	}
	pod.Status.Conditions = []corev1.PodCondition{condition}
	return pod
}

func with(pod corev1.Pod, change func(*corev1.Pod)) corev1.Pod {
	change(&pod)
	return pod
}

// ending is a pod that is being ended.
func ending(pod corev1.Pod) corev1.Pod {
	return with(pod, func(p *corev1.Pod) { p.DeletionTimestamp = ptr.To(metav1.NewTime(noon)) })
}

// deploymentOf is a Deployment that is as it should be.
func deploymentOf(replicas int32) *appsv1.Deployment {
	return &appsv1.Deployment{
		Spec:   appsv1.DeploymentSpec{Replicas: &replicas},
		Status: appsv1.DeploymentStatus{Replicas: replicas, UpdatedReplicas: replicas},
	}
}

func rolling(replicas int32) *appsv1.Deployment {
	d := deploymentOf(replicas)
	d.Status.Replicas, d.Status.UpdatedReplicas = replicas+1, 1
	return d
}

func newScaler(f *fakePods, now time.Time) scaler {
	return scaler{scaling: &scaling{}, pods: f, logger: slog.New(slog.DiscardHandler), now: now}
}

func autoscaledCluster() *v1alpha1.ChatCluster {
	c := &v1alpha1.ChatCluster{}
	c.Spec.Kafka.Partitions = 6
	c.Spec.Gateway.Replicas, c.Spec.Archiver.Replicas = ptr.To[int32](2), ptr.To[int32](3)
	c.Spec.Gateway.Autoscaling = &v1alpha1.GatewayAutoscaling{
		MinReplicas: 2, MaxReplicas: 20, TargetSockets: 1000, ScaleDownAfterSeconds: ptr.To[int32](600),
	}
	c.Spec.Archiver.Autoscaling = &v1alpha1.ArchiverAutoscaling{
		MinReplicas: 1, MaxReplicas: 20, TargetLagMessages: 1000, ScaleDownAfterSeconds: ptr.To[int32](60),
	}
	return c
}

func TestScale(t *testing.T) {
	long := noon.Add(-time.Hour)
	two := []corev1.Pod{runningPod(1, long), runningPod(2, long)}
	load := func(each ...float64) map[string]float64 {
		m := map[string]float64{}
		for i, v := range each {
			m[fmt.Sprintf("10.0.0.%d:9464", i+1)] = v
		}
		return m
	}
	tests := []struct {
		name       string
		deployment *appsv1.Deployment
		pods       []corev1.Pod
		load       map[string]float64
		want       int32
	}{
		{"nothing there yet", nil, nil, nil, 2},
		{"awakes", deploymentOf(0), nil, nil, 2},
		{"as it is, not as the spec has it", deploymentOf(5), nil, nil, 5},
		{"more is needed", deploymentOf(2), two, load(2000, 2000), 4},
		{"a pod that ends is not counted", deploymentOf(2), append(slices.Clone(two), ending(runningPod(3, long))), load(1000, 1000, 1000), 2},
		{"a pod that is not ready is", deploymentOf(2), []corev1.Pod{runningPod(1, time.Time{}), runningPod(2, long)}, load(2000, 2000), 4},
		{"pods that start are not taken to be full", deploymentOf(4), append(slices.Clone(two), runningPod(3, time.Time{}), runningPod(4, time.Time{})), load(2000, 2000), 4},
		{"ready ones are", deploymentOf(3), append(slices.Clone(two), runningPod(3, long)), load(2000, 2000), 5},
		{"a pod without an address is not asked", deploymentOf(3), append(slices.Clone(two), with(runningPod(3, long), func(p *corev1.Pod) { p.Status.PodIP = "" })), load(1500, 1500), 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := &fakePods{load: test.load}
			s := newScaler(f, noon)
			a, ok := gateways(autoscaledCluster(), test.deployment, test.pods)
			if got, _ := s.scale(t.Context(), a); !ok || got != test.want {
				t.Errorf("got %d pods (autoscaled: %t), want %d", got, ok, test.want)
			}
			if !slices.Equal(f.asked, []string{"chat_gateway_connections"}) {
				t.Errorf("asked for %v", f.asked)
			}
		})
	}
}

// TestScaleDown: what is remembered between passes allows it, and what is
// remembered of one part says nothing about another.
func TestScaleDown(t *testing.T) {
	c, f := autoscaledCluster(), &fakePods{load: map[string]float64{"10.0.0.1:9464": 10, "10.0.0.2:9464": 10, "10.0.0.3:9464": 10}}
	long := noon.Add(-time.Hour)
	three := []corev1.Pod{runningPod(1, long), runningPod(2, long), runningPod(3, long)}
	memory := &scaling{}
	var archiversAt, gatewaysAt time.Duration
	for after := time.Duration(0); gatewaysAt == 0 && after < time.Hour; after += 15 * time.Second {
		s := newScaler(f, noon.Add(after))
		s.scaling = memory
		a, _ := archivers(c, deploymentOf(3), three)
		if got, _ := s.scale(t.Context(), a); got == 2 && archiversAt == 0 {
			archiversAt = after
		}
		g, _ := gateways(c, deploymentOf(3), three)
		if got, _ := s.scale(t.Context(), g); got == 2 {
			gatewaysAt = after
		}
	}
	if archiversAt != time.Minute || gatewaysAt != 10*time.Minute {
		t.Errorf("archivers were fewer after %s, gateways after %s, want 1m and 10m", archiversAt, gatewaysAt)
	}

	s := newScaler(f, noon.Add(time.Hour))
	s.scaling = memory
	g, _ := gateways(c, rolling(3), three)
	if got, _ := s.scale(t.Context(), g); got != 3 {
		t.Errorf("in a rollout: got %d gateways, want 3", got)
	}
}

func TestScaleArchivers(t *testing.T) {
	c, f := autoscaledCluster(), &fakePods{load: map[string]float64{"10.0.0.1:9464": 50_000}}
	a, ok := archivers(c, deploymentOf(3), []corev1.Pod{runningPod(1, noon)})
	if got, _ := newScaler(f, noon).scale(t.Context(), a); !ok || got != 6 {
		t.Errorf("got %d, want 6, one for each partition", got)
	}
	if !slices.Equal(f.asked, []string{"chat_archive_lag_messages"}) {
		t.Errorf("asked for %v", f.asked)
	}
	c.Spec.Archiver.Autoscaling, c.Spec.Gateway.Autoscaling = nil, nil
	_, a1 := archivers(c, nil, nil)
	if _, g := gateways(c, nil, nil); a1 || g {
		t.Error("parts scale although the user chose their number")
	}
}

func TestRebalance(t *testing.T) {
	old, young := noon.Add(-time.Hour), noon.Add(-time.Minute)
	load := map[string]float64{"10.0.0.1:9464": 1000, "10.0.0.2:9464": 1000, "10.0.0.3:9464": 1000, "10.0.0.4:9464": 0}
	four := []corev1.Pod{runningPod(1, old), runningPod(2, old), runningPod(3, old), runningPod(4, young)}
	step := map[string]int{"10.0.0.1:9464": 25, "10.0.0.2:9464": 25, "10.0.0.3:9464": 25}
	tests := []struct {
		name       string
		deployment *appsv1.Deployment
		pods       []corev1.Pod
		change     func(*fakePods, *scaler)
		want       map[string]int
		// again is whether it goes on; read whether the pods were read.
		again, read bool
	}{
		{"after one was added", deploymentOf(4), four, nil, step, true, true},
		{"long after", deploymentOf(4), []corev1.Pod{runningPod(1, old), runningPod(4, old)}, nil, nil, false, false},
		{"no Deployment", nil, four, nil, nil, false, false},
		{"in a rollout", rolling(4), four, nil, nil, false, false},
		{"one ends", deploymentOf(4), append(slices.Clone(four), ending(runningPod(5, old))), nil, nil, false, false},
		{"only one", deploymentOf(1), four[3:], nil, nil, false, false},
		{"one that is ready is unread", deploymentOf(4), four, func(f *fakePods, _ *scaler) { delete(f.load, "10.0.0.4:9464") }, nil, false, true},
		{"a moment ago", deploymentOf(4), four, func(_ *fakePods, s *scaler) { s.shed = noon.Add(-time.Second) }, nil, true, false},
		{
			"one is at it", deploymentOf(4), four, func(f *fakePods, _ *scaler) { f.busy = map[string]bool{"10.0.0.2:9464": true} },
			map[string]int{"10.0.0.1:9464": 25, "10.0.0.3:9464": 25}, true, true,
		},
		{"one that is not ready gets none", deploymentOf(4), []corev1.Pod{four[0], four[1], four[2], runningPod(4, time.Time{})}, nil, nil, false, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := &fakePods{load: maps.Clone(load)}
			s := newScaler(f, noon)
			if test.change != nil {
				test.change(f, &s)
			}
			again := s.rebalance(t.Context(), test.deployment, test.pods)
			if !maps.Equal(f.shed, test.want) || again != test.again {
				t.Errorf("got %v and again %t, want %v and %t", f.shed, again, test.want, test.again)
			}
			if read := len(f.asked) > 0; read != test.read {
				t.Errorf("pods were read: %t, want %t", read, test.read)
			}
			if test.read && test.again && s.shed != noon {
				t.Errorf("remembers %s, want %s", s.shed, noon)
			}
		})
	}
}

// TestChooseReplicas: when it is not the load that decides.
func TestChooseReplicas(t *testing.T) {
	tests := []struct {
		name              string
		change            func(*decide.Observation)
		gateway, archiver int32
	}{
		{"the load decides", func(*decide.Observation) {}, 4, 6},
		{"paused", func(o *decide.Observation) { o.Paused = true }, 3, 3},
		{"hibernated", func(o *decide.Observation) { o.Hibernated = true }, 0, 0},
		{"a backend is away", func(o *decide.Observation) { o.Unreachable = "cassandra:9042" }, 4, 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			gateway, archiver := runningPod(1, noon), runningPod(2, noon)
			gateway.Labels = map[string]string{resources.LabelComponent: string(resources.PartGateway)}
			archiver.Labels = map[string]string{resources.LabelComponent: string(resources.PartArchiver)}
			f := &fakePods{load: map[string]float64{"10.0.0.1:9464": 4000, "10.0.0.2:9464": 50_000}}
			p := &pass{
				Reconciler: &Reconciler{options: Options{Pods: f}, events: &events.FakeRecorder{}}, cluster: autoscaledCluster(), state: &state{}, logger: slog.New(slog.DiscardHandler),
				inputs: resources.Inputs{Replicas: map[resources.Part]int32{}}, observed: decide.Observation{Now: noon},
				children: children{pods: []corev1.Pod{gateway, archiver}, deployments: map[resources.Part]*appsv1.Deployment{
					resources.PartGateway: deploymentOf(3), resources.PartArchiver: deploymentOf(3),
				}},
			}
			test.change(&p.observed)
			p.chooseReplicas(t.Context())
			if g, a := p.inputs.Replicas[resources.PartGateway], p.inputs.Replicas[resources.PartArchiver]; g != test.gateway || a != test.archiver {
				t.Errorf("got %d gateways and %d archivers, want %d and %d", g, a, test.gateway, test.archiver)
			}
		})
	}
}
