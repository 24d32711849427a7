package operator_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// writtenByAnOlderOperator makes the gateways' Deployment be one that another
// release of the operator has rendered from the same inputs.
func (w *world) writtenByAnOlderOperator() {
	w.t.Helper()
	d, err := appsv1ac.ExtractDeployment(w.deployment("gateway"), "chat-operator")
	if err != nil {
		w.t.Fatal(err)
	}
	d.Spec.Template.WithAnnotations(map[string]string{"chatcluster.dev/older": "yes"})
	d.WithAnnotations(map[string]string{"chatcluster.dev/revision": "older"})
	if err := w.client.Apply(w.t.Context(), d, client.FieldOwner("chat-operator"), client.ForceOwnership); err != nil {
		w.t.Fatal(err)
	}
}

func TestAnUpgradeOfTheOperatorRollsNoPods(t *testing.T) {
	w := newWorld(t)
	stop := w.operate()
	w.create(w.cluster())
	w.ready()
	stop()
	w.writtenByAnOlderOperator()
	w.operate()

	withheld := w.reaches(v1alpha1.ConditionRequiresUpdate, metav1.ConditionTrue, "")
	if !strings.Contains(withheld.Message, "gateway: metadata.annotations") {
		t.Errorf("message %q does not say what would change", withheld.Message)
	}
	// Scaling, as an autoscaler does it, does not release it.
	w.update(func(c *v1alpha1.ChatCluster) { c.Spec.Gateway.Replicas = ptr.To[int32](4) })
	w.eventually(func() string {
		if got := ptr.Deref(w.deployment("gateway").Spec.Replicas, 0); got != 4 {
			return fmt.Sprintf("gateway has %d replicas, want 4", got)
		}
		return ""
	})
	if w.deployment("gateway").Spec.Template.Annotations["chatcluster.dev/older"] != "yes" {
		t.Fatal("the pods rolled without the user's word")
	}

	// The user's word.
	fields := strings.Fields(withheld.Message)
	revision := ""
	for i, f := range fields {
		if f == "to" && i > 0 && fields[i-1] == v1alpha1.UpdateAnnotation {
			revision = fields[i+1]
		}
	}
	w.update(func(c *v1alpha1.ChatCluster) {
		metav1.SetMetaDataAnnotation(&c.ObjectMeta, v1alpha1.UpdateAnnotation, revision)
	})
	w.reaches(v1alpha1.ConditionRequiresUpdate, metav1.ConditionFalse, "")
	w.eventually(func() string {
		if w.deployment("gateway").Spec.Template.Annotations["chatcluster.dev/older"] != "" {
			return "the pods' template is still the older operator's"
		}
		return ""
	})
}

func TestAutomaticUpdatesAreNotWithheld(t *testing.T) {
	w := newWorld(t)
	stop := w.operate()
	w.create(w.cluster(func(c *v1alpha1.ChatCluster) { c.Spec.UpdatePolicy = v1alpha1.UpdateAutomatic }))
	w.ready()
	stop()
	w.writtenByAnOlderOperator()
	w.operate()
	w.eventually(func() string {
		if w.deployment("gateway").Spec.Template.Annotations["chatcluster.dev/older"] != "" {
			return "the pods' template is still the older operator's"
		}
		return ""
	})
}
