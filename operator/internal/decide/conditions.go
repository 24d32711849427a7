package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The reasons of the conditions.
const (
	ReasonAsExpected        = "AsExpected"
	ReasonReady             = "Ready"
	ReasonHibernated        = "Hibernated"
	ReasonHibernating       = "Hibernating"
	ReasonPaused            = "Paused"
	ReasonInvalid           = "InvalidSpec"
	ReasonSecretMissing     = "SecretMissing"
	ReasonUnreachable       = "Unreachable"
	ReasonReachable         = "Reachable"
	ReasonMigrating         = "Migrating"
	ReasonMigrationFailed   = "MigrationFailed"
	ReasonRollingOut        = "RollingOut"
	ReasonScaling           = "Scaling"
	ReasonNotReady          = "PartsNotReady"
	ReasonPodsFailing       = "PodsFailing"
	ReasonRolloutStuck      = "RolloutStuck"
	ReasonKindMissing       = "KindMissing"
	ReasonOperatorChanged   = "OperatorChanged"
	ReasonCleanerSucceeded  = "Succeeded"
	ReasonCleanerFailed     = "Failed"
	ReasonCleanerStale      = "Stale"
	ReasonCleanerNeverRun   = "NeverRun"
	ReasonCleanerOff        = "Off"
	ReasonReconcileError    = "ReconcileError"
	ReasonReconcileStarting = "Reconciling"
)

// Part is what was observed of a Deployment.
type Part struct {
	Name string
	// Desired is how many pods it shall have; Exists whether it is there.
	Desired int32
	Exists  bool
	// Pods, Updated and Available are how many it has, of its newest template,
	// and ready for long enough.
	Pods, Updated, Available int32
	// RolledOut is whether the newest template has been available in all pods;
	// Stuck whether it took longer than the Deployment's deadline.
	RolledOut, Stuck bool
	// Trouble says why a pod does not start, if one does not; Unready why one
	// that runs is not ready, as far as it tells.
	Trouble, Unready string
}

// Complete reports whether the part is as it should be.
func (p Part) Complete() bool {
	return p.Exists && p.RolledOut && p.Pods == p.Desired && p.Updated == p.Desired && p.Available == p.Desired
}

// Observation is all that the conditions are made of.
type Observation struct {
	Generation int64
	Now        time.Time
	Created    time.Time

	// Invalid says what is wrong with the spec, if anything.
	Invalid string
	// Error is why the pass could not be completed, if it could not.
	Error string
	// MissingSecret names what a Secret lacks, Unreachable the backend that
	// nothing answers for.
	MissingSecret, Unreachable string

	Hibernated bool
	Paused     bool
	// Pending lists what would be changed were it not paused.
	Pending []string
	// Withheld lists what the operator would change in the pods; UpdateTo is
	// the word by which the user has it done.
	Withheld []string
	UpdateTo string

	// MissingKind says what the spec asks for and the API server does not know.
	MissingKind string

	Migration        MigrationAction
	MigrationMessage string
	Parts            []Part

	CleanerMode string
	StaleAfter  time.Duration
	Cleaner     *v1alpha1.CleanerStatus
}

// Conditions gives the conditions, but for their transition times.
func (o Observation) Conditions() []metav1.Condition {
	conditions := []metav1.Condition{
		o.ready(), o.progressing(), o.degraded(), o.dependencies(), o.cleanerHealthy(), o.requiresUpdate(), o.paused(),
	}
	for i := range conditions {
		conditions[i].ObservedGeneration = o.Generation
	}
	return conditions
}

func condition(kind string, status metav1.ConditionStatus, reason, format string, args ...any) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// ready is False while anything that the user asked for is not so; kstatus
// and helm --wait look at it.
func (o Observation) ready() metav1.Condition {
	no := func(reason, format string, args ...any) metav1.Condition {
		return condition(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, format, args...)
	}
	yes := func(reason, message string) metav1.Condition {
		return condition(v1alpha1.ConditionReady, metav1.ConditionTrue, reason, "%s", message)
	}
	switch {
	case o.Invalid != "":
		return no(ReasonInvalid, "%s", o.Invalid)
	case o.Error != "":
		return no(ReasonReconcileError, "%s", o.Error)
	case o.Paused && len(o.Pending) > 0:
		return no(ReasonPaused, "changes are pending: see the condition Paused")
	case o.Hibernated && o.stopped():
		return yes(ReasonHibernated, "no part runs; all data is kept")
	case o.Hibernated:
		return no(ReasonHibernating, "pods are ending")
	case o.MissingSecret != "":
		return no(ReasonSecretMissing, "%s", o.MissingSecret)
	case o.Unreachable != "":
		return no(ReasonUnreachable, "%s", o.Unreachable)
	case o.Migration == MigrationFailed:
		return no(ReasonMigrationFailed, "%s", o.MigrationMessage)
	case o.Migration != MigrationNone:
		return no(ReasonMigrating, "the schema and the topics are being brought up to date")
	}
	if waiting := o.unready(); len(waiting) > 0 {
		return no(ReasonNotReady, "waiting for %s", strings.Join(waiting, ", "))
	}
	return yes(ReasonReady, "all parts run")
}

// unready lists the parts that do not serve, or whose rollout is not complete.
// A pod less of a part that was complete degrades it, and no more.
func (o Observation) unready() []string {
	var names []string
	for _, p := range o.Parts {
		if !p.Exists || !p.RolledOut || p.Updated != p.Desired || (p.Desired > 0 && p.Available == 0) {
			names = append(names, p.Name+p.because())
		}
	}
	return names
}

// because is why a pod of the part is not ready, for the end of a message.
func (p Part) because() string {
	if p.Unready == "" {
		return ""
	}
	return fmt.Sprintf(" (a pod is not ready: %s)", p.Unready)
}

