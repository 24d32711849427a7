package doctor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/log/kafka"
	"github.com/chatcluster/chatcluster/internal/store/cassandra"
)

// lagName is the check's name.
const lagName = "archive"

// Mark is how far a partition is archived at one time.
type Mark struct {
	// First and Next are the ends of the log.
	First, Next int64
	// Archived is the offset from which on nothing is archived; First if none
	// ever was in this life of the topic.
	Archived int64
	// Err is why the others are not known.
	Err error
}

func (m Mark) behind() int64 { return m.Next - m.Archived }

// examineLag measures twice, and looks at what the archivers had to skip.
func examineLag(ctx context.Context, o Options, log logState, store storeState) []Finding {
	if log.overview == nil || len(log.overview.Topics[chat.TopicMessages].Partitions) == 0 || !store.usable {
		return []Finding{{Warn, lagName, "not measured, for the topics or the schema cannot be used", "repair these first"}}
	}
	o.Kafka.Brokers, o.Cassandra.Hosts = log.brokers, store.hosts
	inspector, err := kafka.NewInspector(o.Kafka)
	if err != nil {
		return []Finding{unmeasured(err)}
	}
	defer inspector.Close()
	opened, err := cassandra.Open(ctx, o.Cassandra)
	if err != nil {
		return []Finding{unmeasured(err)}
	}
	defer opened.Close()

	before := measure(ctx, inspector, opened, *log.overview)
	select {
	case <-ctx.Done():
		return []Finding{unmeasured(ctx.Err())}
	case <-time.After(o.LagPause):
	}
	after := measure(ctx, inspector, opened, *log.overview)
	findings := JudgeLags(before, after, o.LagWarn, o.LagFail)
	return append(findings, examineForeign(ctx, opened, len(after), o.Cassandra.Keyspace)...)
}

func unmeasured(err error) Finding {
	return Finding{Fail, lagName, "not measured: " + oneLine(err), "repair Kafka and Cassandra first"}
}

// measure marks all partitions at once, by their numbers.
func measure(ctx context.Context, inspector *kafka.Inspector, store *cassandra.Store, overview kafka.Overview) []Mark {
	topic := overview.Topics[chat.TopicMessages]
	marks := make([]Mark, len(topic.Partitions))
	epoch, err := store.KnownEpoch(ctx, topic.Name, topic.ID)
	var group sync.WaitGroup
	for n := range marks {
		if err != nil {
			marks[n].Err = err
			continue
		}
		group.Go(func() {
			marks[n] = mark(ctx, inspector, store, overview, chat.Partition{Topic: chat.TopicMessages, Number: int32(n)}, epoch)
		})
	}
	group.Wait()
	return marks
}

func mark(ctx context.Context, inspector *kafka.Inspector, store *cassandra.Store, overview kafka.Overview, p chat.Partition, epoch uint32) Mark {
	// The watermark goes first: it must not seem to lie beyond an end that is
	// older.
	w, err := store.Watermark(ctx, p)
	if err != nil {
		return Mark{Err: fmt.Errorf("read watermark: %w", err)}
	}
	first, next, err := inspector.Ends(ctx, overview, p)
	if err != nil {
		return Mark{Err: err}
	}
	m := Mark{First: first, Next: next, Archived: first}
	if epoch != 0 && w.Epoch == epoch {
		m.Archived = w.Next
	}
	return m
}

// JudgeLags judges all partitions of which both measurements are given: one
// finding for each that is not well, and one for all others.
func JudgeLags(before, after []Mark, warn, fail int64) []Finding {
	var findings []Finding
	var well int
	var most int64
	for n := range after {
		f := JudgeLag(before[n], after[n], warn, fail)
		if f.Level == OK {
			well++
			most = max(most, after[n].behind())
			continue
		}
		f.Name = fmt.Sprintf("%s of %s", lagName, chat.Partition{Topic: chat.TopicMessages, Number: int32(n)})
		findings = append(findings, f)
	}
	if well > 0 {
		findings = append(findings, Finding{OK, lagName, fmt.Sprintf("%d partitions are at most %d records behind", well, most), ""})
	}
	return findings
}

// JudgeLag judges one partition by two measurements; the finding has no name
// yet.
func JudgeLag(before, after Mark, warn, fail int64) Finding {
	if before.Err == nil {
		before.Err = after.Err
	}
	behind := after.behind()
	stands := before.Archived == after.Archived && before.behind() > 0
	f := Finding{Level: OK}
	switch {
	case before.Err != nil:
		return Finding{Level: Fail, Finding: "not measured: " + oneLine(before.Err), Advice: "repair Kafka and Cassandra first"}
	case after.Archived < after.First:
		return Finding{Level: Fail, Finding: fmt.Sprintf("%d records left the log before they were archived", after.First-after.Archived),
			Advice: "start archivers at once and raise kafka-retention; those records are lost to history"}
	case behind < 0:
		return Finding{Level: Fail, Finding: fmt.Sprintf("archived up to %d, beyond the end of the log, %d", after.Archived, after.Next),
			Advice: "the log has lost records: see the brokers' logs; the archiver of this partition stands still until it is longer"}
	case behind >= fail:
		f.Level = Fail
	case behind >= warn || behind > 0 && stands:
		f.Level = Warn
	}
	f.Finding = fmt.Sprintf("%d records behind", behind)
	switch {
	case f.Level == OK:
	case stands:
		f.Finding += ", and standing still"
		f.Advice = "see whether an archiver runs and what it logs: chatd archive"
	case behind > before.behind():
		f.Finding += ", and growing"
		f.Advice = "start more archivers, or see what slows Cassandra"
	default:
		f.Finding += ", and not growing"
		f.Advice = "wait; more archivers are faster, up to the number of partitions"
	}
	return f
}
