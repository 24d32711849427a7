//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	"github.com/chatcluster/chatcluster/test/load"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// startLoad makes the clients, and has them at work for a while. They belong to
// the whole run, not to a step.
func (s *suite) startLoad(t *testing.T) {
	s.load = load.New(s.whole, load.Options{
		APIs: []string{s.server.API}, Gateways: []string{s.server.Gateway},
		// Long enough for most sockets to be closed by a drain, not by the client.
		Stay: time.Minute, SettleTimeout: 3 * time.Minute,
		// The machine carries a whole Kubernetes.
		SendPause: 300 * time.Millisecond, CallTimeout: 15 * time.Second,
	})
	unnoticed(t, s.underLoad(t, func() {}))
}

// rollingUpdate changes a setting of all parts.
func (s *suite) rollingUpdate(t *testing.T) {
	before := uids(t, "")
	unnoticed(t, s.underLoad(t, func() {
		s.installCluster(t, "spec.logging.level=warn")
		s.rolled(t, before)
	}))
}

// scaleGateways goes by the scale subresource.
func (s *suite) scaleGateways(t *testing.T) {
	before := uids(t, "")
	unnoticed(t, s.underLoad(t, func() {
		run(t, "kubectl", "-n", namespace, "scale", "chatcluster/"+cluster, "--replicas=3")
		podsOf(t, "gateway", 3)
		run(t, "kubectl", "-n", namespace, "scale", "chatcluster/"+cluster, "--replicas=1")
		podsOf(t, "gateway", 1)
		run(t, "kubectl", "-n", namespace, "scale", "chatcluster/"+cluster, "--replicas=2")
		podsOf(t, "gateway", 2)
		s.ready(t)
	}))
	after := uids(t, "")
	if got, want := kept(before, after), len(before)-2; got < want {
		t.Errorf("%d of %d pods are the same, want at least %d: scaling replaces none", got, len(before), want)
	}
}

// autoscale leaves the number of gateways to a HorizontalPodAutoscaler, which goes
// by their processor time where the cluster measures it: the load is more than the
// little that they ask for.
func (s *suite) autoscale(t *testing.T) {
	const most = 3
	measured := false
	least := most
	if out := run(t, "kubectl", "get", "--raw", "/apis"); strings.Contains(out, `"metrics.k8s.io"`) {
		measured, least = true, most-1
	}
	unnoticed(t, s.underLoad(t, func() {
		s.installCluster(t, "hpa.enabled=true", fmt.Sprint("hpa.minReplicas=", least), fmt.Sprint("hpa.maxReplicas=", most))
		podsOf(t, "gateway", most)
		eventually(t, patience, "the autoscaler knows what the gateways do", func(ctx context.Context) error {
			hpa, err := get[autoscalingv2.HorizontalPodAutoscaler](ctx, "hpa", cluster+"-gateway")
			if err != nil {
				return err
			}
			for _, c := range hpa.Status.Conditions {
				if c.Status != corev1.ConditionTrue && (c.Type == autoscalingv2.AbleToScale || c.Type == autoscalingv2.ScalingActive && measured) {
					return fmt.Errorf("%s=%s %s %q", c.Type, c.Status, c.Reason, c.Message)
				}
			}
			return nil
		})
		s.installCluster(t)
		gone(t, "hpa", cluster+"-gateway")
		run(t, "kubectl", "-n", namespace, "scale", "chatcluster/"+cluster, "--replicas=2")
		podsOf(t, "gateway", 2)
		s.ready(t)
	}))
}

// scaleArchivers changes the spec, since the subresource is of the gateways.
func (s *suite) scaleArchivers(t *testing.T) {
	unnoticed(t, s.underLoad(t, func() {
		s.patch(t, `{"spec":{"archiver":{"replicas":3}}}`)
		podsOf(t, "archiver", 3)
		s.patch(t, `{"spec":{"archiver":{"replicas":1}}}`)
		podsOf(t, "archiver", 1)
		s.patch(t, `{"spec":{"archiver":{"replicas":2}}}`)
		podsOf(t, "archiver", 2)
		s.ready(t)
	}))
}

// patch changes the ChatCluster.
func (s *suite) patch(t *testing.T, patch string) {
	t.Helper()
	run(t, "kubectl", "-n", namespace, "patch", "chatcluster", cluster, "--type=merge", "-p", patch)
}

// drainNode drains a node that does not have the backends, which are single and
// cannot move.
func (s *suite) drainNode(t *testing.T) {
	busy := map[string]bool{}
	for _, pod := range mustGet[corev1.PodList](t, "pods", "-l", "app.kubernetes.io/part-of=chat-backends").Items {
		busy[pod.Spec.NodeName] = true
	}
	free := slices.DeleteFunc(workers(t), func(node string) bool { return busy[node] })
	if len(free) == 0 {
		t.Fatal("every node has a backend: a cluster with two workers is needed")
	}
	node := free[0]
	unnoticed(t, s.underLoad(t, func() {
		run(t, "kubectl", "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout="+patience.String())
		list, err := pods(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		for _, pod := range list {
			if pod.Spec.NodeName == node {
				t.Errorf("%s is on the drained %s", pod.Name, node)
			}
		}
		run(t, "kubectl", "uncordon", node)
		s.ready(t)
	}))
}

// upgradeOperator replaces the operator. The pods stay, and the new operator acts.
func (s *suite) upgradeOperator(t *testing.T) {
	s.replaceOperator(t, next(s.version))
	if c := mustGet[v1alpha1.ChatCluster](t, "chatcluster", cluster); meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionRequiresUpdate) {
		t.Errorf("an operator that writes the same pods requires an update: %s", conditions(c))
	}
}

