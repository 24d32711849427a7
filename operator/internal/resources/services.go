package resources

import (
	"fmt"
	"maps"

	kcore "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1 "k8s.io/client-go/applyconfigurations/core/v1"
)

// The names of Services besides those of the parts.
const (
	serviceMetrics = "metrics"
	// serviceStream has the gateways' pods again: controllers of Ingresses keep what
	// they hash by with the Service, and the socket of many rooms must not be hashed
	// by its path, which is the same for everyone.
	serviceStream = "stream"
)

// services are the ways to the pods from inside.
func services(in Inputs) ([]*unstructured.Unstructured, error) {
	e := in.Cluster.Spec.Exposure
	all := []any{
		frontService(in, PartAPI, PortAPI, e.APINodePort),
		frontService(in, PartGateway, PortGateway, e.GatewayNodePort),
		metricsService(in),
	}
	if e.Ingress != nil {
		all = append(all, service(in, serviceStream, PartGateway).WithSpec(corev1.ServiceSpec().
			WithType(kcore.ServiceTypeClusterIP).
			WithSelector(Selector(in.Cluster.Name, PartGateway)).
			WithPorts(servicePort("http", PortGateway))))
	}
	return objects(all...)
}

func service(in Inputs, name string, part Part) *corev1.ServiceApplyConfiguration {
	return corev1.Service(in.Cluster.Name+"-"+name, in.Cluster.Namespace).
		WithLabels(labels(in.Cluster.Name, part)).WithOwnerReferences(owner(in))
}

func servicePort(name string, number int32) *corev1.ServicePortApplyConfiguration {
	return corev1.ServicePort().WithName(name).WithPort(number).WithProtocol(kcore.ProtocolTCP).
		WithTargetPort(intstr.FromString(name))
}

func frontService(in Inputs, part Part, number, nodePort int32) *corev1.ServiceApplyConfiguration {
	e := in.Cluster.Spec.Exposure
	port := servicePort("http", number)
	serviceType := kcore.ServiceType(e.ServiceType)
	if nodePort != 0 && serviceType != kcore.ServiceTypeClusterIP {
		port.WithNodePort(nodePort)
	}
	return service(in, string(part), part).WithAnnotations(e.ServiceAnnotations).
		WithSpec(corev1.ServiceSpec().WithType(serviceType).
			WithSelector(Selector(in.Cluster.Name, part)).WithPorts(port))
}

// metricsService names the pods that have metrics, for a Prometheus that knows
// nothing of PodMonitors. Pods that are not ready are asked too: why they are not
// is in the metrics.
func metricsService(in Inputs) *corev1.ServiceApplyConfiguration {
	s := service(in, serviceMetrics, "")
	if in.Cluster.Spec.Monitoring.Mode == modeAuto && !in.Capabilities.PodMonitor {
		s.WithAnnotations(map[string]string{
			"prometheus.io/scrape": "true",
			"prometheus.io/port":   fmt.Sprint(PortMetrics),
			"prometheus.io/path":   "/metrics",
		})
	}
	selector := maps.Clone(clusterSelector(in.Cluster.Name))
	selector[labelMetrics] = "true"
	return s.WithSpec(corev1.ServiceSpec().
		WithType(kcore.ServiceTypeClusterIP).WithClusterIP(kcore.ClusterIPNone).
		WithPublishNotReadyAddresses(true).
		WithSelector(selector).WithPorts(servicePort("metrics", PortMetrics)))
}
