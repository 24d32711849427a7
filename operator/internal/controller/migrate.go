package controller

import (
	"context"
	"fmt"
	"strings"

	"github.com/chatcluster/chatcluster/operator/internal/decide"
	"github.com/chatcluster/chatcluster/operator/internal/resources"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// migrate runs the migration that the new pods need, once, before they roll.
func (p *pass) migrate(ctx context.Context) error {
	job := p.children.job(resources.MigrationJobName(p.inputs))
	m := decide.Migration{
		Revision: resources.MigrationRevision(p.inputs), Done: p.cluster.Status.MigratedRevision,
		Hibernated: p.observed.Hibernated, DependenciesReady: p.observed.Unreachable == "", Job: jobState(job),
	}
	p.observed.Migration = m.Decide()
	switch p.observed.Migration {
	case decide.MigrationStart:
		u, err := resources.MigrationJob(p.inputs)
		if err != nil {
			return fmt.Errorf("render migration: %w", err)
		}
		return p.apply(ctx, u)
	case decide.MigrationFinish:
		p.cluster.Status.MigratedRevision = m.Revision
		p.event(corev1.EventTypeNormal, "Migrated", "Migrate", "job %s brought the schema and the topics up to date", job.Name)
		p.observed.Migration = decide.MigrationNone
	case decide.MigrationFailed:
		p.observed.MigrationMessage = fmt.Sprintf("job %s failed: %s; correct its cause in the spec or the Secrets, or delete the job to try again",
			job.Name, p.children.lastWords(job))
	}
	return nil
}

func (c children) job(name string) *batchv1.Job {
	for i := range c.jobs {
		if c.jobs[i].Name == name {
			return &c.jobs[i]
		}
	}
	return nil
}

func jobState(job *batchv1.Job) decide.JobState {
	if job == nil {
		return decide.JobAbsent
	}
	for _, condition := range job.Status.Conditions {
		if condition.Status != corev1.ConditionTrue {
			continue
		}
		switch condition.Type {
		case batchv1.JobComplete:
			return decide.JobSucceeded
		case batchv1.JobFailed:
			return decide.JobFailed
		}
	}
	return decide.JobRunning
}

// lastWords is what the last pod of a Job said at its end, or why the Job
// failed.
func (c children) lastWords(job *batchv1.Job) string {
	var newest *corev1.ContainerStateTerminated
	for _, pod := range c.pods {
		if pod.Labels[batchv1.JobNameLabel] != job.Name {
			continue
		}
		for _, s := range pod.Status.ContainerStatuses {
			end := s.State.Terminated
			if end != nil && end.Message != "" && (newest == nil || newest.FinishedAt.Before(&end.FinishedAt)) {
				newest = end
			}
		}
	}
	if newest != nil {
		return lastLine(newest.Message)
	}
	for _, condition := range job.Status.Conditions {
		if condition.Type == batchv1.JobFailed {
			return condition.Message
		}
	}
	return "it left no word"
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}
