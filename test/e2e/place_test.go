//go:build e2e

package e2e_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/chatcluster/chatcluster/test/overlay"
	corev1 "k8s.io/api/core/v1"
)

const (
	// kindName is the name of a cluster that the test makes.
	kindName = "chatcluster-e2e"
	// Two workers, so that one can be drained while the other has the backends.
	kindWorkers = "2"
	// The NodePorts of API and gateway.
	apiPort, gatewayPort = "30180", "30181"
)

// place is the Kubernetes that the test runs on: the one that KUBECONFIG names,
// or a kind cluster of its own.
type place struct {
	// host is where NodePorts are reached.
	host string
	// kind is the name of the kind cluster; empty for one that is not kind's.
	kind string
}

// newPlace finds or makes the Kubernetes. One that it makes is deleted at the
// end, unless E2E_KEEP is set.
func newPlace(t *testing.T) place {
	t.Helper()
	path, err := try(t.Context(), "", "bash", "-c", ". ../../config/kind/env && tools >&2 && printf %s \"$PATH\"")
	if err != nil {
		t.Fatalf("find the tools: %v", err)
	}
	setenv(t, "PATH", path)
	p := place{host: "127.0.0.1", kind: kindName}
	if os.Getenv("KUBECONFIG") != "" {
		name := strings.TrimSpace(run(t, "kubectl", "config", "current-context"))
		p = place{host: nodeAddress(t)}
		p.kind, _ = strings.CutPrefix(name, "kind-")
		if p.kind == name {
			p.kind = ""
		}
		return p
	}
	config, err := filepath.Abs(filepath.Join(artifacts(t), "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	setenv(t, "KUBECONFIG", config)
	t.Cleanup(func() {
		if os.Getenv("E2E_KEEP") != "" {
			t.Logf("kept: export KUBECONFIG=%s; kind delete cluster --name %s", config, kindName)
			return
		}
		if out, err := exec.Command("kind", "delete", "cluster", "--name", kindName).CombinedOutput(); err != nil {
			t.Errorf("delete the cluster: %v\n%s", err, out)
		}
	})
	run(t, "../../config/kind/up", kindName, kindWorkers, apiPort, gatewayPort)
	if _, err := exec.LookPath("kubectl"); err != nil {
		t.Fatal("kubectl is needed: https://kubernetes.io/docs/tasks/tools/")
	}
	return p
}

// setenv is t.Setenv, but holds until the process ends: the cleanup needs it.
func setenv(t *testing.T, name, value string) {
	t.Helper()
	if err := os.Setenv(name, value); err != nil {
		t.Fatal(err)
	}
}

// nodeAddress is the address of one of the nodes, or E2E_HOST.
func nodeAddress(t *testing.T) string {
	t.Helper()
	if host := os.Getenv("E2E_HOST"); host != "" {
		return host
	}
	var nodes corev1.NodeList
	if err := json.Unmarshal([]byte(run(t, "kubectl", "get", "nodes", "-o", "json")), &nodes); err != nil {
		t.Fatal(err)
	}
	for _, node := range nodes.Items {
		for _, address := range node.Status.Addresses {
			if address.Type == corev1.NodeInternalIP {
				return address.Address
			}
		}
	}
	t.Fatal("no node has an address")
	return ""
}

// images builds the images of the working tree and has the nodes know them. With
// E2E_VERSION set they exist already, where the nodes can pull them.
func (p place) images(t *testing.T) (version string) {
	t.Helper()
	if version := os.Getenv("E2E_VERSION"); version != "" {
		return version
	}
	if p.kind == "" {
		t.Fatal("KUBECONFIG names a cluster that is not kind's: push the images (make images), and set E2E_VERSION")
	}
	version = "e2e"
	setenv(t, "VERSION", version)
	setenv(t, "IMAGE_PLATFORMS", "linux/"+runtime.GOARCH)
	run(t, "../../config/images/build")
	// What upgrades of the operator change to.
	run(t, "docker", "tag", operatorImage+":"+version, operatorImage+":"+next(version))
	buildOtherOperator(t, other(version))
	run(t, "kind", "load", "docker-image", "--name", p.kind, chatdImage+":"+version,
		operatorImage+":"+version, operatorImage+":"+next(version), operatorImage+":"+other(version))
	return version
}

// next is the version that the operator is upgraded to first, the same program;
// other is the one after that, which writes pods otherwise.
func next(version string) string  { return version + "-next" }
func other(version string) string { return version + "-other" }

// buildOtherOperator builds an operator whose pods have another period of the
// liveness probe.
func buildOtherOperator(t *testing.T, version string) {
	t.Helper()
	file, err := filepath.Abs("../../operator/internal/resources/pod.go")
	if err != nil {
		t.Fatal(err)
	}
	text, err := overlay.ReplaceOnce(file, `get("/livez").WithPeriodSeconds(10)`, `get("/livez").WithPeriodSeconds(11)`)
	if err != nil {
		t.Fatal(err)
	}
	list, err := overlay.Write(t.TempDir(), map[string]string{file: text})
	if err != nil {
		t.Fatal(err)
	}
	run(t, "env", "VERSION="+version, "GOFLAGS="+os.Getenv("GOFLAGS")+" -overlay="+list, "../../config/images/build", "chat-operator")
}
