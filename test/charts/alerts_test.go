//go:build charts

package charts_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// alertCases is when each alert fires.
const alertCases = "testdata/alerts.yml"

// promtool runs Prometheus' checks.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	program := os.Getenv("PROMTOOL")
	if program == "" {
		t.Fatal("this test needs promtool; run: make charts")
	}
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestScrapeConfiguration(t *testing.T) {
	promtool(t, "check", "config", "../../config/prometheus/prometheus.yml")
}

func TestAlerts(t *testing.T) {
	golden, err := os.ReadFile("../../operator/internal/resources/testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	rule := only(t, decode(t, golden), "PrometheusRule")
	rules, err := yaml.Marshal(rule["spec"])
	if err != nil {
		t.Fatal(err)
	}
	cases, err := os.ReadFile(alertCases)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string][]byte{"rules.yml": rules, "alerts.yml": cases} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	promtool(t, "check", "rules", filepath.Join(dir, "rules.yml"))
	promtool(t, "test", "rules", filepath.Join(dir, "alerts.yml"))
	checkAllFire(t, rules, cases)
}

// checkAllFire checks that there is a case in which each alert fires.
func checkAllFire(t *testing.T, rules, cases []byte) {
	t.Helper()
	var all struct {
		Groups []struct{ Rules []struct{ Alert string } }
	}
	var tested struct {
		Tests []struct {
			Alerts []struct {
				Name     string `yaml:"alertname"`
				Expected []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	if err := yaml.Unmarshal(rules, &all); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(cases, &tested); err != nil {
		t.Fatal(err)
	}
	var fire []string
	for _, test := range tested.Tests {
		for _, alert := range test.Alerts {
			if len(alert.Expected) > 0 {
				fire = append(fire, alert.Name)
			}
		}
	}
	for _, group := range all.Groups {
		for _, rule := range group.Rules {
			if !slices.Contains(fire, rule.Alert) {
				t.Errorf("%s has no case in %s in which it fires", rule.Alert, alertCases)
			}
		}
	}
}