func (o Observation) stopped() bool {
	return !slices.ContainsFunc(o.Parts, func(p Part) bool { return p.Pods > 0 })
}

func (o Observation) progressing() metav1.Condition {
	yes := func(reason, format string, args ...any) metav1.Condition {
		return condition(v1alpha1.ConditionProgressing, metav1.ConditionTrue, reason, format, args...)
	}
	no := condition(v1alpha1.ConditionProgressing, metav1.ConditionFalse, ReasonAsExpected, "nothing is being changed")
	switch {
	case o.Invalid != "" || o.Paused || o.Migration == MigrationFailed:
		return no
	case o.Hibernated && !o.stopped():
		return yes(ReasonHibernating, "pods are ending")
	case o.Hibernated:
		return no
	case o.Migration == MigrationStart || o.Migration == MigrationFinish || o.Migration == MigrationWait:
		return yes(ReasonMigrating, "the schema and the topics are being brought up to date")
	}
	var rolling, scaling []string
	for _, p := range o.Parts {
		switch {
		case p.Stuck || p.Complete():
		case !p.RolledOut || p.Updated != p.Desired:
			rolling = append(rolling, p.Name)
		default:
			scaling = append(scaling, p.Name)
		}
	}
	switch {
	case len(rolling) > 0:
		return yes(ReasonRollingOut, "rolling out: %s", strings.Join(rolling, ", "))
	case len(scaling) > 0:
		return yes(ReasonScaling, "pods start or end: %s", strings.Join(scaling, ", "))
	default:
		return no
	}
}

func (o Observation) degraded() metav1.Condition {
	yes := func(reason, format string, args ...any) metav1.Condition {
		return condition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, reason, format, args...)
	}
	if o.Migration == MigrationFailed {
		return yes(ReasonMigrationFailed, "%s", o.MigrationMessage)
	}
	for _, p := range o.Parts {
		switch {
		case p.Trouble != "":
			return yes(ReasonPodsFailing, "%s: %s", p.Name, p.Trouble)
		case p.Stuck:
			return yes(ReasonRolloutStuck, "%s: new pods did not become ready in time%s", p.Name, p.because())
		case p.RolledOut && p.Desired > 0 && p.Available == 0:
			return yes(ReasonNotReady, "%s: no pod is ready%s", p.Name, p.because())
		}
	}
	if o.MissingKind != "" {
		return yes(ReasonKindMissing, "%s", o.MissingKind)
	}
	return condition(v1alpha1.ConditionDegraded, metav1.ConditionFalse, ReasonAsExpected, "no part is in trouble")
}

func (o Observation) dependencies() metav1.Condition {
	switch {
	case o.MissingSecret != "":
		return condition(v1alpha1.ConditionDependenciesReady, metav1.ConditionFalse, ReasonSecretMissing, "%s", o.MissingSecret)
	case o.Unreachable != "":
		return condition(v1alpha1.ConditionDependenciesReady, metav1.ConditionFalse, ReasonUnreachable, "%s", o.Unreachable)
	default:
		return condition(v1alpha1.ConditionDependenciesReady, metav1.ConditionTrue, ReasonReachable, "Kafka and Cassandra answer")
	}
}

func (o Observation) cleanerHealthy() metav1.Condition {
	is := func(status metav1.ConditionStatus, reason, format string, args ...any) metav1.Condition {
		return condition(v1alpha1.ConditionCleanerHealthy, status, reason, format, args...)
	}
	since := o.Created
	if o.Cleaner != nil && o.Cleaner.LastSuccessAt != nil {
		since = o.Cleaner.LastSuccessAt.Time
	}
	stale := o.Now.Sub(since) > o.StaleAfter
	switch {
	case o.CleanerMode != "Enabled" || o.Hibernated:
		return is(metav1.ConditionUnknown, ReasonCleanerOff, "the cleaner is off")
	case o.Cleaner != nil && o.Cleaner.Result == "Failed":
		return is(metav1.ConditionFalse, ReasonCleanerFailed, "job %s failed: %s", o.Cleaner.Job, o.Cleaner.Message)
	case stale:
		return is(metav1.ConditionFalse, ReasonCleanerStale, "it has not succeeded for %s", o.StaleAfter)
	case o.Cleaner == nil || o.Cleaner.LastSuccessAt == nil:
		return is(metav1.ConditionUnknown, ReasonCleanerNeverRun, "it has not run yet")
	default:
		return is(metav1.ConditionTrue, ReasonCleanerSucceeded, "its last run succeeded")
	}
}

func (o Observation) requiresUpdate() metav1.Condition {
	if len(o.Withheld) == 0 {
		return condition(v1alpha1.ConditionRequiresUpdate, metav1.ConditionFalse, ReasonAsExpected, "the pods are as this operator writes them")
	}
	return condition(v1alpha1.ConditionRequiresUpdate, metav1.ConditionTrue, ReasonOperatorChanged,
		"this operator would change %s; set the annotation %s to %s to have it done",
		strings.Join(o.Withheld, "; "), v1alpha1.UpdateAnnotation, o.UpdateTo)
}

func (o Observation) paused() metav1.Condition {
	switch {
	case !o.Paused:
		return condition(v1alpha1.ConditionPaused, metav1.ConditionFalse, ReasonAsExpected, "the operator acts")
	case len(o.Pending) == 0:
		return condition(v1alpha1.ConditionPaused, metav1.ConditionTrue, ReasonPaused, "nothing is pending")
	default:
		return condition(v1alpha1.ConditionPaused, metav1.ConditionTrue, ReasonPaused, "pending: %s", strings.Join(o.Pending, ", "))
	}
}
