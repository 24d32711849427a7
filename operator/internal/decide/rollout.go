package decide

// Rollout is what is known of a Deployment and of what it should be.
type Rollout struct {
	// Exists is whether there is one.
	Exists bool
	// LiveInputs and LiveRevision are what the operator wrote on it; Inputs and
	// Revision are what it would write now.
	LiveInputs, LiveRevision string
	Inputs, Revision         string
	// Migrated is whether the schema is what the new pods need.
	Migrated bool
	// Hibernated is whether no pod shall run.
	Hibernated bool
	// Approved is whether the user has asked for the update: by the policy, or
	// by the annotation.
	Approved bool
}

// RolloutAction says how a Deployment is written.
type RolloutAction int

const (
	// RolloutSkip writes nothing: there is nothing, and it must wait.
	RolloutSkip RolloutAction = iota
	// RolloutScale keeps the pod template as it is and writes the replicas.
	RolloutScale
	// RolloutApply writes all of it; where the template changed, pods roll.
	RolloutApply
	// RolloutWithhold is RolloutScale where only the operator would change the
	// pods, and the user has not asked for it.
	RolloutWithhold
)

// Decide says how the Deployment is written. A new template waits for the
// migration; one that differs although the user changed nothing waits for the
// user. The replicas are always written: a field that was applied and is then left
// out goes back to its default.
func (r Rollout) Decide() RolloutAction {
	switch {
	case !r.Exists && (r.Hibernated || !r.Migrated):
		return RolloutSkip
	case !r.Exists:
		return RolloutApply
	case r.LiveInputs == r.Inputs && r.LiveRevision == r.Revision:
		return RolloutApply
	case r.Hibernated || !r.Migrated:
		return RolloutScale
	case r.LiveInputs == r.Inputs && !r.Approved:
		return RolloutWithhold
	default:
		return RolloutApply
	}
}
