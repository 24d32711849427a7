//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	"github.com/chatcluster/chatcluster/test/chatdtest"
)

const (
	// hashedSessions are looked at one after the other, with so many sockets each.
	hashedSessions, socketsInSession = 8, 5
	// rolledSockets in rolledSessions are there while all pods are replaced.
	rolledSockets, rolledSessions = 60, 4
)

// TestIngress runs a ChatCluster behind an ingress controller that is there
// already: both wire contracts, all sockets of a session at one gateway if it is
// to hash, and a rolling update that loses nothing.
//
// E2E_EXPOSURE is a file of values with the exposure to try, and E2E_INGRESS the
// host:port where the controller takes plain HTTP.
func TestIngress(t *testing.T) {
	file, address := os.Getenv("E2E_EXPOSURE"), os.Getenv("E2E_INGRESS")
	if file == "" || address == "" {
		t.Fatal("set E2E_EXPOSURE to a file of values such as testdata/exposure/nginx.yaml, and E2E_INGRESS to the controller's host:port")
	}
	s := &suite{whole: t, place: newPlace(t), values: []string{file}}
	t.Cleanup(chatdtest.RemoveBinaries)
	s.version = s.place.images(t)
	s.install(t)
	hosts, hashing := exposed(t)
	s.server = &chatdtest.Server{API: asHost(t, address, hosts.APIHost), Gateway: asHost(t, address, hosts.GatewayHost)}
	eventually(t, time.Minute, "the ingress answers", func(ctx context.Context) error { return s.answers(ctx) })

	t.Run("wire contracts", s.wireContracts)
	s.patch(t, `{"spec":{"gateway":{"replicas":3}}}`)
	podsOf(t, "gateway", 3)
	if hashing != "None" {
		t.Run("one gateway for a session", s.oneGateway)
	}
	t.Run("rolling update", func(t *testing.T) {
		c := newCrowd(t, s.server, rolledSockets, rolledSessions)
		defer c.leave()
		before := uids(t, "")
		s.installCluster(t, "spec.logging.level=warn")
		s.rolled(t, before)
		acked, received := c.quieten(t)
		t.Logf("%d messages acknowledged, %d received, %d reconnects", acked, received, c.reconnects.Load())
	})
}

// exposed tells the names that the ChatCluster is exposed by, and how the sockets
// of a session are sent to one gateway.
func exposed(t *testing.T) (v1alpha1.Hosts, string) {
	t.Helper()
	switch e := mustGet[v1alpha1.ChatCluster](t, "chatcluster", cluster).Spec.Exposure; {
	case e.Ingress != nil:
		return e.Ingress.Hosts, e.Ingress.Hashing
	case e.GatewayAPI != nil:
		return e.GatewayAPI.Hosts, e.GatewayAPI.Hashing
	}
	t.Fatal("E2E_EXPOSURE exposes the ChatCluster neither by an Ingress nor by the Gateway API")
	return v1alpha1.Hosts{}, ""
}

// asHost is the address of a proxy to address that calls it by the name of a host,
// which no DNS knows.
func asHost(t *testing.T, address, host string) string {
	t.Helper()
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", address, host
		},
		FlushInterval: -1,
	})
	t.Cleanup(proxy.Close)
	return strings.TrimPrefix(proxy.URL, "http://")
}

// answers asks the API for a page, and the gateway for what is no page.
func (s *suite) answers(ctx context.Context) error {
	for url, want := range map[string]int{
		"http://" + s.server.API + "/login/":         http.StatusOK,
		"http://" + s.server.Gateway + "/0000000000": http.StatusUpgradeRequired,
	} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			return fmt.Errorf("%s: %s, want %d", url, resp.Status, want)
		}
	}
	return nil
}

// oneGateway wants the sockets of each session at one gateway, and not those of
// all sessions at the same one.
func (s *suite) oneGateway(t *testing.T) {
	used := map[int]bool{}
	for range hashedSessions {
		c := newCrowd(t, s.server, socketsInSession, 1)
		with := s.sockets(t)
		c.leave()
		eventually(t, time.Minute, "no socket is left", func(context.Context) error {
			if left := s.sockets(t); slices.Max(left) > 0 {
				return fmt.Errorf("sockets for each gateway: %v", left)
			}
			return nil
		})
		gateway := slices.Index(with, socketsInSession)
		if gateway < 0 {
			t.Errorf("sockets of a session at each gateway: %v, want all %d at one", with, socketsInSession)
		}
		used[gateway] = true
	}
	if len(used) == 1 {
		t.Errorf("%d sessions are all at the same gateway", hashedSessions)
	}
}
