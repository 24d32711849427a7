package controller

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	"github.com/chatcluster/chatcluster/operator/internal/decide"
	"github.com/chatcluster/chatcluster/operator/internal/resources"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// FieldOwner owns the fields that the operator applies.
const FieldOwner = client.FieldOwner("chat-operator")

const (
	// resync is how often a ChatCluster is looked at although nothing was heard.
	resync = time.Minute
	// progressResync is that while something is under way: pods that do not become
	// ready, and backends that do not answer, cause no event.
	progressResync = 10 * time.Second
	// workers reconcile that many ChatClusters at once.
	workers = 4
)

// Options are what a Reconciler needs besides the API server.
type Options struct {
	// Namespace is where the operator runs.
	Namespace string
	Logger    *slog.Logger
	// Reach reports whether something answers at host:port; it must come to
	// an end within some seconds.
	Reach func(ctx context.Context, addr string) error
	Pods  Pods
	// Capabilities is which optional kinds there are now.
	Capabilities *Capabilities
	Metrics      *Metrics
	Now          func() time.Time
}

// Reconciler brings one ChatCluster at a time to where it should be.
type Reconciler struct {
	options Options
	// client reads from the cache; live asks the API server, for what is not
	// worth a cache: the content of Secrets, and optional kinds.
	client client.Client
	live   client.Reader
	events events.EventRecorder

	// mu guards states. A state itself is used by the one worker that has its
	// ChatCluster.
	mu     sync.Mutex
	states map[types.NamespacedName]*state
}

// state is what is remembered of a ChatCluster between passes, and can be
// forgotten without harm.
type state struct {
	applied map[childKey]appliedVersion
	secrets map[string]secretDigest
	reached reachability
	scaling scaling
	// optional is the set of optional children that was pruned for.
	optional string
}

// +kubebuilder:rbac:groups=chatcluster.dev,resources=chatclusters,verbs=get;list;watch
// +kubebuilder:rbac:groups=chatcluster.dev,resources=chatclusters/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=chatcluster.dev,resources=chatclusters/finalizers,verbs=update
// +kubebuilder:rbac:groups=apps,resources=deployments,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=batch,resources=jobs;cronjobs,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=configmaps;services;serviceaccounts,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=pods;secrets,verbs=get;list;watch
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies;ingresses,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=gateway.networking.k8s.io,resources=httproutes,verbs=get;list;create;patch;delete
// +kubebuilder:rbac:groups=gateway.envoyproxy.io,resources=backendtrafficpolicies,verbs=get;list;create;patch;delete
// +kubebuilder:rbac:groups=monitoring.coreos.com,resources=podmonitors;prometheusrules,verbs=get;list;create;patch;delete
// +kubebuilder:rbac:groups=grafana.integreatly.org,resources=grafanadashboards,verbs=get;list;create;patch;delete
// +kubebuilder:rbac:groups="";events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,verbs=get;list;watch;create;update;patch

// Setup adds a Reconciler to the manager.
func Setup(mgr manager.Manager, o Options) error {
	r := &Reconciler{
		options: o, client: mgr.GetClient(), live: mgr.GetAPIReader(),
		events: mgr.GetEventRecorder("chat-operator"), states: map[types.NamespacedName]*state{},
	}
	if err := mgr.GetFieldIndexer().IndexField(context.Background(), &v1alpha1.ChatCluster{}, secretIndex, secretNames); err != nil {
		return fmt.Errorf("index ChatClusters by Secret: %w", err)
	}
	ours := builder.WithPredicates(predicate.NewPredicateFuncs(managed))
	b := builder.ControllerManagedBy(mgr).Named("chatcluster").
		For(&v1alpha1.ChatCluster{}, builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers}).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(instanceOf), ours).
		// The Jobs of the cleaner belong to its CronJob.
		Watches(&batchv1.Job{}, handler.EnqueueRequestsFromMapFunc(instanceOf), ours).
		WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.clustersOfSecret)).
		WatchesRawSource(source.Channel(o.Capabilities.changed, handler.EnqueueRequestsFromMapFunc(r.allClusters)))
	for _, kind := range OwnedKinds() {
		if _, job := kind.(*batchv1.Job); !job {
			b = b.Owns(kind, ours)
		}
	}
	if err := b.Complete(r); err != nil {
		return fmt.Errorf("set up the controller: %w", err)
	}
	return nil
}

// OwnedKinds are the kinds of Kubernetes' own that children are of. They are
// watched, and cached where they have the operator's label.
func OwnedKinds() []client.Object {
	return []client.Object{
		&appsv1.Deployment{}, &batchv1.Job{}, &batchv1.CronJob{}, &corev1.ConfigMap{}, &corev1.Service{}, &corev1.ServiceAccount{},
		&policyv1.PodDisruptionBudget{}, &networkingv1.NetworkPolicy{}, &networkingv1.Ingress{},
	}
}

func managed(o client.Object) bool {
	return o.GetLabels()[resources.LabelManagedBy] == resources.ManagedByValue
}

