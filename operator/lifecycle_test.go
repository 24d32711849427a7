package operator_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestApplyGivesACluster(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.create(w.cluster())
	w.ready()

	for _, part := range []string{"api", "gateway", "archiver"} {
		d := w.deployment(part)
		if got := ptr.Deref(d.Spec.Replicas, 0); got != 2 {
			t.Errorf("%s has %d replicas, want 2", part, got)
		}
		if owner := metav1.GetControllerOf(d); owner == nil || owner.Name != "demo" {
			t.Errorf("%s is controlled by %v, want demo", part, owner)
		}
	}
	c := w.get()
	if len(c.Finalizers) > 0 {
		t.Errorf("finalizers %v, want none", c.Finalizers)
	}
	if c.Status.MigratedRevision == "" || c.Status.Replicas != 2 || c.Status.Selector == "" {
		t.Errorf("status %+v, want a migrated revision, 2 replicas and a selector", c.Status)
	}
	var cron batchv1.CronJob
	w.read("demo-cleaner", &cron)
	if cron.Spec.ConcurrencyPolicy != batchv1.ForbidConcurrent {
		t.Errorf("concurrencyPolicy %s, want Forbid", cron.Spec.ConcurrencyPolicy)
	}
}

// The operator owns the status and nothing of the user's: a full update would
// make the next helm upgrade fail.
func TestOnlyTheStatusIsWritten(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.create(w.cluster())
	w.ready()
	for _, entry := range w.get().ManagedFields {
		if entry.Manager != "user" && entry.Subresource != "status" {
			t.Errorf("manager %s wrote fields outside the status: %s", entry.Manager, entry.FieldsV1)
		}
	}
}

func TestSteadyStateWritesNothing(t *testing.T) {
	w := newWorld(t)
	stop := w.operate()
	w.create(w.cluster())
	w.ready()
	before := w.versions()

	// A pass for each change of an annotation; and operators that remember nothing.
	for i := range 20 {
		w.update(func(c *v1alpha1.ChatCluster) { metav1.SetMetaDataAnnotation(&c.ObjectMeta, "touched", fmt.Sprint(i)) })
	}
	own := w.get().ResourceVersion
	for range 2 {
		stop()
		stop = w.operate()
		// A change that the operator answers shows that it has had a pass.
		w.unsettleAndSettle()
	}
	for name, version := range w.versions() {
		if version != before[name] {
			t.Errorf("%s was written: resourceVersion %s, then %s", name, before[name], version)
		}
	}
	if got := w.get(); got.ResourceVersion != own {
		t.Errorf("the ChatCluster was written in steady state: %s, then %s", own, got.ResourceVersion)
	}
}

// unsettleAndSettle deletes a child and waits until it is back.
func (w *world) unsettleAndSettle() {
	w.t.Helper()
	account := &corev1.ServiceAccount{}
	w.read("demo", account)
	uid := account.UID
	if err := w.client.Delete(w.t.Context(), account); err != nil {
		w.t.Fatal(err)
	}
	w.eventually(func() string {
		err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "demo"}, account)
		if err != nil || account.UID == uid {
			return fmt.Sprintf("the ServiceAccount is not back: %v", err)
		}
		return ""
	})
}

// versions are those of all children but the ServiceAccount.
func (w *world) versions() map[string]string {
	w.t.Helper()
	versions := map[string]string{}
	for _, list := range []client.ObjectList{
		&appsv1.DeploymentList{}, &batchv1.JobList{}, &batchv1.CronJobList{}, &corev1.ConfigMapList{}, &corev1.ServiceList{}, &policyv1.PodDisruptionBudgetList{},
	} {
		w.each(list, func(o client.Object) {
			versions[fmt.Sprintf("%T/%s", o, o.GetName())] = o.GetResourceVersion()
		})
	}
	return versions
}

