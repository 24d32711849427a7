package resources

import (
	"fmt"
	"maps"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	knetworking "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	networkingv1 "k8s.io/client-go/applyconfigurations/networking/v1"
)

// streamPath is the path of the socket of many rooms, on both hosts.
const streamPath = "/chat/stream"

// The values of hashing.
const (
	hashingNginx        = "Nginx"
	hashingHAProxy      = "HAProxy"
	hashingEnvoyGateway = "EnvoyGateway"
)

// path is one of an Ingress, and the Service and port that it leads to.
type path struct {
	prefix, service string
	port            int32
}

// ingresses are one for each host, and one for the socket of many rooms on the
// gateway's, where the rest is hashed by its path. That socket goes to the
// gateways on the API's host too: they are what holds and drains sockets.
func ingresses(in Inputs) ([]*unstructured.Unstructured, error) {
	e := in.Cluster.Spec.Exposure.Ingress
	if e == nil {
		return nil, nil
	}
	stream := path{streamPath, serviceStream, PortGateway}
	return objects(
		ingress(in, e, string(PartAPI), PartAPI, e.APIHost, nil, stream, path{"/", string(PartAPI), PortAPI}),
		ingress(in, e, string(PartGateway), PartGateway, e.GatewayHost, hashAnnotations(e.Hashing), path{"/", string(PartGateway), PortGateway}),
		ingress(in, e, serviceStream, PartGateway, e.GatewayHost, nil, stream),
	)
}

func ingress(in Inputs, e *v1alpha1.IngressExposure, name string, part Part, host string, hashing map[string]string, paths ...path) *networkingv1.IngressApplyConfiguration {
	annotations := socketAnnotations(in, e.Hashing)
	maps.Copy(annotations, hashing)
	maps.Copy(annotations, e.Annotations)

	rule := networkingv1.HTTPIngressRuleValue()
	for _, p := range paths {
		rule.WithPaths(networkingv1.HTTPIngressPath().WithPath(p.prefix).WithPathType(knetworking.PathTypePrefix).
			WithBackend(networkingv1.IngressBackend().WithService(networkingv1.IngressServiceBackend().
				WithName(in.Cluster.Name + "-" + p.service).
				WithPort(networkingv1.ServiceBackendPort().WithNumber(p.port)))))
	}
	spec := networkingv1.IngressSpec().WithRules(networkingv1.IngressRule().WithHost(host).WithHTTP(rule))
	if e.ClassName != "" {
		spec.WithIngressClassName(e.ClassName)
	}
	if e.TLSSecret != "" {
		spec.WithTLS(networkingv1.IngressTLS().WithHosts(host).WithSecretName(e.TLSSecret))
	}
	return networkingv1.Ingress(in.Cluster.Name+"-"+name, in.Cluster.Namespace).
		WithLabels(labels(in.Cluster.Name, part)).WithOwnerReferences(owner(in)).
		WithAnnotations(annotations).WithSpec(spec)
}

const (
	nginx   = "nginx.ingress.kubernetes.io/"
	haproxy = "haproxy-ingress.github.io/"
)

// hashAnnotations send the sockets of a session to one gateway. The hash is of
// the path alone: the query of a socket that resumes differs each time.
func hashAnnotations(hashing string) map[string]string {
	switch hashing {
	case hashingNginx:
		return map[string]string{nginx + "upstream-hash-by": "$uri"}
	case hashingHAProxy:
		return map[string]string{
			// HAProxy's uri is what stands before the question mark.
			haproxy + "balance-algorithm": "uri",
			// By default a new gateway would move nearly every session.
			haproxy + "config-backend": "hash-type consistent",
		}
	default:
		return nil
	}
}

// nginxBodyBytes is the largest request that ingress-nginx lets through if it is
// told nothing.
const nginxBodyBytes = 1 << 20

// socketAnnotations keep a socket open for an hour without a word, although chatd
// pings far more often: a proxy must not be the one who gives up first.
func socketAnnotations(in Inputs, hashing string) map[string]string {
	annotations := map[string]string{}
	switch hashing {
	case hashingNginx:
		annotations[nginx+"proxy-read-timeout"] = "3600"
		annotations[nginx+"proxy-send-timeout"] = "3600"
		if body := settings(in).MaxBodyBytes; body > nginxBodyBytes {
			annotations[nginx+"proxy-body-size"] = fmt.Sprint(body)
		}
	case hashingHAProxy:
		annotations[haproxy+"timeout-tunnel"] = "1h"
	}
	return annotations
}
