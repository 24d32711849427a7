//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	"github.com/chatcluster/chatcluster/test/chatdtest"
	"github.com/chatcluster/chatcluster/test/load"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
)

const (
	namespace         = "chat-e2e"
	operatorNamespace = "chat-e2e-operator"
	// cluster is the name of the ChatCluster, and of its release.
	cluster = "chat"

	chatdImage    = "chatcluster/chatd"
	operatorImage = "chatcluster/chat-operator"

	// patience is how long anything that starts or ends pods may take: the
	// machines are small and busy.
	patience = 8 * time.Minute
)

// suite is what the steps share. A step finds the cluster ready, and leaves it so.
type suite struct {
	whole   *testing.T
	place   place
	version string
	server  *chatdtest.Server
	load    *load.Load
	// values are files of values for the ChatCluster, besides its own.
	values []string
}

type step struct {
	name string
	run  func(*suite, *testing.T)
}

// steps build on each other: after one that failed there is no next.
var steps = []step{
	{"install", (*suite).install},
	{"wire contracts", (*suite).wireContracts},
	{"pages", (*suite).pages},
	{"Prometheus", (*suite).scrape},
	{"load", (*suite).startLoad},
	{"rolling update", (*suite).rollingUpdate},
	{"gateways up and down", (*suite).scaleGateways},
	{"autoscaler", (*suite).autoscale},
	{"archivers up and down", (*suite).scaleArchivers},
	{"node drain", (*suite).drainNode},
	{"operator upgrade", (*suite).upgradeOperator},
	{"upgrade of the pods", (*suite).upgradePods},
	{"secret rotation", (*suite).rotateSecret},
	{"Kafka restart", (*suite).restartKafka},
	{"Cassandra restart", (*suite).restartCassandra},
	{"hibernation", (*suite).hibernate},
	{"pause", (*suite).pause},
	{"monitoring", (*suite).monitoring},
	{"reinstallation", (*suite).reinstall},
	{"cleaner", (*suite).clean},
	{"uninstallation", (*suite).uninstall},
}

func TestE2E(t *testing.T) {
	s := &suite{whole: t, place: newPlace(t)}
	s.server = &chatdtest.Server{API: s.place.host + ":" + apiPort, Gateway: s.place.host + ":" + gatewayPort}
	t.Cleanup(chatdtest.RemoveBinaries)
	s.version = s.place.images(t)
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			// In the cleanup, since a fatal error ends the step at once.
			t.Cleanup(func() {
				if t.Failed() {
					keep(t, step.name)
				}
			})
			step.run(s, t)
		})
		if t.Failed() {
			return
		}
	}
}

// underLoad keeps the clients at work while act runs, and proves the promises
// afterwards. It returns what the clients did and ran into.
func (s *suite) underLoad(t *testing.T, act func()) load.Counts {
	t.Helper()
	before := s.load.Counts()
	s.load.During(func() {
		s.goOn(t, "before")
		act()
		s.goOn(t, "after")
	})
	done := s.load.Counts().Sub(before)
	t.Logf("%v", done)
	s.load.Check(t, t.Name())
	s.noRestarts(t)
	return done
}

// unnoticed checks that no request failed.
func unnoticed(t *testing.T, c load.Counts) {
	t.Helper()
	if c.Unanswered > 0 || c.Unavailable > 0 {
		t.Errorf("%d requests had no answer and %d were answered 503, want none", c.Unanswered, c.Unavailable)
	}
}

// goOn waits until the clients have done something more.
func (s *suite) goOn(t *testing.T, when string) {
	t.Helper()
	before := s.load.Counts()
	eventually(t, 2*time.Minute, "the clients are at work "+when, func(context.Context) error {
		if done := s.load.Counts().Sub(before); done.Acked < 10 || done.Received < 10 || done.Reads < 2 {
			return fmt.Errorf("they did only this: %v", done)
		}
		return nil
	})
}

// ready waits until the ChatCluster is ready for the spec that it has.
func (s *suite) ready(t *testing.T) v1alpha1.ChatCluster {
	t.Helper()
	return s.await(t, "the ChatCluster is ready", func(c v1alpha1.ChatCluster) error {
		if !meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionReady) {
			return fmt.Errorf("conditions: %s", conditions(c))
		}
		return nil
	})
}

