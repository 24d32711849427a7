package benchcluster_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// manyRooms is a number of rooms that uses all partitions alike.
const manyRooms = 64

// shortTurns is how many turns a window is cut into where latency is compared:
// what disturbs the machine for a moment then falls on both sides.
const shortTurns = 10

// BenchmarkSendPaced measures how long a paced send takes until it is
// acknowledged, against a bare produce of the same bytes at the same pace.
func BenchmarkSendPaced(b *testing.B) {
	for _, rate := range []int{100, 1000} {
		b.Run(name("rate", rate), func(b *testing.B) {
			r := newRig(b)
			rooms, bare := r.sessions(b, manyRooms), newBareLog(b, r.brokers, partitions)
			r.settle()
			send := func(i int) error { return r.send(b.Context(), rooms, i) }
			produce := func(i int) error { return bare.produce(b.Context(), i%partitions, 1) }
			for b.Loop() {
				pace(b, rate, *window/2, send) // connects, fills the caches
				pace(b, rate, *window/2, produce)
				var all, allFloor times
				var ofP50, ofP99 []float64
				for range rounds {
					var sends, floor times
					for range shortTurns {
						floor = append(floor, pace(b, rate, *window/shortTurns, produce)...)
						sends = append(sends, pace(b, rate, *window/shortTurns, send)...)
					}
					ofP50 = append(ofP50, sends.percentile(50)/floor.percentile(50))
					ofP99 = append(ofP99, sends.percentile(99)/floor.percentile(99))
					all, allFloor = append(all, sends...), append(allFloor, floor...)
				}
				all.report(b, "")
				allFloor.report(b, "bare-")
				b.ReportMetric(median(ofP50), "p50-of-bare")
				b.ReportMetric(median(ofP99), "p99-of-bare")
			}
		})
	}
}

// BenchmarkSendSustained measures acknowledged messages per second from many
// senders, against as many callers of a bare produce, and against a bare
// producer of one caller per partition that is handed 64 records at a time and
// so need not collect them.
func BenchmarkSendSustained(b *testing.B) {
	const batch = 64
	for _, senders := range []int{64, 512} {
		b.Run(name("senders", senders), func(b *testing.B) {
			r := newRig(b)
			rooms, bare := r.sessions(b, manyRooms), newBareLog(b, r.brokers, partitions)
			r.settle()
			for b.Loop() {
				var sends, singles, batches, ofSingles, ofBatches []float64
				for range rounds {
					singles = append(singles, saturate(b, senders, func(i int) error { return bare.produce(b.Context(), i%partitions, 1) }))
					sends = append(sends, saturate(b, senders, func(i int) error { return r.send(b.Context(), rooms, i) }))
					batches = append(batches, batch*saturate(b, partitions, func(i int) error { return bare.produce(b.Context(), i, batch) }))
					last := len(sends) - 1
					ofSingles = append(ofSingles, sends[last]/singles[last])
					ofBatches = append(ofBatches, sends[last]/batches[last])
				}
				b.ReportMetric(median(sends), "msgs/s")
				b.ReportMetric(median(singles), "bare/s")
				b.ReportMetric(median(batches), "bare-batches/s")
				b.ReportMetric(median(ofSingles), "of-bare")
				b.ReportMetric(median(ofBatches), "of-bare-batches")
			}
		})
	}
}

// BenchmarkArchive measures how fast an archiver that starts behind a backlog
// moves it to Cassandra, against bare inserts of as many rows in the same
// batches. It also compares the processor time of this process, Cassandra and
// Kafka together, which is worth more where the machine is busy.
func BenchmarkArchive(b *testing.B) {
	r := newRig(b)
	rooms := r.sessions(b, manyRooms)
	session, err := gocql.NewCluster(r.hosts...).CreateSession()
	if err != nil {
		b.Fatal(err)
	}
	defer session.Close()
	pids := []int{os.Getpid(), listenerAt(b, r.hosts[0]), listenerAt(b, r.brokers[0])}
	used := func() (all time.Duration) {
		for _, pid := range pids {
			all += cpuOf(b, pid)
		}
		return all
	}
	micros := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(*backlog) }
	for b.Loop() {
		var archived, bare, ratios, cpu, bareCPU, cpuRatios []float64
		for round := range rounds {
			r.fill(b, rooms, *backlog)
			before, start := used(), time.Now()
			r.archiving(b)()
			took := time.Since(start)
			middle, start := used(), time.Now()
			if err := putBare(b.Context(), session, r.keyspace, round, *backlog, len(rooms)); err != nil {
				b.Fatal(err)
			}
			bareTook := time.Since(start)
			archived = append(archived, float64(*backlog)/took.Seconds())
			bare = append(bare, float64(*backlog)/bareTook.Seconds())
			ratios = append(ratios, archived[round]/bare[round])
			cpu, bareCPU = append(cpu, micros(middle-before)), append(bareCPU, micros(used()-middle))
			cpuRatios = append(cpuRatios, bareCPU[round]/cpu[round])
		}
		b.ReportMetric(median(archived), "rows/s")
		b.ReportMetric(median(bare), "bare-rows/s")
		b.ReportMetric(median(ratios), "of-bare")
		b.ReportMetric(median(cpu), "cpu-us/row")
		b.ReportMetric(median(bareCPU), "bare-cpu-us/row")
		b.ReportMetric(median(cpuRatios), "of-bare-by-cpu")
	}
}

// fill sends n messages to all rooms in turn.
func (r *rig) fill(b *testing.B, rooms []chat.Room, n int) {
	b.Helper()
	const senders = 500
	next := make(chan int)
	done := make(chan error, senders)
	for range senders {
		go func() {
			var failed error
			for i := range next {
				if err := r.send(b.Context(), rooms, i); err != nil {
					failed = err
				}
			}
			done <- failed
		}()
	}
	for i := range n {
		next <- i
	}
	close(next)
	for range senders {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHistory measures the newest page of 50 messages while the archiver
// is idle, and while it has stopped and left so many messages of the room in
// the log alone.
func BenchmarkHistory(b *testing.B) {
	r := newRig(b)
	rooms := r.sessions(b, 16)
	pages := func(b *testing.B) {
		var reads times
		for start := time.Now(); time.Since(start) < *window; {
			began := time.Now()
			page, err := r.messages.History(b.Context(), rooms[0], chat.Page{Limit: 50})
			if err == nil && len(page.Messages) != 50 {
				err = fmt.Errorf("a page has %d messages, want 50", len(page.Messages))
			}
			if err != nil {
				b.Fatal(err)
			}
			reads = append(reads, time.Since(began))
		}
		reads.report(b, "")
	}
	finish := r.archiving(b)
	r.fill(b, rooms, 5000*len(rooms))
	if err := r.archiver.Await(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Run("idle", func(b *testing.B) {
		for b.Loop() {
			pages(b)
		}
	})
	// Everyone comes back at once: the same page of one room, or of several.
	for _, rooms := range [][]chat.Room{rooms[:1], rooms} {
		b.Run(name("readers=64/rooms", len(rooms)), func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(saturate(b, 64, func(i int) error {
					_, err := r.messages.History(b.Context(), rooms[i%len(rooms)], chat.Page{Limit: 50})
					return err
				}), "pages/s")
			}
		})
	}
	finish()
	behind := 0
	for _, lag := range []int{100, 1000, 10_000} {
		r.fill(b, rooms[:1], lag-behind)
		behind = lag
		b.Run(name("lag", lag), func(b *testing.B) {
			for b.Loop() {
				pages(b)
			}
		})
	}
}
