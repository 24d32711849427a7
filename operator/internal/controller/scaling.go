package controller

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	"github.com/chatcluster/chatcluster/operator/internal/decide"
	"github.com/chatcluster/chatcluster/operator/internal/pods"
	"github.com/chatcluster/chatcluster/operator/internal/resources"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

const (
	// gaugeSockets and gaugeLag are what the pods of a part are counted by.
	gaugeSockets = "chat_gateway_connections"
	gaugeLag     = "chat_archive_lag_messages"
	// podsTime is how long a pass may take to read the pods of a part, or to have
	// them shed; those that have not answered by then count as unreadable.
	podsTime = 5 * time.Second
	// shedWindow is the time over which sockets are shed: a gateway must be done
	// before the next step.
	shedWindow = decide.ShedEvery - 2*time.Second
)

// Pods are asked for their load, to shed sockets, and why they are not ready.
type Pods interface {
	Failing(ctx context.Context, addr string) (checks []string, err error)
	Gauges(ctx context.Context, addrs map[string]string, metric string) (values map[string]float64, failed map[string]error)
	Shed(ctx context.Context, addr string, n int, window time.Duration) (int, error)
}

// scaling is what is remembered of a ChatCluster for its scaling. If it is
// forgotten, pods are taken away later, and nothing worse.
type scaling struct {
	recent map[resources.Part]decide.Recommendations
	// shed is when sockets were last shed.
	shed time.Time
}

// scaler scales one ChatCluster in one pass.
type scaler struct {
	*scaling
	pods   Pods
	logger *slog.Logger
	now    time.Time
}

// autoscaled is a part whose number of pods the operator chooses.
type autoscaled struct {
	part       resources.Part
	gauge      string
	deployment *appsv1.Deployment // nil if there is none yet
	running    []corev1.Pod
	// start is how many pods there are before anything is known of the load.
	start    int32
	min, max int32
	// useful is how many can have work; 0 if any number can.
	useful int32
	target int32
	after  *int32 // seconds
}

// gateways is the part of the gateways, if the operator chooses their number.
func gateways(c *v1alpha1.ChatCluster, d *appsv1.Deployment, running []corev1.Pod) (autoscaled, bool) {
	spec := c.Spec.Gateway.Autoscaling
	if spec == nil {
		return autoscaled{}, false
	}
	return autoscaled{
		part: resources.PartGateway, gauge: gaugeSockets, deployment: d, running: running, start: ptr.Deref(c.Spec.Gateway.Replicas, 0),
		min: spec.MinReplicas, max: spec.MaxReplicas, target: spec.TargetSockets, after: spec.ScaleDownAfterSeconds,
	}, true
}

// archivers is the part of the archivers, if the operator chooses their number.
func archivers(c *v1alpha1.ChatCluster, d *appsv1.Deployment, running []corev1.Pod) (autoscaled, bool) {
	spec := c.Spec.Archiver.Autoscaling
	if spec == nil {
		return autoscaled{}, false
	}
	return autoscaled{
		part: resources.PartArchiver, gauge: gaugeLag, deployment: d, running: running, start: ptr.Deref(c.Spec.Archiver.Replicas, 0),
		min: spec.MinReplicas, max: spec.MaxReplicas, useful: c.Spec.Kafka.Partitions,
		target: spec.TargetLagMessages, after: spec.ScaleDownAfterSeconds,
	}, true
}

// current is how many pods the part shall have had so far.
func (a autoscaled) current() int32 {
	if d := a.deployment; d != nil && ptr.Deref(d.Spec.Replicas, 0) > 0 {
		return *d.Spec.Replicas
	}
	return a.start
}

