package resources

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// hashPolicy has Envoy Gateway send sockets of the same URI to one gateway. Its
// API hashes by a header, a cookie, a query parameter or the client's address,
// and by a path only as Envoy's header of that name, which has the query too: a
// socket that resumes may reach another gateway, which costs a little and breaks
// nothing.
func hashPolicy(in Inputs) (*unstructured.Unstructured, error) {
	name := Name(in.Cluster.Name, PartGateway)
	return foreign(in, backendTrafficPolicyKind, name, PartGateway, map[string]any{
		"targetRefs": []any{map[string]any{"group": httpRouteKind.Group, "kind": httpRouteKind.Kind, "name": name}},
		"loadBalancer": map[string]any{
			"type":           "ConsistentHash",
			"consistentHash": map[string]any{"type": "Header", "header": map[string]any{"name": ":path"}},
		},
	})
}