// replaceOperator installs a version of the operator and has it act, and checks
// that no pod is replaced.
func (s *suite) replaceOperator(t *testing.T, version string) {
	t.Helper()
	before := uids(t, "")
	unnoticed(t, s.underLoad(t, func() {
		s.installOperator(t, version)
		run(t, "kubectl", "-n", operatorNamespace, "rollout", "restart", "deployment")
		run(t, "kubectl", "-n", operatorNamespace, "rollout", "status", "deployment", "--timeout="+patience.String())
		run(t, "kubectl", "-n", namespace, "scale", "chatcluster/"+cluster, "--replicas=3")
		podsOf(t, "gateway", 3)
		s.ready(t)
	}))
	if got := kept(before, uids(t, "")); got != len(before) {
		t.Errorf("%d of %d pods are the same, want all: an upgrade of the operator replaces none", got, len(before))
	}
	run(t, "kubectl", "-n", namespace, "scale", "chatcluster/"+cluster, "--replicas=2")
	podsOf(t, "gateway", 2)
	s.ready(t)
}

// upgradePods replaces the operator by one that writes pods otherwise. The pods
// stay until somebody says that they may go.
func (s *suite) upgradePods(t *testing.T) {
	s.replaceOperator(t, other(s.version))
	var withheld *metav1.Condition
	s.await(t, "the new operator says that it would change the pods", func(c v1alpha1.ChatCluster) error {
		withheld = meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionRequiresUpdate)
		if withheld == nil || withheld.Status != metav1.ConditionTrue {
			return fmt.Errorf("conditions: %s", conditions(c))
		}
		return nil
	})
	_, rest, _ := strings.Cut(withheld.Message, v1alpha1.UpdateAnnotation+" to ")
	revision, _, found := strings.Cut(rest, " ")
	if !found {
		t.Fatalf("the message %q does not say how to have it done", withheld.Message)
	}
	before := uids(t, "")
	unnoticed(t, s.underLoad(t, func() {
		run(t, "kubectl", "-n", namespace, "annotate", "chatcluster", cluster, v1alpha1.UpdateAnnotation+"="+revision)
		// The annotation is no change of the spec, so Ready says nothing of it until
		// it is seen.
		s.await(t, "the operator has taken the word", func(c v1alpha1.ChatCluster) error {
			if meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionRequiresUpdate) {
				return fmt.Errorf("conditions: %s", conditions(c))
			}
			return nil
		})
		s.rolled(t, before)
	}))
}

// rotateSecret changes what is in the Secret that the ChatCluster names.
func (s *suite) rotateSecret(t *testing.T) {
	before := uids(t, "")
	unnoticed(t, s.underLoad(t, func() {
		setPassword(t, "second")
		// The spec has not changed, so Ready says nothing of it until it is seen.
		s.await(t, "the operator has seen the Secret", func(c v1alpha1.ChatCluster) error {
			if meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionReady) {
				return errors.New("it is ready")
			}
			return nil
		})
		s.rolled(t, before)
	}))
}

// restartKafka and restartCassandra end a backend that is single: meanwhile
// clients are told to come back. Open sockets stay.
func (s *suite) restartKafka(t *testing.T) { s.restart(t, "backends-kafka") }

func (s *suite) restartCassandra(t *testing.T) { s.restart(t, "backends-cassandra") }

func (s *suite) restart(t *testing.T, backend string) {
	before := uids(t, "")
	s.underLoad(t, func() {
		run(t, "kubectl", "-n", namespace, "delete", "pod", backend+"-0")
		run(t, "kubectl", "-n", namespace, "rollout", "status", "statefulset/"+backend, "--timeout="+patience.String())
		eventually(t, patience, "the clients go on", func(ctx context.Context) error { return s.quiet(ctx) })
	})
	s.ready(t)
	if after := uids(t, ""); !maps.Equal(before, after) {
		t.Errorf("%d of %d pods are the same, want all", kept(before, after), len(before))
	}
}

// quiet complains if the clients ran into anything within a short while.
func (s *suite) quiet(ctx context.Context) error {
	before := s.load.Counts()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(5 * time.Second):
	}
	done := s.load.Counts().Sub(before)
	if done.Acked == 0 || done.Received == 0 || done.Reads == 0 || done.Unanswered > 0 || done.Unavailable > 0 {
		return fmt.Errorf("within 5 s: %v", done)
	}
	return nil
}
