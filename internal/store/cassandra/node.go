package cassandra

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// NodeState is what one node says.
type NodeState struct {
	// Clock is the node's, in whole milliseconds. It was read between Before and
	// After on this process's clock.
	Clock, Before, After time.Time
	// Schema is nil if this release works with the keyspace.
	Schema *SchemaError
}

// AskNode asks one node, host or host:port, and no other that it knows of. It
// changes nothing. What cannot be reached is chat.ErrUnavailable.
func AskNode(ctx context.Context, o Options, host string) (NodeState, error) {
	o.Hosts = []string{host}
	o, err := o.withDefaults()
	if err != nil {
		return NodeState{}, err
	}
	session, err := connectTo(ctx, o, "", true)
	if err != nil {
		return NodeState{}, err
	}
	defer session.Close()
	var n NodeState
	n.Before = o.Now()
	err = session.Query(`SELECT toTimestamp(now()) FROM system.local`).ScanContext(ctx, &n.Clock)
	n.After = o.Now()
	if err != nil {
		return NodeState{}, fmt.Errorf("read the clock: %w", translate(err))
	}
	if err := checkSchema(ctx, session, o.Keyspace); err != nil && !errors.As(err, &n.Schema) {
		return NodeState{}, err
	}
	return n, nil
}
