package resources_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chatcluster/chatcluster/operator/internal/resources"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"
)

var strictDecoder = json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Strict: true})

func everything() map[string]resources.Inputs {
	return map[string]resources.Inputs{
		"minimal": minimal(), "full": full(), "hibernated": hibernated(), "single": single(), "gatewayapi": gatewayAPI(),
	}
}

func TestObjectsAreApplicable(t *testing.T) {
	for name, in := range everything() {
		t.Run(name, func(t *testing.T) {
			seen := map[string]bool{}
			for _, u := range all(t, in) {
				id := u.GetKind() + "/" + u.GetName()
				if seen[id] {
					t.Errorf("%s is rendered twice", id)
				}
				seen[id] = true
				if u.GetNamespace() != "team" || u.GetLabels()[resources.LabelInstance] != "talk" || u.GetLabels()[resources.LabelManagedBy] != resources.ManagedByValue {
					t.Errorf("%s: got the namespace %q and the labels %v", id, u.GetNamespace(), u.GetLabels())
				}
				if o := u.GetOwnerReferences(); len(o) != 1 || o[0].Kind != "ChatCluster" || o[0].UID != in.Cluster.UID || o[0].Controller == nil || !*o[0].Controller {
					t.Errorf("%s: got the owners %v", id, o)
				}
				if _, found := u.Object["status"]; found {
					t.Errorf("%s has a status, which is not ours", id)
				}
				if len(u.GetName()) > 63 {
					t.Errorf("%s: name has %d characters", id, len(u.GetName()))
				}
				for _, path := range empty(u.Object, "") {
					t.Errorf("%s: %s is empty, and need not be applied", id, path)
				}
				strict(t, u)
			}
		})
	}
}

// strict reads an object as Kubernetes' own type, if it is one, and fails for
// fields that the type has not.
func strict(t *testing.T, u *unstructured.Unstructured) {
	t.Helper()
	if !scheme.Scheme.Recognizes(u.GroupVersionKind()) {
		return
	}
	typed, err := scheme.Scheme.New(u.GroupVersionKind())
	if err != nil {
		t.Fatal(err)
	}
	content, err := u.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := strictDecoder.Decode(content, nil, typed); err != nil {
		t.Errorf("%s %s: %v", u.GetKind(), u.GetName(), err)
	}
}

// empty finds the fields that are null or hold nothing. An empty selector is
// not nothing: it selects all.
func empty(v any, path string) []string {
	switch v := v.(type) {
	case nil:
		return []string{path}
	case map[string]any:
		if len(v) == 0 && !strings.HasSuffix(path, "elector") {
			return []string{path}
		}
		var found []string
		for key, value := range v {
			found = append(found, empty(value, path+"."+key)...)
		}
		return found
	case []any:
		if len(v) == 0 {
			return []string{path}
		}
		var found []string
		for i, value := range v {
			found = append(found, empty(value, fmt.Sprintf("%s[%d]", path, i))...)
		}
		return found
	default:
		return nil
	}
}

// What the Pod Security Standards call restricted, and a little more.
func TestPodsAreRestricted(t *testing.T) {
	for name, in := range everything() {
		for _, u := range all(t, in) {
			if !slices.Contains([]string{"Deployment", "Job", "CronJob"}, u.GetKind()) {
				continue
			}
			t.Run(name+"/"+u.GetName(), func(t *testing.T) {
				p := podSpec(t, u)
				s, c := p.SecurityContext, p.Containers[0].SecurityContext
				for _, check := range []struct {
					what string
					ok   bool
				}{
					{"one container", len(p.Containers) == 1 && len(p.InitContainers) == 0},
					{"runAsNonRoot", *s.RunAsNonRoot && *s.RunAsUser != 0},
					{"seccomp", s.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault},
					{"no more privileges", !*c.AllowPrivilegeEscalation},
					{"no capabilities", slices.Equal(c.Capabilities.Drop, []corev1.Capability{"ALL"}) && len(c.Capabilities.Add) == 0},
					{"read-only root", *c.ReadOnlyRootFilesystem},
					{"no token", !*p.AutomountServiceAccountToken},
					{"no variables of Services", !*p.EnableServiceLinks},
					{"no host", !p.HostNetwork && !p.HostPID && !p.HostIPC},
				} {
					if !check.ok {
						t.Errorf("fails: %s", check.what)
					}
				}
				for _, v := range p.Volumes {
					if v.HostPath != nil {
						t.Errorf("volume %s is of the host", v.Name)
					}
				}
			})
		}
	}
}

