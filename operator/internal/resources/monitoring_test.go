package resources_test

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chatcluster/chatcluster/internal/metrics"
	"github.com/chatcluster/chatcluster/operator/internal/resources"
	"github.com/prometheus/client_golang/prometheus"
	"gopkg.in/yaml.v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// foreignSeries are those that the server does not make: the operator's, and
// Prometheus' own.
var foreignSeries = []string{
	"chatcluster_cleaner_last_success_timestamp_seconds", "chatcluster_status_condition", "up",
}

// serverSeries are the names of the server's series.
func serverSeries() []string {
	descriptions := make(chan *prometheus.Desc)
	go func() {
		metrics.New("test").Registry.Describe(descriptions)
		close(descriptions)
	}()
	var names []string
	name := regexp.MustCompile(`fqName: "([^"]+)"`)
	for d := range descriptions {
		names = append(names, name.FindStringSubmatch(d.String())[1])
	}
	return names
}

// series finds the names of series in an expression: what stands before the
// braces of the matchers.
func series(expr string) []string {
	var names []string
	for _, match := range regexp.MustCompile(`([a-z_]+)\{`).FindAllStringSubmatch(expr, -1) {
		names = append(names, match[1])
	}
	return names
}

func checkExpr(t *testing.T, where, expr string, known []string) {
	t.Helper()
	names := series(expr)
	if len(names) == 0 {
		t.Errorf("%s: no series in %s", where, expr)
	}
	for _, name := range names {
		plain := name
		for _, suffix := range []string{"_bucket", "_count", "_sum"} {
			plain = strings.TrimSuffix(plain, suffix)
		}
		if !slices.Contains(known, name) && !slices.Contains(known, plain) {
			t.Errorf("%s: nobody exports %s", where, name)
		}
	}
}

func find(t *testing.T, in resources.Inputs, kind string) *unstructured.Unstructured {
	t.Helper()
	for _, u := range all(t, in) {
		if u.GetKind() == kind {
			return u
		}
	}
	return nil
}

func rules(t *testing.T, in resources.Inputs) []map[string]any {
	t.Helper()
	u := find(t, in, "PrometheusRule")
	if u == nil {
		t.Fatal("no PrometheusRule")
	}
	groups, _, _ := unstructured.NestedSlice(u.Object, "spec", "groups")
	var found []map[string]any
	for _, rule := range groups[0].(map[string]any)["rules"].([]any) {
		found = append(found, rule.(map[string]any))
	}
	return found
}

func TestAlerts(t *testing.T) {
	known := append(serverSeries(), foreignSeries...)
	runbooks, err := os.ReadFile("../../../docs/runbooks.md")
	if err != nil {
		t.Fatal(err)
	}
	var headings []string
	for _, match := range regexp.MustCompile(`(?m)^## (\S+)$`).FindAllStringSubmatch(string(runbooks), -1) {
		headings = append(headings, match[1])
	}
	var names []string
	for _, rule := range rules(t, full()) {
		name, expr := rule["alert"].(string), rule["expr"].(string)
		names = append(names, name)
		checkExpr(t, name, expr, known)
		for _, name := range series(expr) {
			// A rule of one cluster must not fire for another one.
			if !strings.Contains(expr, name+`{namespace="team",chatcluster="talk"`) && !strings.Contains(expr, name+`{namespace="team",name="talk"`) {
				t.Errorf("%s is not of the cluster: %s", name, expr)
			}
		}
		url, _, _ := unstructured.NestedString(rule, "annotations", "runbook_url")
		if want := "docs/runbooks.md#" + strings.ToLower(name); !strings.HasSuffix(url, want) {
			t.Errorf("%s: got the runbook %s, want %s", name, url, want)
		}
	}
	slices.Sort(names)
	slices.Sort(headings)
	if !slices.Equal(names, headings) {
		t.Errorf("the alerts are\n%v\nand docs/runbooks.md explains\n%v", names, headings)
	}
}

