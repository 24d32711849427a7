package operator_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// watched is how long a steady state is watched for.
const watched = 2 * time.Minute

// BenchmarkChatClusters tells what ChatClusters cost the operator, as a process
// of its own over a real API server: the time from their creation until all are
// ready, its memory then, and its requests a minute once nothing changes. The
// Deployments and Jobs are played, and take no time.
func BenchmarkChatClusters(b *testing.B) {
	binary := filepath.Join(b.TempDir(), "chat-operator")
	build := exec.Command("go", "build", "-o", binary, "../cmd/chat-operator")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build the operator: %v\n%s", err, out)
	}
	kubeconfig := writeKubeconfig(b)
	for _, n := range []int{1, 50, 200} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			for b.Loop() {
				benchmarkClusters(b, binary, kubeconfig, n)
			}
		})
	}
}

func benchmarkClusters(b *testing.B, binary, kubeconfig string, n int) {
	w := newWorld(b)
	backend := listen(b)
	metrics := freeAddr(b)
	process := exec.Command(binary, "--watch-namespaces="+w.namespace, "--operator-namespace="+w.namespace,
		"--metrics-bind-address="+metrics, "--health-probe-bind-address=0", "--log-level=error")
	process.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	process.Stderr = os.Stderr
	if err := process.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = process.Process.Signal(os.Interrupt)
		_ = process.Wait()
	}()

	start := time.Now()
	for i := range n {
		w.create(w.cluster(func(c *v1alpha1.ChatCluster) {
			c.Name = fmt.Sprintf("demo-%d", i)
			c.Spec.Kafka.Brokers, c.Spec.Cassandra.Hosts = []string{backend}, []string{backend}
		}))
	}
	for w.notReady() > 0 {
		time.Sleep(100 * time.Millisecond)
		if time.Since(start) > 10*time.Minute {
			b.Fatalf("after ten minutes %d of %d are not ready", w.notReady(), n)
		}
	}
	b.ReportMetric(time.Since(start).Seconds(), "s-until-ready")
	before := scrape(b, metrics)
	b.ReportMetric(before["rest_client_requests_total"]/float64(n), "requests/cluster-until-ready")
	time.Sleep(watched)
	after := scrape(b, metrics)
	b.ReportMetric(after["process_resident_memory_bytes"]/(1<<20), "MiB")
	b.ReportMetric((after["rest_client_requests_total"]-before["rest_client_requests_total"])/watched.Minutes(), "requests/min")
	b.ReportMetric((after["process_cpu_seconds_total"]-before["process_cpu_seconds_total"])/watched.Seconds()*1000, "mCPU")
	b.ReportMetric(0, "ns/op")
}

func (w *world) notReady() int {
	var list v1alpha1.ChatClusterList
	if err := w.client.List(context.Background(), &list, client.InNamespace(w.namespace)); err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for i := range list.Items {
		if !meta.IsStatusConditionTrue(list.Items[i].Status.Conditions, v1alpha1.ConditionReady) {
			n++
		}
	}
	return n
}

// writeKubeconfig lets another process reach the API server.
func writeKubeconfig(b *testing.B) string {
	b.Helper()
	content := apiServerUser(b)
	path := filepath.Join(b.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

func apiServerUser(b *testing.B) []byte {
	b.Helper()
	user, err := environment.AddUser(envtest.User{Name: "operator", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		b.Fatal(err)
	}
	content, err := user.KubeConfig()
	if err != nil {
		b.Fatal(err)
	}
	return content
}

// listen gives an address at which something answers.
func listen(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	b.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String()
}

func freeAddr(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// scrape sums each series of /metrics over its labels.
func scrape(b *testing.B, addr string) map[string]float64 {
	b.Helper()
	answer, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		b.Fatal(err)
	}
	defer answer.Body.Close()
	sums := map[string]float64{}
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		name, _, _ = strings.Cut(name, "{")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			sums[name] += v
		}
	}
	if err := lines.Err(); err != nil {
		b.Fatal(err)
	}
	return sums
}