// A Deployment's selector must find its own pods and no others.
func TestSelectors(t *testing.T) {
	in := full()
	for _, part := range resources.Deployments {
		u, err := resources.Deployment(in, part)
		if err != nil {
			t.Fatal(err)
		}
		podLabels, _, _ := unstructured.NestedStringMap(u.Object, "spec", "template", "metadata", "labels")
		for _, other := range resources.Deployments {
			matches := true
			for key, value := range resources.Selector("talk", other) {
				matches = matches && podLabels[key] == value
			}
			if matches != (part == other) {
				t.Errorf("selector of %s matches pods of %s: %v", other, part, matches)
			}
		}
	}
}

func TestGracePeriods(t *testing.T) {
	in := full() // 10 s of delay and 120 s of window
	for part, want := range map[resources.Part]int64{resources.PartAPI: 145, resources.PartGateway: 145, resources.PartArchiver: 25} {
		u, err := resources.Deployment(in, part)
		if err != nil {
			t.Fatal(err)
		}
		if got := *podSpec(t, u).TerminationGracePeriodSeconds; got != want {
			t.Errorf("%s: got %d s, want %d s", part, got, want)
		}
	}
}

func TestDisruptionBudgets(t *testing.T) {
	for _, tt := range []struct {
		replicas int32
		want     int
	}{{0, 0}, {1, 0}, {2, 3}} {
		in := minimal()
		for part := range in.Replicas {
			in.Replicas[part] = tt.replicas
		}
		got := 0
		for _, u := range all(t, in) {
			if u.GetKind() == "PodDisruptionBudget" {
				got++
			}
		}
		if got != tt.want {
			t.Errorf("%d replicas: got %d budgets, want %d", tt.replicas, got, tt.want)
		}
	}
}

func TestCronJob(t *testing.T) {
	for _, tt := range []struct {
		name          string
		change        func(*resources.Inputs)
		want, suspend bool
	}{
		{"enabled", func(*resources.Inputs) {}, true, false},
		{"suspended", func(in *resources.Inputs) { in.Cluster.Spec.Retention.Cleaner.Mode = "Suspended" }, true, true},
		{"hibernated", func(in *resources.Inputs) { in.Cluster.Spec.State = "Hibernated" }, true, true},
		{"disabled", func(in *resources.Inputs) { in.Cluster.Spec.Retention.Cleaner.Mode = "Disabled" }, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := minimal()
			tt.change(&in)
			u, err := resources.CronJob(in)
			if err != nil {
				t.Fatal(err)
			}
			if (u != nil) != tt.want {
				t.Fatalf("got a CronJob: %v, want %v", u != nil, tt.want)
			}
			if u == nil {
				return
			}
			if suspend, _, _ := unstructured.NestedBool(u.Object, "spec", "suspend"); suspend != tt.suspend {
				t.Errorf("got suspend %v, want %v", suspend, tt.suspend)
			}
		})
	}
}

// Whatever may vanish between two renderings must be of a kind that is pruned.
func TestPrunableCoversWhatVanishes(t *testing.T) {
	most := full()
	most.Capabilities.HTTPRoute, most.Capabilities.BackendTrafficPolicy = true, true
	most.Cluster.Spec.Exposure.GatewayAPI = gatewayAPI().Cluster.Spec.Exposure.GatewayAPI
	least := single()
	least.Capabilities = most.Capabilities
	kept := map[string]bool{}
	for _, u := range all(t, least) {
		kept[u.GetKind()+"/"+u.GetName()] = true
	}
	prunable := resources.Prunable(most.Capabilities)
	for _, u := range all(t, most) {
		named := slices.Contains([]string{"ConfigMap", "Job"}, u.GetKind()) // by their content
		if !kept[u.GetKind()+"/"+u.GetName()] && !named && !slices.Contains(prunable, u.GroupVersionKind()) {
			t.Errorf("%s %s may vanish, and is not pruned", u.GetKind(), u.GetName())
		}
	}
	for _, kind := range resources.Prunable(resources.Capabilities{}) {
		if !scheme.Scheme.Recognizes(kind) {
			t.Errorf("%s is pruned, although the API server may not know it", kind)
		}
	}
}

func TestScrapeAnnotations(t *testing.T) {
	for _, tt := range []struct {
		name, mode string
		podMonitor bool
		want       bool
	}{
		{"no PodMonitor", "Auto", false, true},
		{"PodMonitor", "Auto", true, false},
		{"disabled", "Disabled", false, false},
	} {
		in := minimal()
		in.Cluster.Spec.Monitoring.Mode, in.Capabilities.PodMonitor = tt.mode, tt.podMonitor
		for _, u := range all(t, in) {
			if u.GetKind() == "Service" && u.GetName() == "talk-metrics" {
				if got := u.GetAnnotations()["prometheus.io/scrape"] == "true"; got != tt.want {
					t.Errorf("%s: got annotations: %v, want %v", tt.name, got, tt.want)
				}
			}
		}
	}
}
