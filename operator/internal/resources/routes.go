package resources

import (
	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// routes are the HTTPRoutes of both hosts; the socket of many rooms has one of
// its own on the gateway's host, because a policy is for a route and hashing is
// not for that socket.
func routes(in Inputs) ([]*unstructured.Unstructured, error) {
	e := in.Cluster.Spec.Exposure.GatewayAPI
	if e == nil || !in.Capabilities.HTTPRoute {
		return nil, nil
	}
	stream := socketRule(in, streamPath)
	var all []*unstructured.Unstructured
	for _, r := range []struct {
		name  string
		part  Part
		host  string
		rules []any
	}{
		{string(PartAPI), PartAPI, e.APIHost, []any{stream, routeRule(in, "/", PartAPI, PortAPI)}},
		{string(PartGateway), PartGateway, e.GatewayHost, []any{socketRule(in, "/")}},
		{serviceStream, PartGateway, e.GatewayHost, []any{stream}},
	} {
		u, err := foreign(in, httpRouteKind, in.Cluster.Name+"-"+r.name, r.part, map[string]any{
			"parentRefs": []any{parentRef(e)},
			"hostnames":  []any{r.host},
			"rules":      r.rules,
		})
		if err != nil {
			return nil, err
		}
		all = append(all, u)
	}
	if e.Hashing == hashingEnvoyGateway && in.Capabilities.BackendTrafficPolicy {
		policy, err := hashPolicy(in)
		if err != nil {
			return nil, err
		}
		all = append(all, policy)
	}
	return all, nil
}

func parentRef(e *v1alpha1.GatewayAPIExposure) map[string]any {
	ref := map[string]any{"group": httpRouteKind.Group, "kind": "Gateway", "name": e.GatewayName}
	if e.GatewayNamespace != "" {
		ref["namespace"] = e.GatewayNamespace
	}
	if e.SectionName != "" {
		ref["sectionName"] = e.SectionName
	}
	return ref
}

func routeRule(in Inputs, prefix string, part Part, port int32) map[string]any {
	return map[string]any{
		"matches":     []any{map[string]any{"path": map[string]any{"type": "PathPrefix", "value": prefix}}},
		"backendRefs": []any{map[string]any{"name": Name(in.Cluster.Name, part), "port": port}},
	}
}

// socketRule leads to the gateways, with no end set to a request: a socket is a
// request that lasts for days.
func socketRule(in Inputs, prefix string) map[string]any {
	rule := routeRule(in, prefix, PartGateway, PortGateway)
	rule["timeouts"] = map[string]any{"request": "0s", "backendRequest": "0s"}
	return rule
}
