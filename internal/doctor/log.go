package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/log/kafka"
)

// logState is what was found out about Kafka.
type logState struct {
	findings []Finding
	// brokers are the addresses of the options that answer.
	brokers []string
	// overview is nil if no broker gave one.
	overview *kafka.Overview
}

func examineLog(ctx context.Context, o kafka.Options) logState {
	configured := reach(ctx, o, o.Brokers)
	var s logState
	for _, r := range configured {
		if r.Err == nil {
			s.brokers = append(s.brokers, r.Address)
		}
	}
	if len(s.brokers) == 0 {
		s.findings = JudgeBrokers(configured, nil)
		return s
	}
	o.Brokers = s.brokers
	overview, err := overviewOf(ctx, o)
	if err != nil {
		s.findings = append(JudgeBrokers(configured, nil), Finding{Fail, "kafka topics", oneLine(err), adviceOnLog(err)})
		return s
	}
	s.overview = &overview
	var others []string
	for _, address := range slices.Sorted(maps.Values(overview.Brokers)) {
		if !slices.ContainsFunc(configured, func(r Reached) bool { return r.Address == address }) {
			others = append(others, address)
		}
	}
	s.findings = JudgeBrokers(configured, reach(ctx, o, others))
	s.findings = append(s.findings, JudgeTopics(overview.Problems)...)
	for _, t := range chat.Topics() {
		if state, ok := overview.Topics[t]; ok {
			s.findings = append(s.findings, JudgeReplicas(state)...)
		}
	}
	return s
}

func overviewOf(ctx context.Context, o kafka.Options) (kafka.Overview, error) {
	inspector, err := kafka.NewInspector(o)
	if err != nil {
		return kafka.Overview{}, err
	}
	defer inspector.Close()
	return inspector.Overview(ctx)
}

// Reached is how it went to reach an address.
type Reached struct {
	Address string
	Err     error
}

// reach tries all addresses at once.
func reach(ctx context.Context, o kafka.Options, addresses []string) []Reached {
	all := make([]Reached, len(addresses))
	var group sync.WaitGroup
	for i, address := range addresses {
		group.Go(func() { all[i] = Reached{address, reachOne(ctx, o, address)} })
	}
	group.Wait()
	return all
}

func reachOne(ctx context.Context, o kafka.Options, address string) error {
	o.Brokers = []string{address}
	inspector, err := kafka.NewInspector(o)
	if err != nil {
		return err
	}
	defer inspector.Close()
	return inspector.Reach(ctx, address)
}

// JudgeBrokers judges the brokers of the configuration, and the others that
// those know of, by the addresses at which they say they are.
func JudgeBrokers(configured, advertised []Reached) []Finding {
	var findings []Finding
	answered := 0
	judge := func(all []Reached, advice string) {
		for _, r := range all {
			if r.Err == nil {
				answered++
				continue
			}
			f := Finding{Fail, "kafka broker " + r.Address, oneLine(r.Err), advice}
			if _, denied := errors.AsType[*kafka.DeniedError](r.Err); denied {
				f.Advice = adviceOnLog(r.Err)
			}
			findings = append(findings, f)
		}
	}
	judge(configured, "start it, let this machine reach it, or correct kafka-brokers")
	judge(advertised, "start it, or let its advertised.listeners name an address that clients can reach")
	if answered > 0 {
		findings = append(findings, Finding{OK, "kafka brokers", fmt.Sprintf("%d answered", answered), ""})
	}
	return findings
}

func adviceOnLog(err error) string {
	if _, denied := errors.AsType[*kafka.DeniedError](err); denied {
		return "check the settings kafka-tls*, kafka-sasl-mechanism, kafka-username and its password, and the user's permissions"
	}
	return "see the brokers' logs"
}

// JudgeTopics judges what kafka.Check answers.
func JudgeTopics(problems []kafka.Problem) []Finding {
	var findings []Finding
	for _, p := range problems {
		advice := "set it with: chatd migrate"
		if p.Setting == "" {
			advice = "make it with: chatd migrate; or correct kafka-topic-prefix"
		}
		findings = append(findings, Finding{Fail, "kafka topic " + p.Topic, p.String(), advice})
	}
	if len(findings) == 0 {
		return []Finding{{OK, "kafka topics", "all there, and set as the log needs them", ""}}
	}
	return findings
}

// JudgeReplicas judges where the partitions of a topic are.
func JudgeReplicas(t kafka.TopicState) []Finding {
	var leaderless, refusing, behind []int
	missing := map[int32]bool{}
	for n, p := range t.Partitions {
		switch {
		case p.Leader < 0:
			leaderless = append(leaderless, n)
		case len(p.InSync) < t.MinInsync:
			refusing = append(refusing, n)
		case len(p.InSync) < len(p.Replicas):
			behind = append(behind, n)
		default:
			continue
		}
		for _, broker := range p.Replicas {
			if !slices.Contains(p.InSync, broker) {
				missing[broker] = true
			}
		}
	}
	name := "kafka replicas of " + t.Name
	brokers := "see whether brokers are down or their disks full" + listed("; not in sync: broker", slices.Sorted(maps.Keys(missing)))
	var findings []Finding
	if len(leaderless) > 0 {
		findings = append(findings, Finding{Fail, name,
			fmt.Sprintf("nothing can be sent or read without a leader%s", listed(": partition", leaderless)), brokers})
	}
	if len(refusing) > 0 {
		findings = append(findings, Finding{Fail, name,
			fmt.Sprintf("nothing can be sent with fewer than min.insync.replicas=%d in sync%s", t.MinInsync, listed(": partition", refusing)),
			brokers + "; or lower min.insync.replicas with: chatd migrate --kafka-min-insync-replicas"})
	}
	if len(behind) > 0 {
		findings = append(findings, Finding{Warn, name, "not all replicas are in sync" + listed(": partition", behind), brokers})
	}
	if len(findings) == 0 {
		return []Finding{{OK, name, fmt.Sprintf("%d partitions have a leader and all replicas in sync", len(t.Partitions)), ""}}
	}
	return findings
}

// maxListed bounds a line.
const maxListed = 10

// listed is the label and the numbers, or empty if there are none.
func listed[N int | int32](label string, numbers []N) string {
	if len(numbers) == 0 {
		return ""
	}
	var words []string
	for _, n := range numbers[:min(len(numbers), maxListed)] {
		words = append(words, fmt.Sprint(n))
	}
	text := label + " " + strings.Join(words, ", ")
	if more := len(numbers) - maxListed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
