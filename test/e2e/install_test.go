//go:build e2e

package e2e_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/chatcluster/chatcluster/test/chatdtest"
	"github.com/chatcluster/chatcluster/test/wire"
	corev1 "k8s.io/api/core/v1"
)

// install installs the three charts, where nothing is left of an earlier run.
func (s *suite) install(t *testing.T) {
	run(t, "kubectl", "delete", "namespace", namespace, operatorNamespace, "--ignore-not-found", "--timeout="+patience.String())
	feed(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+namespace+"}\n", "kubectl", "apply", "-f", "-")
	setPassword(t, "first")
	// Both backends on one node, so that another one can be drained.
	nodes := workers(t)
	for _, node := range nodes[1:] {
		run(t, "kubectl", "cordon", node)
	}
	helm(t, "upgrade", "--install", "backends", "../../charts/chat-backends",
		"--set", "kafka.persistence.enabled=true", "--set", "cassandra.persistence.enabled=true")
	for _, node := range nodes[1:] {
		run(t, "kubectl", "uncordon", node)
	}
	s.installOperator(t, s.version)
	s.installCluster(t)
	s.ready(t)
	helm(t, "test", cluster, "--logs")
}

// helm runs helm in the namespace; what installs waits until all is ready.
func helm(t *testing.T, args ...string) string {
	t.Helper()
	args = append(args, "--namespace", namespace, "--timeout", patience.String())
	if slices.Contains([]string{"install", "upgrade", "uninstall"}, args[0]) {
		args = append(args, "--wait")
	}
	return run(t, "helm", args...)
}

func (s *suite) installOperator(t *testing.T, version string) {
	t.Helper()
	run(t, "helm", "upgrade", "--install", "chat-operator", "../../charts/chat-operator", "--namespace", operatorNamespace, "--create-namespace",
		"--set", "image.repository="+operatorImage, "--set-string", "image.tag="+version, "--set", "image.pullPolicy=IfNotPresent",
		"--wait", "--timeout", patience.String())
}

// installCluster installs or changes the ChatCluster by its chart.
func (s *suite) installCluster(t *testing.T, set ...string) {
	t.Helper()
	args := []string{"upgrade", "--install", cluster, "../../charts/chatcluster", "--values", "testdata/chatcluster.yaml", "--set", "spec.image=" + chatdImage + ":" + s.version}
	for _, file := range s.values {
		args = append(args, "--values", file)
	}
	for _, value := range set {
		args = append(args, "--set", value)
	}
	helm(t, args...)
}

// setPassword writes the Secret that the ChatCluster names.
func setPassword(t *testing.T, password string) {
	t.Helper()
	feed(t, "apiVersion: v1\nkind: Secret\nmetadata: {name: cassandra-login, namespace: "+namespace+"}\nstringData: {password: "+password+"}\n",
		"kubectl", "apply", "-f", "-")
}

// workers are the nodes that pods may run on.
func workers(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, node := range mustGet[corev1.NodeList](t, "nodes").Items {
		if !slices.ContainsFunc(node.Spec.Taints, func(taint corev1.Taint) bool { return strings.HasSuffix(taint.Key, "/control-plane") }) {
			names = append(names, node.Name)
		}
	}
	if len(names) == 0 {
		t.Fatal("no node may run pods")
	}
	return names
}

// wireContracts holds the cluster to both contracts, by its own Services.
func (s *suite) wireContracts(t *testing.T) {
	t.Run("sessions, first paths", func(t *testing.T) {
		wire.Sessions(t, s.server, wire.SessionOptions{Paths: wire.FirstPaths, A: "user_a", B: "user_b"})
	})
	t.Run("sessions, second paths", func(t *testing.T) {
		wire.Sessions(t, s.server, wire.SessionOptions{Paths: wire.SecondPaths, A: "user_c", B: "user_d"})
	})
	t.Run("rooms", func(t *testing.T) {
		feed(t, chatdtest.Password+"\n", "kubectl", "-n", namespace, "exec", "-i", "deployment/"+cluster+"-api", "--",
			"/chatd", "create-superuser", "--config=/etc/chatd/chatd.yaml", "--username=root", "--email=root@mail.com", "--password-stdin")
		root := chatdtest.NewClient(s.server)
		root.Username = "root"
		root.Login(t)
		wire.Rooms(t, s.server, root)
	})
}

// pages has two people chat in a browser, on the cluster's own pages.
func (s *suite) pages(t *testing.T) {
	t.Setenv("CHAT_SITE", "http://"+s.server.API)
	t.Log(run(t, "go", "test", "../browser", "-run", "TestTwoPeopleChatInASession", "-count=1", "-v"))
}
