package doctor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/store/cassandra"
)

// storeState is what was found out about Cassandra.
type storeState struct {
	findings []Finding
	// hosts are those of the options that answer.
	hosts []string
	// usable: this release works with the keyspace.
	usable bool
}

// Asked is how it went to ask a node.
type Asked struct {
	Host string
	Err  error
	// State is valid without Err.
	State cassandra.NodeState
}

func examineStore(ctx context.Context, o cassandra.Options) storeState {
	all := make([]Asked, len(o.Hosts))
	var group sync.WaitGroup
	for i, host := range o.Hosts {
		group.Go(func() {
			state, err := cassandra.AskNode(ctx, o, host)
			all[i] = Asked{host, err, state}
		})
	}
	group.Wait()
	s := storeState{findings: JudgeNodes(all)}
	var clocks []Finding
	for _, a := range all {
		if a.Err != nil {
			continue
		}
		// All nodes agree on the schema, so one of them will do.
		if len(s.hosts) == 0 {
			s.usable = a.State.Schema == nil
			s.findings = append(s.findings, JudgeSchema(o.Keyspace, a.State.Schema))
		}
		s.hosts = append(s.hosts, a.Host)
		clocks = append(clocks, JudgeClock(a.Host, Skew(a.State)))
	}
	s.findings = append(s.findings, clocks...)
	return s
}

// JudgeNodes judges whether the nodes of the configuration answer.
func JudgeNodes(all []Asked) []Finding {
	var findings []Finding
	for _, a := range all {
		if a.Err == nil {
			continue
		}
		// A password or a certificate is wrong, or the name or the port.
		advice := "correct cassandra-hosts, or check cassandra-tls*, cassandra-username, its password and its permissions"
		if errors.Is(a.Err, chat.ErrUnavailable) {
			advice = "start it, let this machine reach it, or correct cassandra-hosts; nodetool status tells of the others"
		}
		findings = append(findings, Finding{Fail, "cassandra node " + a.Host, oneLine(a.Err), advice})
	}
	if answered := len(all) - len(findings); answered > 0 {
		findings = append(findings, Finding{OK, "cassandra nodes", fmt.Sprintf("%d answered", answered), ""})
	}
	return findings
}

// JudgeSchema judges the keyspace by what cassandra.AskNode answers.
func JudgeSchema(keyspace string, refused *cassandra.SchemaError) Finding {
	name := "cassandra schema"
	switch {
	case refused == nil:
		return Finding{OK, name, fmt.Sprintf("keyspace %s has a schema that version %d works with", keyspace, cassandra.SchemaVersion), ""}
	case refused.Found == 0:
		return Finding{Fail, name, fmt.Sprintf("keyspace %s has no schema", refused.Keyspace), "make it with: chatd migrate; or correct cassandra-keyspace"}
	case refused.Found < refused.Want:
		return Finding{Fail, name, fmt.Sprintf("keyspace %s has schema version %d, want %d", refused.Keyspace, refused.Found, refused.Want),
			"bring it up to date with: chatd migrate, of this release"}
	default:
		return Finding{Fail, name, fmt.Sprintf("keyspace %s has schema version %d, and this release works with %d", refused.Keyspace, refused.Found, refused.Want),
			"use a newer release"}
	}
}

// Skew is how far a node's clock is ahead of this machine's, at least; negative
// if it is behind. The answer was on its way for a while, which counts for the
// node.
func Skew(n cassandra.NodeState) time.Duration {
	if ahead := n.Clock.Sub(n.After); ahead > 0 {
		return ahead
	}
	// The clock is cut to whole milliseconds.
	return min(0, n.Clock.Add(time.Millisecond).Sub(n.Before))
}

const (
	// skewWarn is more than what is left where clocks are synchronized.
	skewWarn = time.Second
	// skewFail is the default of lease-ttl: beyond it the lease of a gateway
	// that lives looks ended.
	skewFail = 10 * time.Second
)

// JudgeClock judges the clock of a node.
func JudgeClock(host string, skew time.Duration) Finding {
	f := Finding{OK, "clock of " + host, "agrees with this machine's", ""}
	if skew.Abs() <= skewWarn {
		return f
	}
	direction := "ahead of"
	if skew < 0 {
		direction = "behind"
	}
	f.Level, f.Finding = Warn, fmt.Sprintf("%v %s this machine's", skew.Abs().Round(time.Millisecond), direction)
	if skew.Abs() > skewFail {
		f.Level = Fail
	}
	f.Advice = "synchronize the clocks of all machines by NTP: messages and leases expire by them"
	return f
}
