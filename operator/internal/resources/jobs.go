package resources

import (
	"fmt"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	kbatch "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	batchv1 "k8s.io/client-go/applyconfigurations/batch/v1"
)

const (
	// migrateDeadline is how long a migration may take with all its tries.
	migrateDeadline = 600
	// migrateKept is how long a finished migration can be looked at.
	migrateKept = 24 * 60 * 60
	// cleanerLate is how long after its time a run may still begin, as when the
	// control plane was down.
	cleanerLate = 60 * 60
)

// MigrationJobName is the name of MigrationJob.
func MigrationJobName(in Inputs) string {
	return Name(in.Cluster.Name, PartMigrate) + "-" + MigrationRevision(in)[:10]
}

// MigrationJob makes the topics and the schema, or brings them up to date. A Job
// cannot be changed: it is made for a revision, and made again by deleting it.
func MigrationJob(in Inputs) (*unstructured.Unstructured, error) {
	template, err := podTemplate(in, PartMigrate)
	if err != nil {
		return nil, fmt.Errorf("migration job: %w", err)
	}
	u, err := object(batchv1.Job(MigrationJobName(in), in.Cluster.Namespace).
		WithLabels(labels(in.Cluster.Name, PartMigrate)).WithOwnerReferences(owner(in)).
		WithSpec(batchv1.JobSpec().
			WithBackoffLimit(3).
			WithActiveDeadlineSeconds(migrateDeadline).
			WithTTLSecondsAfterFinished(migrateKept).
			WithTemplate(template)))
	if err != nil {
		return nil, err
	}
	return u, revise(u)
}

// CronJob deletes old messages on a schedule; nil if the user wants none.
func CronJob(in Inputs) (*unstructured.Unstructured, error) {
	cleaner := in.Cluster.Spec.Retention.Cleaner
	if cleaner.Mode == "Disabled" {
		return nil, nil
	}
	template, err := podTemplate(in, PartCleaner)
	if err != nil {
		return nil, fmt.Errorf("cleaner: %w", err)
	}
	partLabels := labels(in.Cluster.Name, PartCleaner)
	spec := batchv1.CronJobSpec().
		WithSchedule(cleaner.Schedule).
		WithSuspend(cleaner.Mode == "Suspended" || in.Cluster.Spec.State == v1alpha1.StateHibernated).
		WithConcurrencyPolicy(kbatch.ForbidConcurrent).
		WithStartingDeadlineSeconds(cleanerLate).
		WithSuccessfulJobsHistoryLimit(3).
		WithFailedJobsHistoryLimit(1).
		WithJobTemplate(batchv1.JobTemplateSpec().WithLabels(partLabels).WithSpec(batchv1.JobSpec().
			// A run that failed goes on where it was; what is left waits for the next one.
			WithBackoffLimit(2).
			WithActiveDeadlineSeconds(cleaner.DeadlineSeconds).
			WithTemplate(template)))
	if cleaner.TimeZone != "" {
		spec.WithTimeZone(cleaner.TimeZone)
	}
	return object(batchv1.CronJob(Name(in.Cluster.Name, PartCleaner), in.Cluster.Namespace).
		WithLabels(partLabels).WithOwnerReferences(owner(in)).WithSpec(spec))
}