// instanceOf finds the ChatCluster that a child names by its label.
func instanceOf(_ context.Context, o client.Object) []reconcile.Request {
	name := o.GetLabels()[resources.LabelInstance]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: name}}}
}

func (r *Reconciler) allClusters(ctx context.Context, _ client.Object) []reconcile.Request {
	var list v1alpha1.ChatClusterList
	if err := r.client.List(ctx, &list); err != nil {
		r.options.Logger.Error("list ChatClusters", "error", err)
	}
	return requests(list)
}

func requests(list v1alpha1.ChatClusterList) []reconcile.Request {
	all := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		all = append(all, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return all
}

// Reconcile makes one pass over a ChatCluster.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	cluster := &v1alpha1.ChatCluster{}
	err := r.client.Get(ctx, request.NamespacedName, cluster)
	if apierrors.IsNotFound(err) || (err == nil && !cluster.DeletionTimestamp.IsZero()) {
		// The children are collected by their owner reference; Kafka's topics and
		// Cassandra's tables are kept.
		r.forget(request.NamespacedName)
		return reconcile.Result{}, nil
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("get ChatCluster: %w", err)
	}
	p := &pass{
		Reconciler: r, cluster: cluster.DeepCopy(), before: cluster, state: r.stateOf(request.NamespacedName),
		logger: r.options.Logger.With("namespace", request.Namespace, "name", request.Name),
	}
	if len(cluster.Status.Conditions) == 0 {
		if err := p.greet(ctx); err != nil {
			return reconcile.Result{}, err
		}
	}
	passErr := p.run(ctx)
	if err := p.report(ctx, passErr); err != nil {
		return reconcile.Result{}, err
	}
	if passErr != nil {
		return reconcile.Result{}, passErr
	}
	return reconcile.Result{RequeueAfter: p.again()}, nil
}

func (r *Reconciler) stateOf(name types.NamespacedName) *state {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.states[name]
	if s == nil {
		s = &state{applied: map[childKey]appliedVersion{}, secrets: map[string]secretDigest{}}
		r.states[name] = s
	}
	return s
}

func (r *Reconciler) forget(name types.NamespacedName) {
	r.mu.Lock()
	delete(r.states, name)
	r.mu.Unlock()
	r.options.Metrics.forget(name)
}

// pass is one pass over one ChatCluster.
type pass struct {
	*Reconciler
	// cluster is as it is reported at the end; before is as it was read.
	cluster, before *v1alpha1.ChatCluster
	state           *state
	logger          *slog.Logger

	inputs   resources.Inputs
	observed decide.Observation
	children children
	// wanted are the keys of the children that shall be.
	wanted map[childKey]bool
	// autoscaled is whether the operator chooses a number of pods, and
	// rebalancing whether gateways have been asked to shed sockets.
	autoscaled, rebalancing bool
}

// run takes the steps of a pass, in the order in which each needs the last.
func (p *pass) run(ctx context.Context) error {
	p.begin()
	if p.observed.Invalid = invalid(p.inputs); p.observed.Invalid != "" {
		return nil
	}
	if err := p.observe(ctx); err != nil {
		return err
	}
	if err := p.readSecrets(ctx); err != nil || p.observed.MissingSecret != "" {
		return err
	}
	p.reachBackends(ctx)
	p.chooseReplicas(ctx)
	for _, step := range []func(context.Context) error{p.applyFoundation, p.migrate, p.rollOut, p.applyCronJob, p.prune, p.rebalance} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return p.readCleaner(ctx)
}

// begin starts the observation with what the spec says.
func (p *pass) begin() {
	spec := &p.cluster.Spec
	p.wanted = map[childKey]bool{}
	p.inputs = resources.Inputs{
		Cluster: p.cluster, Replicas: map[resources.Part]int32{},
		Capabilities: p.options.Capabilities.Current(), OperatorNamespace: p.options.Namespace,
	}
	p.observed = decide.Observation{
		Generation: p.cluster.Generation, Now: p.options.Now(), Created: p.cluster.CreationTimestamp.Time,
		Hibernated: spec.State == v1alpha1.StateHibernated, Paused: spec.Reconciliation == v1alpha1.ReconciliationPaused,
		CleanerMode: spec.Retention.Cleaner.Mode,
		StaleAfter:  time.Duration(spec.Retention.Cleaner.StaleAfterHours) * time.Hour,
		Cleaner:     p.cluster.Status.Cleaner,
	}
	if spec.Exposure.GatewayAPI != nil && !p.inputs.Capabilities.HTTPRoute {
		p.observed.MissingKind = "exposure.gatewayAPI needs the CRDs of the Gateway API: there is no HTTPRoute here"
	}
}

// again is when the next pass is due, if nothing is heard before.
func (p *pass) again() time.Duration {
	ready, dependencies := p.is(v1alpha1.ConditionReady), p.is(v1alpha1.ConditionDependenciesReady)
	switch {
	case p.rebalancing:
		return decide.ShedEvery
	case p.autoscaled || !ready || !dependencies || p.is(v1alpha1.ConditionProgressing):
		return progressResync
	default:
		return resync
	}
}