func TestRestartAndForeignFieldsSurvive(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.create(w.cluster())
	w.ready()
	d := w.deployment("gateway")
	before := d.DeepCopy()
	d.Spec.Template.Annotations = map[string]string{"kubectl.kubernetes.io/restartedAt": "2026-01-02T03:04:05Z"}
	for k, v := range before.Spec.Template.Annotations {
		d.Spec.Template.Annotations[k] = v
	}
	d.Spec.Paused = true
	d.Spec.Template.Spec.Containers[0].Image = "somebody/else:1"
	if err := w.client.Patch(t.Context(), d, client.MergeFrom(before), client.FieldOwner("kubectl")); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() string {
		d = w.deployment("gateway")
		if d.Spec.Template.Spec.Containers[0].Image != "chatcluster/chatd:1" {
			return "the image that somebody changed is not back"
		}
		return ""
	})
	if d.Spec.Template.Annotations["kubectl.kubernetes.io/restartedAt"] == "" || !d.Spec.Paused {
		t.Errorf("fields that the operator does not set are gone: annotations %v, paused %v", d.Spec.Template.Annotations, d.Spec.Paused)
	}
}

// kstatus and helm --wait look once: a pass that has just changed a template must
// not say that all is as it was.
func TestReadyDoesNotFlap(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.create(w.cluster())
	w.ready()
	w.tell(func(w *world) { w.rolloutsWait = true })
	watched := w.watchReady()
	w.update(func(c *v1alpha1.ChatCluster) { c.Spec.Image = "chatcluster/chatd:2" })
	w.reaches(v1alpha1.ConditionReady, metav1.ConditionFalse, "PartsNotReady")
	if generation := w.get().Generation; watched(generation) {
		t.Errorf("generation %d was said to be ready before its pods were", generation)
	}
	w.tell(func(w *world) { w.rolloutsWait = false })
	w.ready()
}

func TestScaleSubresource(t *testing.T) {
	w := newWorld(t)
	w.operate()
	c := w.cluster()
	w.create(c)
	w.ready()
	scale := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: 5}}
	if err := w.client.SubResource("scale").Update(t.Context(), c, client.WithSubResourceBody(scale)); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() string {
		if got := ptr.Deref(w.deployment("gateway").Spec.Replicas, 0); got != 5 {
			return fmt.Sprintf("gateway has %d replicas, want 5", got)
		}
		return ""
	})
	w.eventually(func() string {
		if got := w.get().Status.Replicas; got != 5 {
			return fmt.Sprintf("status has %d replicas, want 5", got)
		}
		return ""
	})
}

func TestOneReplicaHasNoDisruptionBudget(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.create(w.cluster())
	w.ready()
	budget := &policyv1.PodDisruptionBudget{}
	w.read("demo-gateway", budget)
	w.update(func(c *v1alpha1.ChatCluster) { c.Spec.Gateway.Replicas = ptr.To[int32](1) })
	w.eventually(func() string {
		err := w.client.Get(t.Context(), client.ObjectKeyFromObject(budget), budget)
		if !apierrors.IsNotFound(err) {
			return fmt.Sprintf("the budget is still there: %v", err)
		}
		return ""
	})
}

func TestAFailedMigrationStopsTheRollout(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.create(w.cluster())
	w.ready()
	w.tell(func(w *world) { w.jobsFail = true })
	w.update(func(c *v1alpha1.ChatCluster) { c.Spec.Image = "chatcluster/chatd:2" })
	failed := w.reaches(v1alpha1.ConditionReady, metav1.ConditionFalse, "MigrationFailed")
	if !strings.Contains(failed.Message, "demo-migrate-") {
		t.Errorf("message %q does not name the job", failed.Message)
	}
	if got := w.deployment("gateway").Spec.Template.Spec.Containers[0].Image; got != "chatcluster/chatd:1" {
		t.Errorf("pods roll to %s although the migration failed", got)
	}
	// Scaling goes on with the old pods.
	w.update(func(c *v1alpha1.ChatCluster) { c.Spec.Gateway.Replicas = ptr.To[int32](3) })
	w.eventually(func() string {
		d := w.deployment("gateway")
		if n, image := ptr.Deref(d.Spec.Replicas, 0), d.Spec.Template.Spec.Containers[0].Image; n != 3 || image != "chatcluster/chatd:1" {
			return fmt.Sprintf("gateway has %d replicas of %s, want 3 of chatcluster/chatd:1", n, image)
		}
		return ""
	})
	// The user deletes the job to try again.
	w.tell(func(w *world) { w.jobsFail = false })
	w.each(&batchv1.JobList{}, func(o client.Object) {
		if err := w.client.Delete(t.Context(), o, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
			t.Fatal(err)
		}
	})
	w.ready()
	if got := w.deployment("gateway").Spec.Template.Spec.Containers[0].Image; got != "chatcluster/chatd:2" {
		t.Errorf("pods have image %s after the migration, want chatcluster/chatd:2", got)
	}
}