// await waits until the operator has seen the spec, and check does not complain
// about the status.
func (s *suite) await(t *testing.T, what string, check func(v1alpha1.ChatCluster) error) v1alpha1.ChatCluster {
	t.Helper()
	var c v1alpha1.ChatCluster
	eventually(t, patience, what, func(ctx context.Context) error {
		var err error
		if c, err = get[v1alpha1.ChatCluster](ctx, "chatcluster", cluster); err != nil {
			return err
		}
		if c.Status.ObservedGeneration != c.Generation {
			return fmt.Errorf("generation %d is not observed yet, but %d", c.Generation, c.Status.ObservedGeneration)
		}
		return check(c)
	})
	return c
}

func conditions(c v1alpha1.ChatCluster) string {
	var all []string
	for _, condition := range c.Status.Conditions {
		all = append(all, fmt.Sprintf("%s=%s %s %q", condition.Type, condition.Status, condition.Reason, condition.Message))
	}
	return strings.Join(all, "; ")
}

// pods are the pods of a part, or of all Deployments, also those that are ending.
func pods(ctx context.Context, part string) ([]corev1.Pod, error) {
	selector := "app.kubernetes.io/managed-by=chat-operator,app.kubernetes.io/instance=" + cluster
	if part != "" {
		selector += ",app.kubernetes.io/component=" + part
	} else {
		selector += ",app.kubernetes.io/component in (api,gateway,archiver)"
	}
	list, err := get[corev1.PodList](ctx, "pods", "-l", selector)
	return list.Items, err
}

// uids are the pods of a part, or of all Deployments, by their unique ids.
func uids(t *testing.T, part string) map[string]bool {
	t.Helper()
	list, err := pods(t.Context(), part)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, p := range list {
		ids[string(p.UID)] = true
	}
	if len(ids) == 0 {
		t.Fatalf("no pods of %q", part)
	}
	return ids
}

// kept counts the pods that are in both.
func kept(before, after map[string]bool) int {
	n := 0
	for id := range maps.Keys(before) {
		if after[id] {
			n++
		}
	}
	return n
}

// rolled waits until the ChatCluster is ready, and checks that none of the pods
// serves any more: whoever waits for Ready relies on it. Then it waits for their
// end.
func (s *suite) rolled(t *testing.T, before map[string]bool) {
	t.Helper()
	s.ready(t)
	old := func(ctx context.Context, ending bool) error {
		list, err := pods(ctx, "")
		if err != nil {
			return err
		}
		for _, p := range list {
			if before[string(p.UID)] && (ending || p.DeletionTimestamp == nil) {
				return fmt.Errorf("%s is still there", p.Name)
			}
		}
		return nil
	}
	if err := old(t.Context(), false); err != nil {
		t.Errorf("the ChatCluster says that it is ready, but %v", err)
	}
	eventually(t, patience, "all pods are replaced", func(ctx context.Context) error { return old(ctx, true) })
}

// podsOf waits until a part has n pods that are ready, and no others.
func podsOf(t *testing.T, part string, n int) {
	t.Helper()
	eventually(t, patience, fmt.Sprintf("%d pods of %s", n, part), func(ctx context.Context) error {
		list, err := pods(ctx, part)
		if err != nil {
			return err
		}
		ready := 0
		for _, p := range list {
			for _, condition := range p.Status.Conditions {
				if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
					ready++
				}
			}
		}
		if len(list) != n || ready != n {
			return fmt.Errorf("%d pods, %d of them ready", len(list), ready)
		}
		return nil
	})
}

// noRestarts fails the test if a server has given up: nothing that the others do
// is a reason to.
func (s *suite) noRestarts(t *testing.T) {
	t.Helper()
	list, err := pods(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		for _, c := range p.Status.ContainerStatuses {
			if c.RestartCount > 0 {
				last, _ := json.Marshal(c.LastTerminationState)
				t.Errorf("%s ended by itself: %s", p.Name, last)
			}
		}
	}
}

// gone waits until there is no such object.
func gone(t *testing.T, args ...string) {
	t.Helper()
	eventually(t, patience, strings.Join(args, " ")+" is gone", func(ctx context.Context) error {
		out, err := try(ctx, "", "kubectl", append([]string{"-n", namespace, "get", "--ignore-not-found", "-o", "name"}, args...)...)
		if err == nil && strings.TrimSpace(out) != "" {
			err = errors.New(strings.TrimSpace(out) + " is there")
		}
		return err
	})
}
