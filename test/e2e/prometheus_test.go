//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	// prometheusImage is built for kind; other clusters pull publishedImage.
	prometheusImage = "chatcluster/prometheus:e2e"
	publishedImage  = "quay.io/prometheus/prometheus:v3.5.0"
	// ours are the matchers of the cluster's series.
	ours = `namespace="` + namespace + `",chatcluster="` + cluster + `"`

	scrapedSockets, scrapedSessions = 60, 6
)

// scrape has a real Prometheus scrape the pods as config/prometheus says, and
// compares what it counted with what clients saw.
func (s *suite) scrape(t *testing.T) {
	s.installPrometheus(t)
	sockets := "sum(chat_gateway_connections{" + ours + "})"
	deliveries := "sum(chat_gateway_deliveries_total{" + ours + "})"
	accepted := "sum(chat_messages_accepted_total{" + ours + "})"

	noSockets := func(ctx context.Context) error {
		samples, err := query(ctx, sockets+" > 0")
		if err == nil && len(samples) > 0 {
			err = fmt.Errorf("it counts %v", samples[0].Value[1])
		}
		return err
	}
	scraped(t)
	eventually(t, time.Minute, "Prometheus counts no sockets before there is one", noSockets)
	acceptedBefore, deliveriesBefore := number(t, accepted), number(t, deliveries)

	c := newCrowd(t, s.server, scrapedSockets, scrapedSessions)
	defer c.leave()
	time.Sleep(10 * time.Second) // how long they talk
	acked, received := c.quieten(t)
	if n := c.reconnects.Load(); n > 0 {
		t.Fatalf("%d reconnects, though nothing happened", n)
	}
	scraped(t)
	for _, compared := range []struct {
		what        string
		theirs, own float64
	}{
		{"open sockets", number(t, sockets), scrapedSockets},
		{"accepted messages", number(t, accepted) - acceptedBefore, float64(acked)},
		{"deliveries", number(t, deliveries) - deliveriesBefore, float64(received)},
	} {
		t.Logf("%s: Prometheus %v, clients %v", compared.what, compared.theirs, compared.own)
		if compared.theirs != compared.own {
			t.Errorf("%s: Prometheus counts %v, the clients %v", compared.what, compared.theirs, compared.own)
		}
	}
	c.leave()
	eventually(t, time.Minute, "Prometheus counts no sockets after all have left", noSockets)
}

// installPrometheus runs Prometheus as config/prometheus says.
func (s *suite) installPrometheus(t *testing.T) {
	t.Helper()
	manifests, err := os.ReadFile("testdata/prometheus/manifests.yaml")
	if err != nil {
		t.Fatal(err)
	}
	image := publishedImage
	if s.place.kind != "" {
		image = prometheusImage
		buildPrometheus(t)
		run(t, "kind", "load", "docker-image", "--name", s.place.kind, image)
	}
	configMap(t, "prometheus", "../../config/prometheus/prometheus.yml")
	feed(t, strings.ReplaceAll(string(manifests), "IMAGE", image), "kubectl", "apply", "-f", "-")
	s.whole.Cleanup(func() {
		// What does not go with the namespace; the test's context has ended.
		if _, err := try(context.Background(), "", "kubectl", "delete", "--ignore-not-found", "clusterrole,clusterrolebinding", "chat-e2e-prometheus"); err != nil {
			s.whole.Error(err)
		}
	})
	run(t, "kubectl", "-n", namespace, "rollout", "status", "deployment/prometheus", "--timeout="+patience.String())
}

// buildPrometheus builds an image from Prometheus' Go module.
func buildPrometheus(t *testing.T) {
	t.Helper()
	bin := strings.TrimSpace(run(t, "../deps/k8s", "prometheus"))
	program, err := os.ReadFile(filepath.Join(bin, "prometheus"))
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "prometheus"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "docker", "build", "-q", "-t", prometheusImage, "-f", "testdata/prometheus/Dockerfile", folder)
}

// configMap makes or changes a ConfigMap that has a file.
func configMap(t *testing.T, name, file string) {
	t.Helper()
	manifest := run(t, "kubectl", "-n", namespace, "create", "configmap", name, "--from-file="+file, "--dry-run=client", "-o", "yaml")
	feed(t, manifest, "kubectl", "apply", "-f", "-")
}

// sample is a value of a series.
type sample struct {
	Metric map[string]string
	Value  [2]any // time, and the number as a string
}

func (s sample) number() (float64, error) {
	text, _ := s.Value[1].(string)
	return strconv.ParseFloat(text, 64)
}

