//go:build charts

package charts_test

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const minimal = "../../charts/chatcluster/ci/minimal-values.yaml"

func TestGatewayReplicasAreWrittenByOne(t *testing.T) {
	const (
		replicas    = "spec.gateway.replicas=3"
		hpa         = "hpa.enabled=true"
		autoscaling = "spec.gateway.autoscaling.minReplicas=2,spec.gateway.autoscaling.maxReplicas=4,spec.gateway.autoscaling.targetSockets=10"
	)
	for _, test := range []struct {
		name, set string
		want      any
		hpas      int
	}{
		{"the user's", replicas, 3, 0},
		{"the HorizontalPodAutoscaler's", replicas + "," + hpa, nil, 1},
		{"the operator's", replicas + "," + autoscaling, nil, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			objects := render(t, "chatcluster", "--values", minimal, "--set", test.set+",spec.gateway.maxSockets=7")
			gateway := only(t, objects, "ChatCluster").at("spec", "gateway").(map[string]any)
			if got := gateway["replicas"]; got != test.want {
				t.Errorf("got replicas %v, want %v", got, test.want)
			}
			if gateway["maxSockets"] != 7 {
				t.Errorf("got the gateway %v, want all else of it", gateway)
			}
			hpas := ofKind(objects, "HorizontalPodAutoscaler")
			if len(hpas) != test.hpas {
				t.Fatalf("got %d HorizontalPodAutoscalers, want %d", len(hpas), test.hpas)
			}
			for _, o := range hpas {
				if got := o.at("spec", "scaleTargetRef", "kind"); got != "ChatCluster" {
					t.Errorf("got the target %v, want the ChatCluster, whose scale it is", got)
				}
			}
		})
	}
	wantRefusal(t, "not both", "chatcluster", "--values", minimal, "--set", hpa+","+autoscaling)
}

func TestSpecIsChecked(t *testing.T) {
	wantRefusal(t, "brokers", "chatcluster")
	wantRefusal(t, "replica", "chatcluster", "--values", minimal, "--set", "spec.gateway.replica=3")
	wantRefusal(t, "partitions", "chatcluster", "--values", minimal, "--set", "spec.kafka.partitions=none")
	wantRefusal(t, "want 40", "chatcluster", "--values", minimal, "--set", "name="+strings.Repeat("a", 41))
}

func TestTheTestUsesTheClustersImage(t *testing.T) {
	objects := render(t, "chatcluster", "--values", minimal, "--set", "spec.image=example.com/chatd@sha256:0,name=talk")
	pod := only(t, objects, "Pod")
	container := pod.at("spec", "containers").([]any)[0].(map[string]any)
	if want := only(t, objects, "ChatCluster").at("spec", "image"); container["image"] != want || want == "" {
		t.Errorf("got the image %v, want %v", container["image"], want)
	}
	args := container["args"].([]any)
	if !slices.Contains(args, any("--server=http://talk-api:8000")) || !slices.Contains(args, any("--gateway=ws://talk-gateway:8081")) {
		t.Errorf("got args %v, want the Services of the ChatCluster talk", args)
	}
	if len(ofKind(render(t, "chatcluster", "--values", minimal, "--set", "test.enabled=false"), "Pod")) != 0 {
		t.Error("got a test pod although it is not enabled")
	}
}

func TestOperatorInAllNamespaces(t *testing.T) {
	objects := render(t, "chat-operator")
	var rules []any
	for _, o := range ofKind(objects, "ClusterRole") {
		if o.at("metadata", "name") == "chat-chat-operator" {
			rules = o["rules"].([]any)
		}
	}
	want := config(t, "rbac/role.yaml", "ClusterRole")["rules"]
	if !reflect.DeepEqual(rules, want) {
		t.Errorf("got the rules %v, want those of config/rbac", rules)
	}
	for _, o := range ofKind(objects, "Role") {
		if got, want := o["rules"], config(t, "rbac/role.yaml", "Role")["rules"]; !reflect.DeepEqual(got, want) {
			t.Errorf("%v: got the rules %v, want those of config/rbac", o, got)
		}
	}
	wantArg(t, objects, "--watch-namespaces", false)
}

