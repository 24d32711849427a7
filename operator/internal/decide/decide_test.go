package decide_test

import (
	"strings"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/operator/api/v1alpha1"
	"github.com/chatcluster/chatcluster/operator/internal/decide"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestRollout(t *testing.T) {
	same := decide.Rollout{Exists: true, LiveInputs: "i", Inputs: "i", LiveRevision: "r", Revision: "r", Migrated: true}
	with := func(change func(*decide.Rollout)) decide.Rollout {
		r := same
		change(&r)
		return r
	}
	tests := []struct {
		name string
		in   decide.Rollout
		want decide.RolloutAction
	}{
		{"nothing changed", same, decide.RolloutApply},
		{"new cluster", decide.Rollout{Inputs: "i", Revision: "r", Migrated: true}, decide.RolloutApply},
		{"new cluster waits for the migration", decide.Rollout{Inputs: "i", Revision: "r"}, decide.RolloutSkip},
		{"new cluster that is hibernated", decide.Rollout{Inputs: "i", Revision: "r", Migrated: true, Hibernated: true}, decide.RolloutSkip},
		{"the user changed something", with(func(r *decide.Rollout) { r.Inputs, r.Revision = "i2", "r2" }), decide.RolloutApply},
		{"that waits for the migration", with(func(r *decide.Rollout) { r.Inputs, r.Revision, r.Migrated = "i2", "r2", false }), decide.RolloutScale},
		{"only the operator changed", with(func(r *decide.Rollout) { r.Revision = "r2" }), decide.RolloutWithhold},
		{"and the user wants it", with(func(r *decide.Rollout) { r.Revision, r.Approved = "r2", true }), decide.RolloutApply},
		{"the user wants it before the migration", with(func(r *decide.Rollout) { r.Revision, r.Approved, r.Migrated = "r2", true, false }), decide.RolloutScale},
		{"hibernated, only replicas", with(func(r *decide.Rollout) { r.Hibernated = true }), decide.RolloutApply},
		{"hibernated, changed", with(func(r *decide.Rollout) { r.Inputs, r.Revision, r.Hibernated = "i2", "r2", true }), decide.RolloutScale},
		{"an unchanged template needs no migration", with(func(r *decide.Rollout) { r.Migrated = false }), decide.RolloutApply},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.in.Decide(); got != test.want {
				t.Errorf("got action %d, want %d", got, test.want)
			}
		})
	}
}

func TestMigration(t *testing.T) {
	tests := []struct {
		name string
		in   decide.Migration
		want decide.MigrationAction
	}{
		{"done", decide.Migration{Revision: "a", Done: "a", Job: decide.JobFailed}, decide.MigrationNone},
		{"needed", decide.Migration{Revision: "b", Done: "a", DependenciesReady: true}, decide.MigrationStart},
		{"backends away", decide.Migration{Revision: "b", Done: "a"}, decide.MigrationWait},
		{"hibernated", decide.Migration{Revision: "b", DependenciesReady: true, Hibernated: true}, decide.MigrationWait},
		{"runs", decide.Migration{Revision: "b", DependenciesReady: true, Job: decide.JobRunning}, decide.MigrationWait},
		{"succeeded", decide.Migration{Revision: "b", Job: decide.JobSucceeded}, decide.MigrationFinish},
		{"failed", decide.Migration{Revision: "b", DependenciesReady: true, Job: decide.JobFailed}, decide.MigrationFailed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.in.Decide(); got != test.want {
				t.Errorf("got action %d, want %d", got, test.want)
			}
		})
	}
}

var created = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// healthy is a cluster of which nothing is to be said.
func healthy() decide.Observation {
	success := metav1.NewTime(created.Add(time.Hour))
	return decide.Observation{
		Generation: 3, Created: created, Now: created.Add(2 * time.Hour), CleanerMode: "Enabled", StaleAfter: 48 * time.Hour,
		Cleaner: &v1alpha1.CleanerStatus{Job: "j", Result: "Succeeded", LastSuccessAt: &success},
		Parts:   []decide.Part{whole("archiver"), whole("api"), whole("gateway")},
	}
}

func whole(name string) decide.Part {
	return decide.Part{Name: name, Desired: 2, Exists: true, Pods: 2, Updated: 2, Available: 2, RolledOut: true}
}

