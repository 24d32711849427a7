package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	"github.com/chatcluster/chatcluster/operator/internal/decide"
	"github.com/chatcluster/chatcluster/operator/internal/resources"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// applyCronJob applies the cleaner. A new image waits for the migration as the
// other parts do.
func (p *pass) applyCronJob(ctx context.Context) error {
	u, err := resources.CronJob(p.inputs)
	if err != nil {
		return fmt.Errorf("render cleaner: %w", err)
	}
	if u == nil {
		return nil
	}
	if p.observed.Migration != decide.MigrationNone && !p.observed.Hibernated {
		p.wanted[keyOf(u)] = true
		return nil
	}
	return p.apply(ctx, u)
}

// cleanReport is what `chatd clean` leaves as its pod's termination message.
type cleanReport struct {
	Deleted     int64      `json:"deleted"`
	OldestKept  *time.Time `json:"oldest_kept"`
	TookSeconds float64    `json:"took_seconds"`
}

// readCleaner takes the result of the cleaner's last Job into the status, once.
func (p *pass) readCleaner(context.Context) error {
	job := p.children.lastCleaning()
	status := p.cluster.Status.Cleaner
	if job == nil || (status != nil && status.Job == job.Name) {
		return nil
	}
	next := &v1alpha1.CleanerStatus{}
	if status != nil {
		next = status.DeepCopy()
	}
	finished := finishedAt(job)
	next.Job, next.FinishedAt = job.Name, &finished
	words := p.children.lastWords(job)
	if jobState(job) == decide.JobFailed {
		next.Result, next.Message = "Failed", words
		p.event(corev1.EventTypeWarning, "CleanerFailed", "Clean", "job %s failed: %s", job.Name, words)
	} else {
		var report cleanReport
		next.Result, next.Message, next.LastSuccessAt = "Succeeded", "", &finished
		if err := json.Unmarshal([]byte(words), &report); err != nil {
			next.Message = "its report could not be read: " + err.Error()
		}
		next.DeletedMessages, next.TookMilliseconds = report.Deleted, int64(report.TookSeconds*1000)
		next.OldestKept = nil
		if report.OldestKept != nil {
			next.OldestKept = &metav1.Time{Time: report.OldestKept.Truncate(time.Second)}
		}
		p.event(corev1.EventTypeNormal, "Cleaned", "Clean", "job %s deleted %d messages in %.1f s", job.Name, report.Deleted, report.TookSeconds)
	}
	p.cluster.Status.Cleaner, p.observed.Cleaner = next, next
	return nil
}

// lastCleaning is the cleaner's Job that ended last, if any.
func (c children) lastCleaning() *batchv1.Job {
	var last *batchv1.Job
	for i := range c.jobs {
		job := &c.jobs[i]
		state := jobState(job)
		if job.Labels[resources.LabelComponent] != string(resources.PartCleaner) || (state != decide.JobSucceeded && state != decide.JobFailed) {
			continue
		}
		if last == nil || finishedAt(last).Time.Before(finishedAt(job).Time) {
			last = job
		}
	}
	return last
}

func finishedAt(job *batchv1.Job) metav1.Time {
	if job.Status.CompletionTime != nil {
		return *job.Status.CompletionTime
	}
	for _, condition := range job.Status.Conditions {
		if condition.Type == batchv1.JobFailed {
			return condition.LastTransitionTime
		}
	}
	return job.CreationTimestamp
}
