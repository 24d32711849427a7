//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	"github.com/chatcluster/chatcluster/test/chatdtest"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
)

// hibernate stops all parts and starts them again; the history is what it was.
func (s *suite) hibernate(t *testing.T) {
	s.patch(t, `{"spec":{"state":"Hibernated"}}`)
	for _, part := range []string{"api", "gateway", "archiver"} {
		podsOf(t, part, 0)
	}
	if _, err := chatdtest.NewClient(s.server).Call(t.Context(), http.MethodGet, "/livez", nil); err == nil {
		t.Error("something answers while the cluster is hibernated")
	}
	s.patch(t, `{"spec":{"state":"Running"}}`)
	s.ready(t)
	s.load.Check(t, "the hibernation")
	s.underLoad(t, func() {})
}

// pause has the operator change nothing, and tell what it would.
func (s *suite) pause(t *testing.T) {
	s.patch(t, `{"spec":{"reconciliation":"Paused"}}`)
	before := uids(t, "")
	s.patch(t, `{"spec":{"gateway":{"replicas":3}}}`)
	s.await(t, "the condition Paused tells what would change", func(c v1alpha1.ChatCluster) error {
		paused := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionPaused)
		if paused == nil || paused.Status != "True" || !strings.Contains(paused.Message, cluster+"-gateway") {
			return fmt.Errorf("conditions: %s", conditions(c))
		}
		return nil
	})
	if after := uids(t, ""); kept(before, after) != len(before) || len(after) != len(before) {
		t.Errorf("%d of %d pods are the same, and there are %d: want the same ones", kept(before, after), len(before), len(after))
	}
	s.patch(t, `{"spec":{"reconciliation":"Active"}}`)
	podsOf(t, "gateway", 3)
	s.patch(t, `{"spec":{"gateway":{"replicas":2}}}`)
	podsOf(t, "gateway", 2)
	s.ready(t)
}

// monitoring brings the CRDs of the Prometheus and the Grafana operator, and takes
// them away again: the objects appear without a restart of the operator, are what
// a real Prometheus takes, and nothing is amiss without them.
func (s *suite) monitoring(t *testing.T) {
	const kinds = "podmonitors,prometheusrules,grafanadashboards"
	if out, err := try(t.Context(), "", "kubectl", "-n", namespace, "get", "podmonitors"); err == nil {
		t.Fatalf("the CRDs are there already: %s", out)
	}
	run(t, "kubectl", "apply", "-f", "testdata/monitoring-crds.yaml")
	t.Cleanup(func() {
		// The test's context has ended.
		if _, err := try(context.Background(), "", "kubectl", "delete", "--ignore-not-found", "--timeout=60s", "-f", "testdata/monitoring-crds.yaml"); err != nil {
			t.Error(err)
		}
	})
	run(t, "kubectl", "wait", "--for=condition=Established", "--timeout=60s", "-f", "testdata/monitoring-crds.yaml")
	eventually(t, patience, "an object of each kind is there", func(ctx context.Context) error {
		out, err := try(ctx, "", "kubectl", "-n", namespace, "get", kinds, "-o", "name")
		if err == nil && len(strings.Fields(out)) < 3 {
			err = fmt.Errorf("there are only %q", out)
		}
		return err
	})
	rules := run(t, "kubectl", "-n", namespace, "get", "prometheusrule", cluster, "-o", "jsonpath={.spec}")
	dashboard := run(t, "kubectl", "-n", namespace, "get", "grafanadashboard", cluster, "-o", "jsonpath={.spec.json}")
	run(t, "kubectl", "delete", "--timeout=60s", "-f", "testdata/monitoring-crds.yaml")
	s.patch(t, `{"spec":{"logging":{"format":"text"}}}`)
	s.ready(t)
	s.judge(t, rules, dashboard)
}

// clean runs the cleaner now. What it reports as deleted cannot be read.
func (s *suite) clean(t *testing.T) {
	run(t, "kubectl", "-n", namespace, "create", "job", "clean-now", "--from=cronjob/"+cluster+"-cleaner")
	var job batchv1.Job
	eventually(t, patience, "the cleaner has ended", func(ctx context.Context) error {
		var err error
		if job, err = get[batchv1.Job](ctx, "job", "clean-now"); err == nil && job.Status.Succeeded+job.Status.Failed == 0 {
			err = fmt.Errorf("its status is %+v", job.Status)
		}
		return err
	})
	if job.Status.Failed > 0 {
		t.Fatalf("a pod of the cleaner failed: %+v", job.Status)
	}
	for _, uri := range s.load.Rooms() {
		history, err := s.load.Reader().WholeHistory(t.Context(), uri)
		if err != nil {
			t.Fatal(err)
		}
		if len(history) > 0 {
			t.Errorf("%d messages of %s can be read after the cleaner, want none", len(history), uri)
		}
	}
	c := s.await(t, "the status tells of the cleaner", func(c v1alpha1.ChatCluster) error {
		if c.Status.Cleaner == nil || c.Status.Cleaner.Job != job.Name {
			return fmt.Errorf("status.cleaner is %+v", c.Status.Cleaner)
		}
		return nil
	})
	if got := c.Status.Cleaner; got.Result != "Succeeded" || got.DeletedMessages == 0 || got.LastSuccessAt == nil {
		t.Errorf("status.cleaner is %+v, want a success that deleted something", got)
	}
}

// reinstall uninstalls the ChatCluster and installs it again: the data are kept.
func (s *suite) reinstall(t *testing.T) {
	helm(t, "uninstall", cluster)
	gone(t, "chatcluster", cluster)
	gone(t, "deployments,services,cronjobs,pods", "-l", "app.kubernetes.io/managed-by=chat-operator")
	s.installCluster(t)
	s.ready(t)
	s.load.Check(t, "the reinstallation")
}

// uninstall uninstalls what was installed. The CRD stays, and so would
// ChatClusters.
func (s *suite) uninstall(t *testing.T) {
	run(t, "helm", "uninstall", "chat-operator", "--namespace", operatorNamespace, "--wait", "--timeout", patience.String())
	if list, err := pods(t.Context(), ""); err != nil || len(list) == 0 {
		t.Errorf("without an operator there are %d pods, %v, want all of them", len(list), err)
	}
	run(t, "kubectl", "get", "crd", "chatclusters.chatcluster.dev")
	helm(t, "uninstall", cluster)
	gone(t, "chatcluster", cluster)
	// Kubernetes itself deletes what belonged to it.
	gone(t, "deployments,services,cronjobs,pods", "-l", "app.kubernetes.io/managed-by=chat-operator")
	topics := run(t, "kubectl", "-n", namespace, "exec", "backends-kafka-0", "--", "/opt/kafka/bin/kafka-topics.sh", "--bootstrap-server", "localhost:9092", "--list")
	if !strings.Contains(topics, "chat.messages") {
		t.Errorf("the topics that remain are %q, want chat.messages among them", topics)
	}
	if list := mustGet[corev1.PersistentVolumeClaimList](t, "pvc"); len(list.Items) < 2 {
		t.Errorf("%d claims of the backends remain, want 2", len(list.Items))
	}
}