// query asks Prometheus for the present values of an expression.
func query(ctx context.Context, expr string) ([]sample, error) {
	var answer struct{ Data struct{ Result []sample } }
	err := askPrometheus(ctx, "query?query="+url.QueryEscape(expr), &answer)
	return answer.Data.Result, err
}

// askPrometheus gets a path of Prometheus' API, through that of Kubernetes.
func askPrometheus(ctx context.Context, path string, answer any) error {
	out, err := try(ctx, "", "kubectl", "get", "--raw", fmt.Sprintf("/api/v1/namespaces/%s/services/prometheus:9090/proxy/api/v1/%s", namespace, path))
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), answer)
}

// number is the present value of an expression that has one; 0 if it has none.
func number(t *testing.T, expr string) float64 {
	t.Helper()
	samples, err := query(t.Context(), expr)
	if err != nil {
		t.Fatal(err)
	}
	if len(samples) == 0 {
		return 0
	}
	n, err := samples[0].number()
	if err != nil || len(samples) > 1 {
		t.Fatalf("%s is %v, %v, want one number", expr, samples, err)
	}
	return n
}

// scraped waits until Prometheus has scraped all pods of the cluster, and the
// operator, anew.
func scraped(t *testing.T) {
	t.Helper()
	asked := time.Now()
	eventually(t, 2*time.Minute, "all pods are scraped", func(ctx context.Context) error {
		running, err := pods(ctx, "")
		if err != nil {
			return err
		}
		// Of an expression that is no series, timestamp would tell the present.
		last, err := query(ctx, `timestamp(up{`+ours+`}) and up == 1 or timestamp(up{job="chat-operator"}) and up == 1`)
		if err != nil {
			return err
		}
		fresh, operators := map[string]bool{}, 0
		for _, s := range last {
			at, err := s.number()
			switch {
			case err != nil:
				return err
			case at < float64(asked.UnixMilli())/1000:
			case s.Metric["job"] == "chat-operator":
				operators++
			default:
				fresh[s.Metric["pod"]] = true
			}
		}
		for _, p := range running {
			if !fresh[p.Name] {
				return fmt.Errorf("%s is not scraped", p.Name)
			}
		}
		if len(fresh) != len(running) || operators == 0 {
			return fmt.Errorf("%d pods of %d and %d of the operator are scraped", len(fresh), len(running), operators)
		}
		return nil
	})
}

// judge has Prometheus evaluate the rules of a PrometheusRule, none of which may
// fail or fire, and all that a dashboard asks for.
func (s *suite) judge(t *testing.T, rules, dashboard string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, []byte(rules), 0o644); err != nil {
		t.Fatal(err)
	}
	configMap(t, "prometheus-rules", file)
	// It would notice by itself, but not soon.
	run(t, "kubectl", "-n", namespace, "rollout", "restart", "deployment/prometheus")
	run(t, "kubectl", "-n", namespace, "rollout", "status", "deployment/prometheus", "--timeout="+patience.String())
	s.underLoad(t, func() {
		eventually(t, 2*time.Minute, "all rules are evaluated, and none fires", quietRules)
		eventually(t, 2*time.Minute, "every panel has data", func(ctx context.Context) error { return panelsHaveData(ctx, dashboard) })
	})
}

// quietRules complains of a rule that was not evaluated, or fires.
func quietRules(ctx context.Context) error {
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError, State string }
			}
		}
	}
	if err := askPrometheus(ctx, "rules", &answer); err != nil {
		return err
	}
	n := 0
	for _, group := range answer.Data.Groups {
		for _, rule := range group.Rules {
			n++
			if rule.Health != "ok" || rule.State == "firing" {
				return fmt.Errorf("the rule %s is %s and %s: %s", rule.Name, rule.Health, rule.State, rule.LastError)
			}
		}
	}
	if n == 0 {
		return fmt.Errorf("there are no rules")
	}
	return nil
}

// panelsHaveData complains of a panel of the dashboard that shows nothing.
func panelsHaveData(ctx context.Context, dashboard string) error {
	var content struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(dashboard), &content); err != nil {
		return err
	}
	variables := strings.NewReplacer("$namespace", namespace, "$chatcluster", cluster)
	n := 0
	for _, panel := range content.Panels {
		for _, target := range panel.Targets {
			n++
			samples, err := query(ctx, variables.Replace(target.Expr))
			if err != nil {
				return fmt.Errorf("%s: %w", panel.Title, err)
			}
			// Some show only what is amiss.
			if len(samples) == 0 && !strings.HasSuffix(target.Expr, "> 0") {
				return fmt.Errorf("%s: there is nothing to see of %s", panel.Title, target.Expr)
			}
		}
	}
	if n == 0 {
		return fmt.Errorf("the dashboard asks for nothing: %.200s", dashboard)
	}
	return nil
}
