package benchcluster_test

import (
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/test/backends"
	"github.com/chatcluster/chatcluster/test/chatdtest"
)

// costCase is a small run. What it costs beyond another one that differs in one
// number is the cost of that number.
type costCase struct {
	partitions, rooms int
	// members is how many sockets each room has at each gateway.
	members, gateways int
	// rate is messages per second: less where each goes to many sockets.
	rate int
	// elsewhere sends to other rooms of the same partitions: gateways read the
	// messages, and nobody gets them.
	elsewhere bool
}

func (k costCase) String() string {
	s := fmt.Sprintf("partitions=%d/rooms=%d/members=%d/gateways=%d/rate=%d", k.partitions, k.rooms, k.members, k.gateways, k.rate)
	if k.elsewhere {
		s += "/elsewhere"
	}
	return s
}

var costCases = []costCase{
	{partitions: 4, rooms: 1, members: 1, gateways: 1, rate: 300},
	{partitions: 4, rooms: 100, members: 1, gateways: 1, rate: 300},
	{partitions: 4, rooms: 1000, members: 1, gateways: 1, rate: 300},
	{partitions: 4, rooms: 100, members: 1, gateways: 2, rate: 300},
	{partitions: 4, rooms: 10, members: 1, gateways: 1, rate: 300},
	{partitions: 4, rooms: 10, members: 10, gateways: 1, rate: 300},
	{partitions: 4, rooms: 10, members: 100, gateways: 1, rate: 100},
	{partitions: 4, rooms: 100, members: 1, gateways: 1, rate: 300, elsewhere: true},
	{partitions: 4, rooms: 100, members: 1, gateways: 1, rate: 1000},
	{partitions: 16, rooms: 100, members: 1, gateways: 1, rate: 300},
	{partitions: 16, rooms: 100, members: 1, gateways: 2, rate: 300},
}

// BenchmarkCost measures the processor time of each process for a message that
// comes by the API and goes to sockets and to the store, beyond what the
// process uses while nothing happens. A unit of s/M is a second of one core for
// a million messages, or a microsecond for one.
func BenchmarkCost(b *testing.B) {
	clusters := map[int]*costCluster{}
	for _, k := range costCases {
		if clusters[k.partitions] == nil {
			clusters[k.partitions] = newCostCluster(b, k.partitions)
		}
		c := clusters[k.partitions]
		b.Run(k.String(), func(b *testing.B) {
			for b.Loop() {
				c.run(b, k)
			}
		})
	}
}

// costCluster is a cluster of one API, one archiver and two gateways. A gateway
// without sockets follows no partition of messages.
type costCluster struct {
	*chatdtest.Cluster
	sender    *chatdtest.Client
	processes map[string][]int // process ids by role
}

func newCostCluster(b *testing.B, partitions int) *costCluster {
	b.Helper()
	cluster := chatdtest.NewCluster(b, backends.Kafka(b), backends.Cassandra(b), "--send-rate=0")
	// Topics only grow, and a new cluster's have no more than 4.
	more := []string{"migrate", "--kafka-replication-factor=1", "--kafka-min-insync-replicas=1", "--kafka-partitions=" + strconv.Itoa(partitions)}
	if _, stderr, err := chatdtest.Run(b, "", "chatd", append(more, cluster.Data...)...); err != nil {
		b.Fatalf("chatd migrate: %v\n%s", err, stderr)
	}
	cluster.AddAPI()
	cluster.AddGateway()
	cluster.AddGateway()
	cluster.AddArchiver()
	c := &costCluster{Cluster: cluster, sender: chatdtest.Register(b, cluster.Server(0), "amir"), processes: map[string][]int{
		"api": {cluster.APIs[0].PID()}, "archiver": {cluster.Archivers[0].PID()},
		"gateways": {cluster.Gateways[0].PID(), cluster.Gateways[1].PID()},
		"kafka":    {listenerAt(b, backends.Kafka(b)[0])}, "cassandra": {listenerAt(b, backends.Cassandra(b)[0])},
	}}
	warm := c.sender.CreateSession(b)
	pace(b, 300, firstMinute, func(int) error { return post(b.Context(), c.sender, warm, text) })
	return c
}

// used is the processor time of each role.
func (c *costCluster) used(b *testing.B) map[string]time.Duration {
	b.Helper()
	used := map[string]time.Duration{}
	for role, pids := range c.processes {
		for _, pid := range pids {
			used[role] += cpuOf(b, pid)
		}
	}
	return used
}

// since is what was used beyond an earlier reading.
func (c *costCluster) since(b *testing.B, before map[string]time.Duration) map[string]time.Duration {
	b.Helper()
	used := c.used(b)
	for role := range used {
		used[role] -= before[role]
	}
	return used
}

func (c *costCluster) run(b *testing.B, k costCase) {
	b.Helper()
	rooms := c.sessions(b, k.rooms)
	targets := rooms
	if k.elsewhere {
		targets = c.sessions(b, k.rooms)
	}
	// What is sent to for the first time is looked up; afterwards once a minute.
	for _, room := range targets {
		if err := post(b.Context(), c.sender, room, text); err != nil {
			b.Fatal(err)
		}
	}
	var delivered, bytes atomic.Int64
	defer c.listen(b, k, rooms, &delivered, &bytes)()

	const idle = 2 * time.Second
	before := c.used(b)
	time.Sleep(idle)
	base := c.since(b, before)

	before = c.used(b)
	start := time.Now()
	sent := len(pace(b, k.rate, 3*(*window), func(i int) error { return post(b.Context(), c.sender, targets[i%k.rooms], text) }))
	want := int64(sent * k.members * k.gateways)
	if k.elsewhere {
		want = 0
	}
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for delivered.Load() < want {
		if <-poll.C; time.Since(start) > 30*time.Second {
			b.Fatalf("delivered within 30 s: got %d frames, want %d", delivered.Load(), want)
		}
	}
	elapsed := time.Since(start)
	for role, used := range c.since(b, before) {
		used -= time.Duration(float64(base[role]) * elapsed.Seconds() / idle.Seconds())
		b.ReportMetric(used.Seconds()*1e6/float64(sent), role+"-s/M")
	}
	b.ReportMetric(milliseconds(base["gateways"])/idle.Seconds(), "gateways-idle-ms/s")
	b.ReportMetric(float64(len(value)), "record-B")
	if want > 0 {
		b.ReportMetric(float64(bytes.Load())/float64(want), "frame-B")
	}
}

func (c *costCluster) sessions(b *testing.B, n int) []string {
	b.Helper()
	uris := make([]string, n)
	for i := range uris {
		uris[i] = c.sender.CreateSession(b)
	}
	return uris
}

// listen opens the sockets and counts what they get, until the returned
// function is called.
func (c *costCluster) listen(b *testing.B, k costCase, rooms []string, delivered, bytes *atomic.Int64) (stop func()) {
	b.Helper()
	var stops []func() error
	for _, g := range c.Gateways[:k.gateways] {
		for _, uri := range rooms {
			for range k.members {
				conn, err := dial(b.Context(), g.Gateway, uri, "", c.sender.Token)
				if err != nil {
					b.Fatal(err)
				}
				stops = append(stops, conn.Close)
				go func() {
					for {
						_, frame, err := conn.ReadMessage()
						if err != nil {
							return // closed by stop
						}
						bytes.Add(int64(len(frame)))
						delivered.Add(1)
					}
				}()
			}
		}
	}
	return func() {
		var errs []error
		for _, stop := range stops {
			errs = append(errs, stop())
		}
		if err := errors.Join(errs...); err != nil {
			b.Error(err)
		}
	}
}