// scale says how many pods the part shall have, and why, if that is another
// number than before.
func (s scaler) scale(ctx context.Context, a autoscaled) (replicas int32, reason decide.ScaleReason) {
	current := a.current()
	samples, unreadable := s.read(ctx, a.part, a.running, a.gauge)
	decision := decide.Autoscale{
		Replicas: current, Min: a.min, Max: a.max, MaxUseful: a.useful, Target: float64(a.target),
		Samples: samples, Unreadable: unreadable, RollingOut: a.deployment != nil && replacing(a.deployment),
		Recent: s.recent[a.part], Now: s.now, ScaleDownAfter: time.Duration(ptr.Deref(a.after, 0)) * time.Second,
	}.Decide()
	if s.recent == nil {
		s.recent = map[resources.Part]decide.Recommendations{}
	}
	s.recent[a.part] = decision.Recent
	if decision.Replicas == current {
		return current, ""
	}
	s.logger.Info("part scales", "part", a.part, "from", current, "to", decision.Replicas, "reason", decision.Reason)
	return decision.Replicas, decision.Reason
}

// rebalance has gateways shed sockets after one was added. It reports whether
// that goes on: it is to be called again after decide.ShedEvery.
func (s scaler) rebalance(ctx context.Context, d *appsv1.Deployment, all []corev1.Pod) bool {
	// A pass that something else caused must not put the next step off.
	if s.now.Sub(s.shed) < decide.ShedEvery {
		return true
	}
	var ready []corev1.Pod
	in := decide.Shed{Last: s.shed, Now: s.now, Unsettled: d == nil || replacing(d)}
	for _, pod := range all {
		since, ok := readySince(pod)
		switch {
		case pod.DeletionTimestamp != nil:
			in.Unsettled = true
		case ok:
			ready = append(ready, pod)
			if since.After(in.Grown) {
				in.Grown = since
			}
		}
	}
	if !in.Due() || len(ready) < 2 {
		return false
	}
	in.Sockets, in.Unreadable = s.read(ctx, resources.PartGateway, ready, gaugeSockets)
	shed := in.Decide()
	ctx, cancel := context.WithTimeout(ctx, podsTime)
	defer cancel()
	for _, pod := range ready {
		if shed[pod.Name] == 0 {
			continue
		}
		// A gateway that was not asked stays as it is until the next step.
		switch n, err := s.pods.Shed(ctx, address(pod), shed[pod.Name], shedWindow); {
		case err == nil:
			s.logger.Debug("gateway sheds sockets", "pod", pod.Name, "sockets", n)
		case !errors.Is(err, pods.ErrShedding):
			s.logger.Warn("gateway does not shed sockets", "pod", pod.Name, "error", err)
		}
	}
	if len(shed) == 0 {
		return false
	}
	s.shed = s.now
	return true
}

// read reads a gauge of the pods, and counts the ready ones that did not tell.
func (s scaler) read(ctx context.Context, part resources.Part, running []corev1.Pod, gauge string) (values map[string]float64, unreadable int) {
	ctx, cancel := context.WithTimeout(ctx, podsTime)
	defer cancel()
	addrs, ready := map[string]string{}, map[string]bool{}
	for _, pod := range running {
		if pod.DeletionTimestamp == nil && pod.Status.Phase == corev1.PodRunning && pod.Status.PodIP != "" {
			addrs[pod.Name] = address(pod)
			_, ready[pod.Name] = readySince(pod)
		}
	}
	values, failed := s.pods.Gauges(ctx, addrs, gauge)
	for name, err := range failed {
		if ready[name] {
			unreadable++
			s.logger.Debug("pod can't be read", "part", part, "pod", name, "error", err)
		}
	}
	return values, unreadable
}

// replacing reports whether pods of the Deployment are being replaced.
func replacing(d *appsv1.Deployment) bool {
	return d.Status.ObservedGeneration != d.Generation || d.Status.UpdatedReplicas != d.Status.Replicas
}

// readySince is when the pod became ready, if it is.
func readySince(pod corev1.Pod) (time.Time, bool) {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return c.LastTransitionTime.Time, true
		}
	}
	return time.Time{}, false
}

// address is where a pod serves its metrics.
func address(pod corev1.Pod) string {
	return net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(resources.PortMetrics)))
}
