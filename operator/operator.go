// Package operator runs ChatClusters on Kubernetes: Run is all of it.
package operator

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	"github.com/chatcluster/chatcluster/operator/internal/controller"
	"github.com/chatcluster/chatcluster/operator/internal/pods"
	"github.com/chatcluster/chatcluster/operator/internal/resources"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// leaseName names the lease that operators hold in turn.
const leaseName = "chat-operator.chatcluster.dev"

// Options say how the operator runs.
type Options struct {
	// Config is how the API server is reached.
	Config *rest.Config
	// Namespace is where the operator runs, and where its lease is.
	Namespace string
	// WatchNamespaces are where it looks for ChatClusters; everywhere if empty.
	WatchNamespaces []string
	// LeaderElect has one of several operators act at a time.
	LeaderElect bool
	// MetricsAddr and HealthAddr are host:port; "0" for none.
	MetricsAddr, HealthAddr string
	Logger                  *slog.Logger
	// Reach overrides how a backend is looked for; by TCP if nil.
	Reach func(ctx context.Context, addr string) error
	// Pods overrides how pods are asked for their load; by HTTP if nil.
	Pods controller.Pods
	// Now overrides the clock.
	Now func() time.Time
}

// Run runs the operator until ctx ends.
func Run(ctx context.Context, o Options) error {
	if o.Reach == nil {
		o.Reach = controller.Dial
	}
	if o.Pods == nil {
		o.Pods = pods.New(pods.Options{})
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return fmt.Errorf("build scheme: %w", err)
		}
	}
	mgr, err := manager.New(o.Config, manager.Options{
		Scheme:                        scheme,
		Logger:                        logr.FromSlogHandler(o.Logger.Handler()),
		Cache:                         cacheOptions(o.WatchNamespaces),
		LeaderElection:                o.LeaderElect,
		LeaderElectionID:              leaseName,
		LeaderElectionNamespace:       o.Namespace,
		LeaderElectionReleaseOnCancel: true,
		Metrics:                       metricsserver.Options{BindAddress: o.MetricsAddr},
		HealthProbeBindAddress:        o.HealthAddr,
		// The check is for names that collide within one manager; Run may be called
		// again in a process, as its tests do.
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
	})
	if err != nil {
		return fmt.Errorf("set up the manager: %w", err)
	}
	observed, err := controller.NewMetrics(metrics.Registry)
	if err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	defer observed.Unregister(metrics.Registry)
	if err := setUp(mgr, o, observed); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

func setUp(mgr manager.Manager, o Options, observed *controller.Metrics) error {
	discoverer, err := discovery.NewDiscoveryClientForConfigAndClient(o.Config, mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("set up discovery: %w", err)
	}
	capabilities, err := controller.NewCapabilities(discoverer, o.Logger)
	if err != nil {
		return err
	}
	if err := mgr.Add(capabilities); err != nil {
		return fmt.Errorf("add discovery: %w", err)
	}
	for _, add := range []func(string, healthz.Checker) error{mgr.AddHealthzCheck, mgr.AddReadyzCheck} {
		if err := add("ping", healthz.Ping); err != nil {
			return fmt.Errorf("add health check: %w", err)
		}
	}
	return controller.Setup(mgr, controller.Options{
		Namespace: o.Namespace, Logger: o.Logger, Reach: o.Reach, Pods: o.Pods, Capabilities: capabilities, Metrics: observed, Now: o.Now,
	})
}

// cacheOptions bound what is kept in memory: of pods and other children, those
// that the operator made; of Secrets, the metadata (see controller.Setup), and
// none of Helm's, which are many and large.
func cacheOptions(namespaces []string) cache.Options {
	ours := cache.ByObject{Label: labels.SelectorFromSet(labels.Set{resources.LabelManagedBy: resources.ManagedByValue})}
	pods := ours
	pods.Transform = cache.TransformStripManagedFields()
	o := cache.Options{ByObject: map[client.Object]cache.ByObject{
		&corev1.Pod{}:    pods,
		&corev1.Secret{}: {Field: fields.OneTermNotEqualSelector("type", "helm.sh/release.v1")},
	}}
	for _, kind := range controller.OwnedKinds() {
		o.ByObject[kind] = ours
	}
	for _, namespace := range namespaces {
		if o.DefaultNamespaces == nil {
			o.DefaultNamespaces = map[string]cache.Config{}
		}
		o.DefaultNamespaces[namespace] = cache.Config{}
	}
	return o
}
