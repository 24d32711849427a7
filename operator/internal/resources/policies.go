package resources

import (
	"net"
	"slices"
	"strconv"

	kcore "k8s.io/api/core/v1"
	knetworking "k8s.io/api/networking/v1"
	kpolicy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
	metav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	networkingv1 "k8s.io/client-go/applyconfigurations/networking/v1"
	policyv1 "k8s.io/client-go/applyconfigurations/policy/v1"
)

// disruptionBudgets let a drain of nodes take one pod of a part at a time. A
// part of one pod has none: the drain would wait forever.
func disruptionBudgets(in Inputs) ([]*unstructured.Unstructured, error) {
	var all []any
	for _, part := range Deployments {
		if in.Replicas[part] < 2 {
			continue
		}
		all = append(all, policyv1.PodDisruptionBudget(Name(in.Cluster.Name, part), in.Cluster.Namespace).
			WithLabels(labels(in.Cluster.Name, part)).WithOwnerReferences(owner(in)).
			WithSpec(policyv1.PodDisruptionBudgetSpec().
				WithMaxUnavailable(intstr.FromInt32(1)).
				// A pod that is broken anyway must not hold up a node.
				WithUnhealthyPodEvictionPolicy(kpolicy.AlwaysAllow).
				WithSelector(metav1.LabelSelector().WithMatchLabels(Selector(in.Cluster.Name, part)))))
	}
	return objects(all...)
}

// networkPolicies close everything but what the pods need. Policies add up: one
// is for all pods, and those with an entrance have one more.
func networkPolicies(in Inputs) ([]*unstructured.Unstructured, error) {
	if in.Cluster.Spec.NetworkPolicy.Mode != "Enabled" {
		return nil, nil
	}
	return objects(
		networkPolicy(in, in.Cluster.Name, "", networkingv1.NetworkPolicySpec().
			WithPodSelector(metav1.LabelSelector().WithMatchLabels(clusterSelector(in.Cluster.Name))).
			WithPolicyTypes(knetworking.PolicyTypeIngress, knetworking.PolicyTypeEgress).
			WithIngress(networkingv1.NetworkPolicyIngressRule().WithPorts(policyPorts(kcore.ProtocolTCP, PortMetrics)...).WithFrom(metricsPeers(in)...)).
			WithEgress(
				networkingv1.NetworkPolicyEgressRule().WithPorts(append(policyPorts(kcore.ProtocolUDP, 53), policyPorts(kcore.ProtocolTCP, 53)...)...),
				networkingv1.NetworkPolicyEgressRule().WithPorts(policyPorts(kcore.ProtocolTCP, backendPorts(in)...)...))),
		entrance(in, PartAPI, PortAPI),
		entrance(in, PartGateway, PortGateway),
	)
}

func networkPolicy(in Inputs, name string, part Part, spec *networkingv1.NetworkPolicySpecApplyConfiguration) *networkingv1.NetworkPolicyApplyConfiguration {
	return networkingv1.NetworkPolicy(name, in.Cluster.Namespace).
		WithLabels(labels(in.Cluster.Name, part)).WithOwnerReferences(owner(in)).WithSpec(spec)
}

// entrance lets everyone in by the part's port.
func entrance(in Inputs, part Part, number int32) *networkingv1.NetworkPolicyApplyConfiguration {
	return networkPolicy(in, Name(in.Cluster.Name, part), part, networkingv1.NetworkPolicySpec().
		WithPodSelector(metav1.LabelSelector().WithMatchLabels(Selector(in.Cluster.Name, part))).
		WithPolicyTypes(knetworking.PolicyTypeIngress).
		WithIngress(networkingv1.NetworkPolicyIngressRule().WithPorts(policyPorts(kcore.ProtocolTCP, number)...)))
}

func policyPorts(protocol kcore.Protocol, numbers ...int32) []*networkingv1.NetworkPolicyPortApplyConfiguration {
	var ports []*networkingv1.NetworkPolicyPortApplyConfiguration
	for _, n := range numbers {
		ports = append(ports, networkingv1.NetworkPolicyPort().WithProtocol(protocol).WithPort(intstr.FromInt32(n)))
	}
	return ports
}

// metricsPeers are who may reach the metrics' address, which can also send
// sockets away: the operator, the ChatCluster's own namespace, and the
// namespaces that the user names.
func metricsPeers(in Inputs) []*networkingv1.NetworkPolicyPeerApplyConfiguration {
	namespaces := func(selector map[string]string) *networkingv1.NetworkPolicyPeerApplyConfiguration {
		return networkingv1.NetworkPolicyPeer().WithNamespaceSelector(metav1.LabelSelector().WithMatchLabels(selector))
	}
	// An empty selector of pods is all pods of the policy's namespace.
	peers := []*networkingv1.NetworkPolicyPeerApplyConfiguration{networkingv1.NetworkPolicyPeer().WithPodSelector(metav1.LabelSelector())}
	if in.OperatorNamespace != "" && in.OperatorNamespace != in.Cluster.Namespace {
		peers = append(peers, namespaces(map[string]string{kcore.LabelMetadataName: in.OperatorNamespace}))
	}
	if selector := in.Cluster.Spec.NetworkPolicy.MetricsNamespaceLabels; len(selector) > 0 {
		peers = append(peers, namespaces(selector))
	}
	return peers
}

// CassandraPort is Cassandra's where a host names none.
const CassandraPort = 9042

// backendPorts are the ports of the spec's brokers and hosts, in order and once
// each. Where they are is not said: brokers tell of others by names of their own.
func backendPorts(in Inputs) []int32 {
	var ports []int32
	for _, address := range slices.Concat(in.Cluster.Spec.Kafka.Brokers, in.Cluster.Spec.Cassandra.Hosts) {
		number := int64(CassandraPort)
		if _, text, err := net.SplitHostPort(address); err == nil {
			// The schema has checked that it is a number; one that is too large is the
			// backend's to refuse.
			number, _ = strconv.ParseInt(text, 10, 32)
		}
		ports = append(ports, int32(number))
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}
