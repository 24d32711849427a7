package resources

import (
	"fmt"

	kapps "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsv1 "k8s.io/client-go/applyconfigurations/apps/v1"
	metav1 "k8s.io/client-go/applyconfigurations/meta/v1"
)

// Deployment is that of one of Deployments. It has as many replicas as the Inputs
// say, always: a number that is no longer applied would fall back to one.
func Deployment(in Inputs, part Part) (*unstructured.Unstructured, error) {
	template, err := podTemplate(in, part)
	if err != nil {
		return nil, fmt.Errorf("deployment of %s: %w", part, err)
	}
	inputs, err := hash(podInputsOf(in, part))
	if err != nil {
		return nil, fmt.Errorf("deployment of %s: %w", part, err)
	}
	u, err := object(appsv1.Deployment(Name(in.Cluster.Name, part), in.Cluster.Namespace).
		WithLabels(labels(in.Cluster.Name, part)).WithOwnerReferences(owner(in)).
		WithAnnotations(map[string]string{AnnotationInputs: inputs}).
		WithSpec(appsv1.DeploymentSpec().
			WithReplicas(in.Replicas[part]).
			WithSelector(metav1.LabelSelector().WithMatchLabels(Selector(in.Cluster.Name, part))).
			// A new pod must be of use before an old one goes. The surge is rounded up, so it
			// is one pod for up to four.
			WithStrategy(appsv1.DeploymentStrategy().WithType(kapps.RollingUpdateDeploymentStrategyType).
				WithRollingUpdate(appsv1.RollingUpdateDeployment().
					WithMaxUnavailable(intstr.FromInt32(0)).WithMaxSurge(intstr.FromString("25%")))).
			WithMinReadySeconds(10).
			WithRevisionHistoryLimit(3).
			WithTemplate(template)))
	if err != nil {
		return nil, err
	}
	return u, revise(u)
}
