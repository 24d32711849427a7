package doctor

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/store/cassandra"
)

// examineForeign looks for the newest foreign record of each partition.
func examineForeign(ctx context.Context, store *cassandra.Store, partitions int, keyspace string) []Finding {
	newest := make([][]chat.ForeignRecord, partitions)
	errs := make([]error, partitions)
	var group sync.WaitGroup
	for n := range newest {
		group.Go(func() {
			newest[n], errs[n] = store.ForeignOf(ctx, chat.Partition{Topic: chat.TopicMessages, Number: int32(n)}, 1)
		})
	}
	group.Wait()
	var found []chat.ForeignRecord
	for n := range newest {
		if errs[n] != nil {
			return []Finding{{Fail, foreignName, "not looked for: " + oneLine(errs[n]), "repair Cassandra first"}}
		}
		found = append(found, newest[n]...)
	}
	return JudgeForeign(found, keyspace)
}

// foreignName is the check's name.
const foreignName = "foreign records"

// JudgeForeign judges the newest foreign records of some partitions; that there
// are none is no finding.
func JudgeForeign(newest []chat.ForeignRecord, keyspace string) []Finding {
	if len(newest) == 0 {
		return nil
	}
	places := make([]string, len(newest))
	for i, r := range newest {
		places[i] = fmt.Sprintf("%s offset %d of %s", r.Partition, r.Offset, r.Time.Format(time.RFC3339))
	}
	return []Finding{{Warn, foreignName, "records that are no events were skipped, the newest at " + strings.Join(places, ", "),
		fmt.Sprintf("find out who writes to the topic: SELECT * FROM %s.foreign_records; they are kept for %d days", keyspace, int(chat.ForeignKept.Hours()/24))}}
}
