package operator_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/operator"
	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// patience is how long a test waits for what must happen. It bounds a failure,
// and slows no success.
const patience = 60 * time.Second

// apiServer is the one that the tests of this package share, and environment
// what it runs in.
var (
	apiServer   *rest.Config
	environment *envtest.Environment
)

func TestMain(m *testing.M) {
	os.Exit(runWithAPIServer(m))
}

func runWithAPIServer(m *testing.M) int {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		fmt.Fprintln(os.Stderr, "the operator's tests need an API server; run: export KUBEBUILDER_ASSETS=$(test/deps/envtest)")
		return 1
	}
	environment = &envtest.Environment{
		CRDDirectoryPaths: []string{filepath.Join("..", "config", "crd")}, ErrorIfCRDPathMissing: true,
	}
	config, err := environment.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "start the API server:", err)
		return 1
	}
	apiServer = config
	code := m.Run()
	if err := environment.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the API server:", err)
		return 1
	}
	return code
}

// world is a namespace of the API server with an operator that looks at it, and
// with a stand-in for the controllers of Deployments and Jobs, which the API
// server alone does not have.
type world struct {
	t         testing.TB
	namespace string
	client    client.Client
	// sockets are what the operator asks instead of pods.
	sockets *sockets

	// mu guards the rest, which tells the stand-ins what to do.
	mu          sync.Mutex
	unreachable map[string]bool
	jobsFail    bool
	// rolloutsWait has Deployments not roll out.
	rolloutsWait bool
}

func newWorld(t testing.TB) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c, err := client.New(apiServer, client.Options{Scheme: scheme, FieldOwner: "user"})
	if err != nil {
		t.Fatal(err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "w-"}}
	if err := c.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, namespace: namespace.Name, client: c, unreachable: map[string]bool{}, sockets: &sockets{}}
	w.background(w.playControllers)
	return w
}

// background runs f until the test ends.
func (w *world) background(f func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	w.t.Cleanup(stop)
	return stop
}

// testLog is a test's output for as long as there is a test: client-go's recorder
// of events may have something to say after its manager has ended.
type testLog struct {
	mu sync.Mutex // guards t
	t  testing.TB // nil once the test has ended
}

func newTestLog(t testing.TB) *testLog {
	l := &testLog{t: t}
	t.Cleanup(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.t = nil
	})
	return l
}

func (l *testLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.t == nil {
		return len(line), nil
	}
	return l.t.Output().Write(line)
}

// operate runs an operator until the test ends or stop is called.
func (w *world) operate() (stop func()) {
	log := newTestLog(w.t)
	return w.background(func(ctx context.Context) {
		err := operator.Run(ctx, operator.Options{
			Config: apiServer, Namespace: w.namespace, WatchNamespaces: []string{w.namespace},
			MetricsAddr: "0", HealthAddr: "0", Logger: slog.New(slog.NewTextHandler(log, nil)), Reach: w.reach, Pods: w.sockets,
		})
		if err != nil {
			w.t.Errorf("the operator ended: %v", err)
		}
	})
}

func (w *world) reach(_ context.Context, addr string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.unreachable[addr] {
		return fmt.Errorf("%s: connection refused", addr)
	}
	return nil
}

// tell changes what the stand-ins do.
func (w *world) tell(change func(*world)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(w)
}

// playControllers has every Deployment be rolled out and every Job end. It holds
// mu for a round, so that what a test tells it holds from the next one on.
func (w *world) playControllers(ctx context.Context) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		w.mu.Lock()
		err := w.playOnce(ctx)
		w.mu.Unlock()
		if client.IgnoreNotFound(err) != nil && ctx.Err() == nil {
			w.t.Logf("stand-in controllers: %v", err)
		}
	}
}

