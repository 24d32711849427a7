package controller

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	"github.com/chatcluster/chatcluster/operator/internal/resources"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"
)

// discoverEvery is how soon a CRD that is installed later is noticed.
const discoverEvery = 30 * time.Second

// discovery is what Capabilities ask of the API server.
type discovery interface {
	ServerResourcesForGroupVersion(groupVersion string) (*metav1.APIResourceList, error)
}

// Capabilities keeps up with which optional kinds the API server knows. It is
// safe for concurrent use; its goroutine is that of Start.
type Capabilities struct {
	client  discovery
	logger  *slog.Logger
	changed chan event.GenericEvent

	// mu guards current.
	mu      sync.Mutex
	current resources.Capabilities
}

// NewCapabilities asks for the first time.
func NewCapabilities(client discovery, logger *slog.Logger) (*Capabilities, error) {
	c := &Capabilities{client: client, logger: logger, changed: make(chan event.GenericEvent, 1)}
	current, err := c.discover()
	c.current = current
	return c, err
}

// Current is what the API server knows.
func (c *Capabilities) Current() resources.Capabilities {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

// Start asks again and again until ctx ends.
func (c *Capabilities) Start(ctx context.Context) error {
	ticker := time.NewTicker(discoverEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		found, err := c.discover()
		if err != nil {
			c.logger.Warn("discover optional kinds", "error", err)
			continue
		}
		c.mu.Lock()
		changed := c.current != found
		c.current = found
		c.mu.Unlock()
		if !changed {
			continue
		}
		c.logger.Info("optional kinds changed", "kinds", fmt.Sprintf("%+v", found))
		select {
		// The object does not matter: all ChatClusters are looked at.
		case c.changed <- event.GenericEvent{Object: &v1alpha1.ChatCluster{}}:
		case <-ctx.Done():
			return nil
		}
	}
}

func (c *Capabilities) discover() (resources.Capabilities, error) {
	var found resources.Capabilities
	for _, group := range []struct {
		version string
		kinds   map[string]*bool
	}{
		{"monitoring.coreos.com/v1", map[string]*bool{"PodMonitor": &found.PodMonitor, "PrometheusRule": &found.PrometheusRule}},
		{"grafana.integreatly.org/v1beta1", map[string]*bool{"GrafanaDashboard": &found.GrafanaDashboard}},
		{"gateway.networking.k8s.io/v1", map[string]*bool{"HTTPRoute": &found.HTTPRoute}},
		{"gateway.envoyproxy.io/v1alpha1", map[string]*bool{"BackendTrafficPolicy": &found.BackendTrafficPolicy}},
	} {
		list, err := c.client.ServerResourcesForGroupVersion(group.version)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return resources.Capabilities{}, fmt.Errorf("discover %s: %w", group.version, err)
		}
		for _, r := range list.APIResources {
			if known, ok := group.kinds[r.Kind]; ok {
				*known = true
			}
		}
	}
	return found, nil
}
