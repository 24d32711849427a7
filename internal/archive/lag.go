package archive

import (
	"context"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/metrics"
)

// lag is one partition's part in the gauges, for as long as it is archived
// here. It is for one goroutine.
type lag struct {
	metrics *metrics.Metrics
	// known is false until both ends were found.
	known bool
	// next is the first offset that is not archived, end the end of the log as
	// far as the log has said; shown is what the gauge has of it.
	next, end, shown int64
}

func newLag(m *metrics.Metrics) *lag {
	m.ArchivePartitions.Inc()
	return &lag{metrics: m}
}

// begins says where the archiver begins, and where the log ends.
func (l *lag) begins(next, end int64) {
	l.known, l.next, l.end = true, next, end
	l.show()
}

// grown says that the log reaches to end at least.
func (l *lag) grown(end int64) {
	l.end = max(l.end, end)
	l.show()
}

// archived says that all below next is archived.
func (l *lag) archived(next int64) {
	l.next = next
	l.show()
}

func (l *lag) show() {
	if !l.known {
		return
	}
	behind := max(l.end-l.next, 0)
	l.metrics.ArchiveLag.Add(float64(behind - l.shown))
	l.shown = behind
}

// gone takes the partition out of the gauges.
func (l *lag) gone() {
	l.metrics.ArchiveLag.Sub(float64(l.shown))
	l.metrics.ArchivePartitions.Dec()
}

// askEnd asks for the log's end while nothing is archived, since something
// fails: whatever waits for the store goes on growing. If the log does not tell
// either, the lag stays as it was.
func (a *Archiver) askEnd(ctx context.Context, p chat.Partition, l *lag) {
	if bounds, err := a.log.Bounds(ctx, p); err == nil {
		l.grown(bounds.Next)
	}
}