// Where there is no PrometheusRule, its rules are in a file.
func TestAlertsWithoutAnOperatorOfPrometheus(t *testing.T) {
	rules := func(in resources.Inputs) string {
		for _, u := range all(t, in) {
			if u.GetKind() == "ConfigMap" && u.GetName() == "talk-alerts" {
				file, _, _ := unstructured.NestedString(u.Object, "data", "rules.yml")
				return file
			}
		}
		return ""
	}
	in := full()
	spec, _, _ := unstructured.NestedMap(find(t, in, "PrometheusRule").Object, "spec")
	if got := rules(in); got != "" {
		t.Errorf("beside a PrometheusRule: got the file\n%s", got)
	}
	in.Capabilities.PrometheusRule = false
	var file map[string]any
	if err := yaml.Unmarshal([]byte(rules(in)), &file); err != nil || !reflect.DeepEqual(file, spec) {
		t.Errorf("got the file %v, %v, want the rules %v", file, err, spec)
	}
	in = hibernated()
	in.Capabilities.PrometheusRule = false
	if got := rules(in); got != "" {
		t.Errorf("of a hibernated cluster: got the file\n%s", got)
	}
}

func TestAlertsFollowTheSpec(t *testing.T) {
	has := func(in resources.Inputs, name string) bool {
		return slices.ContainsFunc(rules(t, in), func(rule map[string]any) bool { return rule["alert"] == name })
	}
	in := full()
	in.Cluster.Spec.Retention.Cleaner.Mode = "Suspended"
	if has(in, "ChatCleanerStale") {
		t.Error("a cleaner that is suspended is said to be stale")
	}
	in.Replicas[resources.PartGateway] = 0
	if has(in, "ChatGatewaysDown") {
		t.Error("gateways that nobody wants are said to be down")
	}
	if find(t, hibernated(), "PrometheusRule") != nil {
		t.Error("a hibernated cluster has alerts")
	}
}

func TestDashboard(t *testing.T) {
	known := append(serverSeries(), foreignSeries...)
	u := find(t, full(), "GrafanaDashboard")
	text, _, _ := unstructured.NestedString(u.Object, "spec", "json")
	var d struct {
		Title      string
		Templating struct {
			List []struct{ Name, Type, Query string }
		}
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	if d.Title != "ChatCluster team/talk" {
		t.Errorf("got the title %q", d.Title)
	}
	variables := map[string]string{}
	for _, v := range d.Templating.List {
		variables[v.Name] = v.Query
	}
	if variables["namespace"] != "team" || variables["chatcluster"] != "talk" {
		t.Errorf("got the variables %v", variables)
	}
	ids := map[int]bool{}
	for _, panel := range d.Panels {
		if ids[panel.ID] {
			t.Errorf("%s: two panels have the id %d", panel.Title, panel.ID)
		}
		ids[panel.ID] = true
		if len(panel.Targets) == 0 {
			t.Errorf("%s shows nothing", panel.Title)
		}
		for _, target := range panel.Targets {
			checkExpr(t, panel.Title, target.Expr, known)
			if strings.Count(target.Expr, "{") != strings.Count(target.Expr, `{namespace="$namespace",chatcluster="$chatcluster"`) {
				t.Errorf("%s is not of the cluster: %s", panel.Title, target.Expr)
			}
		}
	}
}

func TestMonitorsNeedTheirKinds(t *testing.T) {
	for _, u := range all(t, minimal()) {
		if slices.Contains([]string{"PodMonitor", "PrometheusRule", "GrafanaDashboard"}, u.GetKind()) {
			t.Errorf("a %s is made where there is no such kind", u.GetKind())
		}
	}
	in := full()
	in.Cluster.Spec.Monitoring.Mode = "Disabled"
	if find(t, in, "PodMonitor") != nil {
		t.Error("a PodMonitor is made although monitoring is disabled")
	}
	if got := find(t, full(), "PodMonitor").GetLabels()["release"]; got != "prometheus" {
		t.Errorf("got the label release %q, want the user's", got)
	}
}