func TestOperatorInSomeNamespaces(t *testing.T) {
	objects := render(t, "chat-operator", "--set", "watchNamespaces={a,b},rbac.aggregate=false")
	for _, kind := range []string{"ClusterRole", "ClusterRoleBinding"} {
		if found := ofKind(objects, kind); len(found) > 0 {
			t.Errorf("got %v, want no rights beyond the namespaces", found)
		}
	}
	for _, kind := range []string{"Role", "RoleBinding"} {
		var got []string
		for _, o := range ofKind(objects, kind) {
			got = append(got, o.at("metadata", "namespace").(string))
		}
		slices.Sort(got)
		if want := []string{"a", "b", "ours"}; !slices.Equal(got, want) {
			t.Errorf("got a %s in %v, want %v", kind, got, want)
		}
	}
	wantArg(t, objects, "--watch-namespaces=a,b", true)
}

func TestCRD(t *testing.T) {
	crd := only(t, render(t, "chat-operator"), "CustomResourceDefinition")
	if want := config(t, "crd/chatcluster.dev_chatclusters.yaml", "CustomResourceDefinition"); !reflect.DeepEqual(crd["spec"], want["spec"]) {
		t.Error("the chart's CRD is not that of config/crd")
	}
	if got := crd.at("metadata", "annotations", "helm.sh/resource-policy"); got != "keep" {
		t.Errorf("got the policy %v, want keep", got)
	}
	crd = only(t, render(t, "chat-operator", "--set", "crds.keep=false"), "CustomResourceDefinition")
	if got := crd.at("metadata", "annotations", "helm.sh/resource-policy"); got != nil {
		t.Errorf("got the policy %v, want none", got)
	}
	if len(ofKind(render(t, "chat-operator", "--set", "crds.enabled=false"), "CustomResourceDefinition")) != 0 {
		t.Error("got a CRD although it is not enabled")
	}
}

// The pods run in namespaces that enforce the restricted profile.
func TestPodsAreRestricted(t *testing.T) {
	objects := slices.Concat(render(t, "chat-operator"), render(t, "chat-backends"), render(t, "chatcluster", "--values", minimal))
	n := 0
	for _, o := range objects {
		spec := o.at("spec", "template", "spec")
		if o["kind"] == "Pod" {
			spec = o["spec"]
		}
		if spec == nil {
			continue
		}
		n++
		pod := object(spec.(map[string]any))
		if pod.at("securityContext", "runAsNonRoot") != true || pod.at("securityContext", "seccompProfile", "type") != "RuntimeDefault" {
			t.Errorf("%v: got the security context %v", o, pod["securityContext"])
		}
		for _, c := range pod["containers"].([]any) {
			container := object(c.(map[string]any))
			drop := container.at("securityContext", "capabilities", "drop")
			if container.at("securityContext", "allowPrivilegeEscalation") != false || !reflect.DeepEqual(drop, []any{"ALL"}) {
				t.Errorf("%v: got the security context %v", o, container["securityContext"])
			}
		}
	}
	if n != 4 {
		t.Errorf("got %d kinds of pods, want 4: operator, Kafka, Cassandra, test", n)
	}
}

// config is an object of a file in config/.
func config(t *testing.T, file, kind string) object {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../config", file))
	if err != nil {
		t.Fatal(err)
	}
	return only(t, decode(t, data), kind)
}

// wantArg wants an argument of the operator that begins so, or none.
func wantArg(t *testing.T, objects []object, prefix string, want bool) {
	t.Helper()
	containers := only(t, objects, "Deployment").at("spec", "template", "spec", "containers").([]any)
	args, _ := object(containers[0].(map[string]any))["args"].([]any)
	got := slices.ContainsFunc(args, func(arg any) bool { return strings.HasPrefix(arg.(string), prefix) })
	if got != want {
		t.Errorf("got the args %v; one with %s: want %t", args, prefix, want)
	}
}
