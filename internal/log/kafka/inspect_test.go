package kafka_test

import (
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/log/kafka"
)

func newInspector(t *testing.T, o kafka.Options) *kafka.Inspector {
	t.Helper()
	i, err := kafka.NewInspector(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	return i
}

func TestInspect(t *testing.T) {
	o := options(t)
	ctx := testContext(t)
	i := newInspector(t, o)
	if err := i.Reach(ctx, o.Brokers[0]); err != nil {
		t.Errorf("Reach: %v, want none", err)
	}
	before, err := i.Overview(ctx)
	if err != nil || len(before.Topics) != 0 || len(before.Problems) != 3 {
		t.Errorf("Overview without topics: %+v, %v, want 3 problems", before, err)
	}
	l := newLog(t, o, 2)
	for range 3 {
		if _, _, err := l.Append(ctx, partition(1), "room", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	overview, err := i.Overview(ctx)
	if err != nil || len(overview.Problems) != 0 || len(overview.Brokers) == 0 {
		t.Fatalf("Overview: %+v, %v, want brokers and no problems", overview, err)
	}
	topic := overview.Topics[chat.TopicMessages]
	if topic.Name != o.TopicPrefix+".messages" || len(topic.ID) != 32 || topic.MinInsync != 1 || len(topic.Partitions) != 2 {
		t.Errorf("the topic is %+v, want its name, an id, 1 in-sync replica and 2 partitions", topic)
	}
	for n, p := range topic.Partitions {
		if p.Leader < 0 || !slices.Equal(p.Replicas, []int32{p.Leader}) || !slices.Equal(p.InSync, p.Replicas) {
			t.Errorf("partition %d is %+v, want one replica, which leads", n, p)
		}
	}
	if first, next, err := i.Ends(ctx, overview, partition(1)); err != nil || first != 0 || next != 3 {
		t.Errorf("Ends: %d, %d, %v, want 0 and 3", first, next, err)
	}
	if _, _, err := i.Ends(ctx, overview, partition(2)); err == nil {
		t.Error("Ends of no partition: no error, want one")
	}
	overview.Topics[chat.TopicMessages].Partitions[0].Leader = -1
	if _, _, err := i.Ends(ctx, overview, partition(0)); err == nil || !strings.Contains(err.Error(), "no leader") {
		t.Errorf("Ends without a leader: %v, want that there is none", err)
	}
}

// TestNoBroker asks what is no broker: the answer is soon, whatever that says.
func TestNoBroker(t *testing.T) {
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for c, err := web.Accept(); err == nil; c, err = web.Accept() {
			io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n400 Bad Request")
			c.Close()
		}
	})
	defer serving.Wait()
	defer web.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, test := range []struct {
		name, address, want string
	}{
		{"a web server", web.Addr().String(), "no Kafka broker"},
		{"one that is silent", silent.Addr().String(), context.DeadlineExceeded.Error()},
	} {
		t.Run(test.name, func(t *testing.T) {
			i := newInspector(t, kafka.Options{Brokers: []string{test.address}, DialTimeout: time.Second})
			began := time.Now()
			if err := i.Reach(testContext(t), test.address); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Reach: %v, want it to say %q", err, test.want)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("Reach took %v, want it to end soon", took)
			}
		})
	}
}
