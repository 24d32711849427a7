package decide

// Migration is what is known of the migration that new pods need.
type Migration struct {
	// Revision is the migration that is needed, Done the one that was.
	Revision, Done string
	// Hibernated and DependenciesReady say whether it may run.
	Hibernated, DependenciesReady bool
	// Job is the state of the Job of this revision.
	Job JobState
}

// JobState is the state of a Job.
type JobState int

// The states of a Job.
const (
	JobAbsent JobState = iota
	JobRunning
	JobSucceeded
	JobFailed
)

// MigrationAction says what to do about a migration.
type MigrationAction int

const (
	// MigrationNone: it was done already.
	MigrationNone MigrationAction = iota
	// MigrationStart makes its Job.
	MigrationStart
	// MigrationWait waits for the Job, or for what it needs.
	MigrationWait
	// MigrationFinish records that it succeeded.
	MigrationFinish
	// MigrationFailed stops the rollout until the user changes something or
	// deletes the Job.
	MigrationFailed
)

// Decide says what to do about the migration.
func (m Migration) Decide() MigrationAction {
	switch {
	case m.Done == m.Revision:
		return MigrationNone
	case m.Job == JobSucceeded:
		return MigrationFinish
	case m.Job == JobFailed:
		return MigrationFailed
	case m.Job == JobRunning:
		return MigrationWait
	case m.Hibernated || !m.DependenciesReady:
		return MigrationWait
	default:
		return MigrationStart
	}
}