func TestConditions(t *testing.T) {
	tests := []struct {
		name   string
		change func(*decide.Observation)
		// want holds TYPE=STATUS/REASON of those that differ from a healthy cluster's.
		want []string
		// says is a part of some condition's message.
		says string
	}{
		{"healthy", func(*decide.Observation) {}, nil, "all parts run"},
		{"invalid", func(o *decide.Observation) { o.Invalid = "kafka.brokers is empty" },
			[]string{"Ready=False/InvalidSpec"}, "kafka.brokers is empty"},
		{"an error", func(o *decide.Observation) { o.Error = "apply: forbidden" }, []string{"Ready=False/ReconcileError"}, "forbidden"},
		{"Secret missing", func(o *decide.Observation) { o.MissingSecret = "there is no Secret s" },
			[]string{"Ready=False/SecretMissing", "DependenciesReady=False/SecretMissing"}, "no Secret s"},
		{"Kafka away", func(o *decide.Observation) { o.Unreachable = "Kafka does not answer" },
			[]string{"Ready=False/Unreachable", "DependenciesReady=False/Unreachable"}, "Kafka does not answer"},
		{"migrating", func(o *decide.Observation) { o.Migration, o.Parts = decide.MigrationWait, nil },
			[]string{"Ready=False/Migrating", "Progressing=True/Migrating"}, ""},
		{"migration failed", func(o *decide.Observation) {
			o.Migration, o.MigrationMessage = decide.MigrationFailed, "wrong password"
		},
			[]string{"Ready=False/MigrationFailed", "Degraded=True/MigrationFailed"}, "wrong password"},
		{"first rollout", func(o *decide.Observation) { o.Parts[2].RolledOut, o.Parts[2].Available = false, 0 },
			[]string{"Ready=False/PartsNotReady", "Progressing=True/RollingOut"}, "waiting for gateway"},
		{"scaling up", func(o *decide.Observation) { o.Parts[2].Desired, o.Parts[2].Updated, o.Parts[2].Pods = 3, 3, 3 },
			[]string{"Progressing=True/Scaling"}, ""},
		{"a pod fails", func(o *decide.Observation) { o.Parts[1].Available, o.Parts[1].Trouble = 1, "CrashLoopBackOff" },
			[]string{"Progressing=True/Scaling", "Degraded=True/PodsFailing"}, "api: CrashLoopBackOff"},
		{"all pods fail", func(o *decide.Observation) { o.Parts[1].Available = 0 },
			[]string{"Ready=False/PartsNotReady", "Progressing=True/Scaling", "Degraded=True/PartsNotReady"}, "no pod is ready"},
		{"all pods wait", func(o *decide.Observation) { o.Parts[1].Available, o.Parts[1].Unready = 0, "kafka" },
			[]string{"Ready=False/PartsNotReady", "Progressing=True/Scaling", "Degraded=True/PartsNotReady"}, "api (a pod is not ready: kafka)"},
		{"stuck", func(o *decide.Observation) {
			o.Parts[1].RolledOut, o.Parts[1].Stuck, o.Parts[1].Updated = false, true, 1
		},
			[]string{"Ready=False/PartsNotReady", "Degraded=True/RolloutStuck"}, ""},
		{"routes without their kind", func(o *decide.Observation) { o.MissingKind = "gatewayAPI needs HTTPRoute" },
			[]string{"Degraded=True/KindMissing"}, "needs HTTPRoute"},
		{"hibernating", func(o *decide.Observation) { o.Hibernated = true },
			[]string{"Ready=False/Hibernating", "Progressing=True/Hibernating", "CleanerHealthy=Unknown/Off"}, ""},
		{"hibernated", func(o *decide.Observation) { o.Hibernated, o.Parts = true, nil },
			[]string{"Ready=True/Hibernated", "CleanerHealthy=Unknown/Off"}, "data is kept"},
		{"paused", func(o *decide.Observation) { o.Paused = true }, []string{"Paused=True/Paused"}, "nothing is pending"},
		{"paused with changes", func(o *decide.Observation) { o.Paused, o.Pending = true, []string{"Deployment c-gateway"} },
			[]string{"Ready=False/Paused", "Paused=True/Paused"}, "pending: Deployment c-gateway"},
		{"withheld", func(o *decide.Observation) { o.Withheld, o.UpdateTo = []string{"gateway: spec.x"}, "abc" },
			[]string{"RequiresUpdate=True/OperatorChanged"}, "chatcluster.dev/update-to to abc"},
		{"cleaner failed", func(o *decide.Observation) { o.Cleaner.Result, o.Cleaner.Message = "Failed", "no host" },
			[]string{"CleanerHealthy=False/Failed"}, "no host"},
		{"cleaner stale", func(o *decide.Observation) { o.Now = created.Add(100 * time.Hour) }, []string{"CleanerHealthy=False/Stale"}, "48h"},
		{"cleaner never ran", func(o *decide.Observation) { o.Cleaner = nil }, []string{"CleanerHealthy=Unknown/NeverRun"}, ""},
		{"cleaner never ran for long", func(o *decide.Observation) { o.Cleaner, o.Now = nil, created.Add(100*time.Hour) },
			[]string{"CleanerHealthy=False/Stale"}, ""},
	}
	usual := map[string]string{
		"Ready": "True/Ready", "Progressing": "False/AsExpected", "Degraded": "False/AsExpected", "DependenciesReady": "True/Reachable",
		"CleanerHealthy": "True/Succeeded", "RequiresUpdate": "False/AsExpected", "Paused": "False/AsExpected",
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := healthy()
			test.change(&o)
			want := map[string]string{}
			for kind, value := range usual {
				want[kind] = value
			}
			for _, w := range test.want {
				kind, value, _ := strings.Cut(w, "=")
				want[kind] = value
			}
			var messages []string
			conditions := o.Conditions()
			for _, c := range conditions {
				if got := string(c.Status) + "/" + c.Reason; got != want[c.Type] {
					t.Errorf("%s is %s, want %s (%s)", c.Type, got, want[c.Type], c.Message)
				}
				if c.ObservedGeneration != 3 {
					t.Errorf("%s: observed generation %d, want 3", c.Type, c.ObservedGeneration)
				}
				messages = append(messages, c.Message)
			}
			if len(conditions) != len(want) {
				t.Errorf("got %d conditions, want %d", len(conditions), len(want))
			}
			if all := strings.Join(messages, "\n"); !strings.Contains(all, test.says) {
				t.Errorf("nothing says %q:\n%s", test.says, all)
			}
		})
	}
}