func (w *world) playOnce(ctx context.Context) error {
	var deployments appsv1.DeploymentList
	if err := w.client.List(ctx, &deployments, client.InNamespace(w.namespace)); err != nil {
		return err
	}
	for i := range deployments.Items {
		d := &deployments.Items[i]
		if d.Status.ObservedGeneration == d.Generation || w.rolloutsWait {
			continue
		}
		n := ptr.Deref(d.Spec.Replicas, 1)
		d.Status = appsv1.DeploymentStatus{
			ObservedGeneration: d.Generation, Replicas: n, UpdatedReplicas: n, ReadyReplicas: n, AvailableReplicas: n,
			Conditions: []appsv1.DeploymentCondition{{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable"}},
		}
		if err := w.client.Status().Update(ctx, d); err != nil {
			return err
		}
	}
	var jobs batchv1.JobList
	if err := w.client.List(ctx, &jobs, client.InNamespace(w.namespace)); err != nil {
		return err
	}
	for i := range jobs.Items {
		if job := &jobs.Items[i]; len(job.Status.Conditions) == 0 {
			if err := w.endJob(ctx, job); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *world) endJob(ctx context.Context, job *batchv1.Job) error {
	now := metav1.Now()
	on := func(kind batchv1.JobConditionType, reason string) batchv1.JobCondition {
		return batchv1.JobCondition{Type: kind, Status: corev1.ConditionTrue, Reason: reason, LastTransitionTime: now, LastProbeTime: now}
	}
	job.Status.StartTime = &now
	if w.jobsFail {
		job.Status.Failed = 1
		job.Status.Conditions = []batchv1.JobCondition{on(batchv1.JobFailureTarget, "BackoffLimitExceeded"), on(batchv1.JobFailed, "BackoffLimitExceeded")}
	} else {
		job.Status.CompletionTime, job.Status.Succeeded = &now, 1
		job.Status.Conditions = []batchv1.JobCondition{on(batchv1.JobSuccessCriteriaMet, "CompletionsReached"), on(batchv1.JobComplete, "CompletionsReached")}
	}
	return w.client.Status().Update(ctx, job)
}

// cluster is a ChatCluster of which all that has a default is left to it.
func (w *world) cluster(change ...func(*v1alpha1.ChatCluster)) *v1alpha1.ChatCluster {
	c := &v1alpha1.ChatCluster{
		ObjectMeta: metav1.ObjectMeta{Name: "demo", Namespace: w.namespace},
		Spec: v1alpha1.ChatClusterSpec{
			Image:     "chatcluster/chatd:1",
			Kafka:     v1alpha1.Kafka{Brokers: []string{"kafka:9092"}},
			Cassandra: v1alpha1.Cassandra{Hosts: []string{"cassandra"}},
		},
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func (w *world) create(o client.Object) {
	w.t.Helper()
	if err := w.client.Create(w.t.Context(), o); err != nil {
		w.t.Fatal(err)
	}
}

// update changes the ChatCluster as a user would: by a patch of what changes.
func (w *world) update(change func(*v1alpha1.ChatCluster)) {
	w.t.Helper()
	c := w.get()
	before := c.DeepCopy()
	change(c)
	if err := w.client.Patch(w.t.Context(), c, client.MergeFrom(before)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) get() *v1alpha1.ChatCluster {
	w.t.Helper()
	c := &v1alpha1.ChatCluster{}
	w.read("demo", c)
	return c
}

func (w *world) read(name string, o client.Object) {
	w.t.Helper()
	if err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, o); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) deployment(part string) *appsv1.Deployment {
	w.t.Helper()
	d := &appsv1.Deployment{}
	w.read("demo-"+part, d)
	return d
}

// eventually waits until check gives "", which says what is missing otherwise.
func (w *world) eventually(check func() string) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		missing := check()
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("after %s still: %s", patience, missing)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// reaches waits for a condition of the ChatCluster, as of its newest spec.
func (w *world) reaches(kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
	w.t.Helper()
	var found metav1.Condition
	w.eventually(func() string {
		c := w.get()
		condition := meta.FindStatusCondition(c.Status.Conditions, kind)
		if condition == nil {
			return "there is no condition " + kind
		}
		found = *condition
		if condition.Status != status || (reason != "" && condition.Reason != reason) || condition.ObservedGeneration != c.Generation {
			return fmt.Sprintf("%s is %s/%s (%s), want %s/%s", kind, condition.Status, condition.Reason, condition.Message, status, reason)
		}
		return ""
	})
	return found
}

func (w *world) ready() {
	w.t.Helper()
	w.reaches(v1alpha1.ConditionReady, metav1.ConditionTrue, "")
}
