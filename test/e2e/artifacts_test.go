//go:build e2e

package e2e_test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// artifacts is the folder for what tells why a step failed.
func artifacts(t *testing.T) string {
	t.Helper()
	dir := cmp.Or(os.Getenv("E2E_ARTIFACTS"), "artifacts")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// keep writes down what the cluster looks like after a step that failed.
func keep(t *testing.T, step string) {
	t.Helper()
	dir := filepath.Join(artifacts(t), strings.ReplaceAll(step, " ", "-"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Error(err)
		return
	}
	// Not the test's context, which a timeout has ended.
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	write := func(name string, args ...string) string {
		out, err := try(ctx, "", "kubectl", args...)
		if err != nil {
			out += "\n" + err.Error()
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(out), 0o644); err != nil {
			t.Error(err)
		}
		return out
	}
	write("objects.txt", "get", "all,nodes,pvc,pdb,configmaps,endpointslices", "-A", "-o", "wide")
	write("chatcluster.yaml", "get", "chatclusters", "-A", "-o", "yaml")
	write("workloads.yaml", "-n", namespace, "get", "deployments,jobs,cronjobs,pods", "-o", "yaml")
	write("events.txt", "get", "events", "-A", "--sort-by=.lastTimestamp")
	for _, ns := range []string{namespace, operatorNamespace} {
		pods, err := try(ctx, "", "kubectl", "-n", ns, "get", "pods", "-o", "name")
		if err != nil {
			t.Error(err)
		}
		for _, pod := range strings.Fields(pods) {
			name := strings.TrimPrefix(pod, "pod/")
			write(fmt.Sprintf("%s.log", name), "-n", ns, "logs", pod, "--all-containers", "--tail=20000")
			write(fmt.Sprintf("%s.previous.log", name), "-n", ns, "logs", pod, "--all-containers", "--previous", "--tail=20000")
		}
	}
	t.Logf("what tells why is in %s", dir)
}
