package resources_test

import (
	"slices"
	"testing"

	"github.com/chatcluster/chatcluster/operator/internal/resources"
)

// The socket of many rooms has one path for everyone: hashing by the path would
// send them all to one gateway.
func TestOnlySessionsAreHashed(t *testing.T) {
	const (
		nginxHash, nginxTimeout     = "nginx.ingress.kubernetes.io/upstream-hash-by", "nginx.ingress.kubernetes.io/proxy-send-timeout"
		haproxyHash, haproxyTimeout = "haproxy-ingress.github.io/balance-algorithm", "haproxy-ingress.github.io/timeout-tunnel"
	)
	for _, tt := range []struct{ hashing, hash, timeout string }{
		{"Nginx", nginxHash, nginxTimeout},
		{"HAProxy", haproxyHash, haproxyTimeout},
		{"None", "", ""},
	} {
		t.Run(tt.hashing, func(t *testing.T) {
			in := full()
			in.Cluster.Spec.Exposure.Ingress.Hashing = tt.hashing
			in.Cluster.Spec.Exposure.Ingress.Annotations = nil
			for _, u := range all(t, in) {
				if u.GetKind() != "Ingress" {
					continue
				}
				var hashed, patient []string
				for key := range u.GetAnnotations() {
					if key == nginxHash || key == haproxyHash {
						hashed = append(hashed, key)
					}
					if key == nginxTimeout || key == haproxyTimeout {
						patient = append(patient, key)
					}
				}
				var wantHashed, wantPatient []string
				if tt.timeout != "" {
					wantPatient = []string{tt.timeout}
				}
				if u.GetName() == "talk-gateway" && tt.hash != "" {
					wantHashed = []string{tt.hash}
				}
				if !slices.Equal(hashed, wantHashed) {
					t.Errorf("%s: hashed by %v, want %v", u.GetName(), hashed, wantHashed)
				}
				if !slices.Equal(patient, wantPatient) {
					t.Errorf("%s: time-outs of %v, want %v", u.GetName(), patient, wantPatient)
				}
			}
		})
	}
}

func TestUsersAnnotationsWin(t *testing.T) {
	const key = "nginx.ingress.kubernetes.io/upstream-hash-by"
	in := full()
	in.Cluster.Spec.Exposure.Ingress.Annotations = map[string]string{key: "$arg_room"}
	for _, u := range all(t, in) {
		if u.GetKind() == "Ingress" && u.GetAnnotations()[key] != "$arg_room" {
			t.Errorf("%s: got %q, want the user's", u.GetName(), u.GetAnnotations()[key])
		}
	}
}

func TestRoutesNeedTheirKinds(t *testing.T) {
	for _, tt := range []struct {
		name                 string
		known                resources.Capabilities
		hashing              string
		wantRoutes, wantHash int
	}{
		{"all known", resources.Capabilities{HTTPRoute: true, BackendTrafficPolicy: true}, "EnvoyGateway", 3, 1},
		{"another gateway", resources.Capabilities{HTTPRoute: true}, "EnvoyGateway", 3, 0},
		{"no hashing", resources.Capabilities{HTTPRoute: true, BackendTrafficPolicy: true}, "None", 3, 0},
		{"nothing known", resources.Capabilities{}, "EnvoyGateway", 0, 0},
	} {
		in := gatewayAPI()
		in.Capabilities = tt.known
		in.Cluster.Spec.Exposure.GatewayAPI.Hashing = tt.hashing
		got := map[string]int{}
		for _, u := range all(t, in) {
			got[u.GetKind()]++
		}
		if got["HTTPRoute"] != tt.wantRoutes || got["BackendTrafficPolicy"] != tt.wantHash {
			t.Errorf("%s: got %d routes and %d policies, want %d and %d", tt.name, got["HTTPRoute"], got["BackendTrafficPolicy"], tt.wantRoutes, tt.wantHash)
		}
	}
}