func TestBackendsMayComeLate(t *testing.T) {
	w := newWorld(t)
	w.tell(func(w *world) { w.unreachable["cassandra:9042"] = true })
	w.operate()
	w.create(w.cluster())
	away := w.reaches(v1alpha1.ConditionDependenciesReady, metav1.ConditionFalse, "Unreachable")
	if !strings.Contains(away.Message, "Cassandra") {
		t.Errorf("message %q does not say what is away", away.Message)
	}
	w.each(&batchv1.JobList{}, func(o client.Object) { t.Errorf("job %s was made although Cassandra is away", o.GetName()) })
	w.each(&appsv1.DeploymentList{}, func(o client.Object) { t.Errorf("deployment %s was made before the migration", o.GetName()) })
	w.tell(func(w *world) { w.unreachable["cassandra:9042"] = false })
	w.ready()
}

func TestSecretRotationRollsPods(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.create(w.cluster(func(c *v1alpha1.ChatCluster) {
		c.Spec.Cassandra.Credentials = &v1alpha1.Credentials{Secret: "cassandra", UsernameKey: "username"}
	}))
	missing := w.reaches(v1alpha1.ConditionDependenciesReady, metav1.ConditionFalse, "SecretMissing")
	if !strings.Contains(missing.Message, "cassandra") {
		t.Errorf("message %q does not name the Secret", missing.Message)
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "cassandra", Namespace: w.namespace},
		StringData: map[string]string{"username": "chat", "password": "old"},
	}
	w.create(secret)
	w.ready()
	before := w.deployment("gateway").Spec.Template
	secret.StringData = map[string]string{"password": "new"}
	if err := w.client.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() string {
		if equalTemplates(before, w.deployment("gateway").Spec.Template) {
			return "the pods' template did not change with the Secret"
		}
		return ""
	})
	w.ready()
}

func TestHibernateAndWake(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.create(w.cluster())
	w.ready()
	template := w.deployment("gateway").Spec.Template
	w.update(func(c *v1alpha1.ChatCluster) { c.Spec.State = v1alpha1.StateHibernated })
	w.reaches(v1alpha1.ConditionReady, metav1.ConditionTrue, "Hibernated")
	for _, part := range []string{"api", "gateway", "archiver"} {
		if got := ptr.Deref(w.deployment(part).Spec.Replicas, -1); got != 0 {
			t.Errorf("%s has %d replicas while hibernated, want 0", part, got)
		}
	}
	var cron batchv1.CronJob
	w.read("demo-cleaner", &cron)
	if !ptr.Deref(cron.Spec.Suspend, false) {
		t.Error("the cleaner runs while hibernated")
	}
	w.update(func(c *v1alpha1.ChatCluster) { c.Spec.State = v1alpha1.StateRunning })
	w.reaches(v1alpha1.ConditionReady, metav1.ConditionTrue, "Ready")
	d := w.deployment("gateway")
	if got := ptr.Deref(d.Spec.Replicas, 0); got != 2 || !equalTemplates(template, d.Spec.Template) {
		t.Errorf("after waking there are %d replicas, want 2 of the same template", got)
	}
}

func TestPauseListsWhatIsPending(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.create(w.cluster())
	w.ready()
	w.update(func(c *v1alpha1.ChatCluster) {
		c.Spec.Reconciliation = v1alpha1.ReconciliationPaused
		c.Spec.Logging.Level = "debug"
	})
	paused := w.reaches(v1alpha1.ConditionPaused, metav1.ConditionTrue, "Paused")
	if !strings.Contains(paused.Message, "Deployment demo-gateway") {
		t.Errorf("message %q does not list the Deployment", paused.Message)
	}
	before := w.versions()
	w.update(func(c *v1alpha1.ChatCluster) { c.Spec.API.Replicas = ptr.To[int32](4) })
	w.reaches(v1alpha1.ConditionPaused, metav1.ConditionTrue, "Paused")
	for name, version := range w.versions() {
		if version != before[name] {
			t.Errorf("%s was written while paused", name)
		}
	}
	w.update(func(c *v1alpha1.ChatCluster) { c.Spec.Reconciliation = v1alpha1.ReconciliationActive })
	w.ready()
	if got := ptr.Deref(w.deployment("api").Spec.Replicas, 0); got != 4 {
		t.Errorf("api has %d replicas after the pause, want 4", got)
	}
}
