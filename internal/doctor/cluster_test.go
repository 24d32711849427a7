package doctor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/doctor"
	"github.com/chatcluster/chatcluster/internal/log/kafka"
	"github.com/chatcluster/chatcluster/test/backends"
	"github.com/chatcluster/chatcluster/test/chatdtest"
	kafkago "github.com/segmentio/kafka-go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, backends.IgnoreNodes(), goleak.Cleanup(func(code int) {
		chatdtest.RemoveBinaries()
		os.Exit(code)
	}))
}

// examine runs chatctl doctor and answers its findings and exit code.
func examine(t *testing.T, args ...string) ([]doctor.Finding, int) {
	t.Helper()
	stdout, stderr, err := chatdtest.Run(t, "", "chatctl", append([]string{"doctor", "-o", "json"}, args...)...)
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	var findings []doctor.Finding
	if err := json.Unmarshal([]byte(stdout), &findings); err != nil {
		t.Fatalf("chatctl doctor: %v\n%s%s", err, stdout, stderr)
	}
	return findings, code
}

// bad are the findings that are not ok.
func bad(findings []doctor.Finding) []doctor.Finding {
	return slices.DeleteFunc(findings, func(f doctor.Finding) bool { return f.Level == doctor.OK })
}

// cluster is a cluster to break.
type cluster struct {
	*chatdtest.Cluster
	prefix string
}

// flags are those that name the cluster; of the others, those it has too win.
func (c cluster) flags(others ...string) []string { return append(slices.Clone(c.Data), others...) }

func (c cluster) topic(name string) string { return c.prefix + "." + name }

func (c cluster) admin(t *testing.T) *kafkago.Client {
	transport := &kafkago.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &kafkago.Client{Addr: kafkago.TCP(backends.Kafka(t)...), Transport: transport, Timeout: 20 * time.Second}
}

// await waits until the brokers know of a change.
func (c cluster) await(t *testing.T, known func(kafka.Overview) bool) {
	t.Helper()
	inspector, err := kafka.NewInspector(kafka.Options{Brokers: backends.Kafka(t), TopicPrefix: c.prefix})
	if err != nil {
		t.Fatal(err)
	}
	defer inspector.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		overview, err := inspector.Overview(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if known(overview) {
			return
		}
	}
}

func (c cluster) setMinInsync(t *testing.T, n int) {
	t.Helper()
	c.alter(t, "rooms", "min.insync.replicas", fmt.Sprint(n))
	c.await(t, func(o kafka.Overview) bool { return o.Topics[chat.TopicRooms].MinInsync == n })
}

func (c cluster) setPolicy(t *testing.T, policy string, problems int) {
	t.Helper()
	c.alter(t, "messages", "cleanup.policy", policy)
	c.await(t, func(o kafka.Overview) bool { return len(o.Problems) == problems })
}

func (c cluster) alter(t *testing.T, topic, setting, value string) {
	t.Helper()
	answer, err := c.admin(t).IncrementalAlterConfigs(t.Context(), &kafkago.IncrementalAlterConfigsRequest{
		Resources: []kafkago.IncrementalAlterConfigsRequestResource{{
			ResourceType: kafkago.ResourceTypeTopic, ResourceName: c.topic(topic),
			Configs: []kafkago.IncrementalAlterConfigsRequestConfig{{Name: setting, Value: value}},
		}},
	})
	if err == nil {
		err = answer.Resources[0].Error
	}
	if err != nil {
		t.Fatalf("set %s of %s: %v", setting, topic, err)
	}
}

func (c cluster) deleteTopic(t *testing.T, topic string) {
	t.Helper()
	answer, err := c.admin(t).DeleteTopics(t.Context(), &kafkago.DeleteTopicsRequest{Topics: []string{c.topic(topic)}})
	if err == nil {
		err = answer.Errors[c.topic(topic)]
	}
	if err != nil {
		t.Fatalf("delete %s: %v", topic, err)
	}
	c.await(t, func(o kafka.Overview) bool { return len(o.Problems) == 1 })
}

// TestCluster breaks a cluster, one part after the other, and asks what is
// found.
func TestCluster(t *testing.T) {
	running := chatdtest.StartCluster(t)
	prefix, _ := strings.CutPrefix(running.Data[1], "--kafka-topic-prefix=")
	c := cluster{running, prefix}
	server := running.Server(0)
	user := chatdtest.Register(t, server, "amir")
	room := user.CreateSession(t)
	endpoints := []string{"--server=http://" + server.API, "--gateway=ws://" + server.Gateway}

	findings, code := examine(t, c.flags(endpoints...)...)
	if code != 0 {
		t.Errorf("exit code of a healthy cluster: got %d, want 0", code)
	}
	wantFindings(t, findings, "ok kafka brokers|1 answered", "ok kafka topics",
		"ok replicas of "+c.topic("messages")+"|4 partitions", "ok "+c.topic("rooms"), "ok "+c.topic("signals")+"|1 partitions",
		"ok cassandra nodes|1 answered", "ok cassandra schema", "ok clock of", "ok archive|4 partitions",
		"ok api http://"+server.API, "ok gateway http://"+server.Gateway)

	running.Archivers[0].Kill()
	for range 20 {
		user.Send(t.Context(), room, "hi", "")
	}
	tests := []struct {
		name   string
		damage func()
		args   []string
		code   int
		want   []string
	}{
		{"no archiver", func() {}, nil, 0, []string{"warn archive of messages/|20 records behind, and standing still"}},
		{"no archiver for long", func() {}, []string{"--lag-fail=20"}, 1, []string{"FAIL archive of messages/|20 records behind"}},
		{"unknown keyspace", func() {}, []string{"--cassandra-keyspace=nowhere"}, 1,
			[]string{"FAIL cassandra schema|keyspace nowhere has no schema", "warn archive|not measured"}},
		{"a broker and a node too many", func() {}, []string{"--kafka-brokers=127.0.0.1:1," + backends.Kafka(t)[0], "--cassandra-hosts=127.0.0.1:1," + backends.Cassandra(t)[0]}, 1,
			[]string{"FAIL kafka broker 127.0.0.1:1|refused", "FAIL cassandra node 127.0.0.1:1|refused", "warn archive of messages/"}},
		{"a gateway that is gone", running.Gateways[0].Kill, endpoints, 1, []string{"warn archive of messages/", "FAIL gateway|refused"}},
		{"more replicas wanted than there are", func() { c.setMinInsync(t, 2) }, nil, 1,
			[]string{"FAIL replicas of " + c.topic("rooms") + "|min.insync.replicas=2|partition 0, 1, 2, 3", "warn archive of messages/"}},
		{"a wrong setting", func() {
			c.setMinInsync(t, 1)
			c.setPolicy(t, "compact", 1)
		}, nil, 1, []string{"FAIL " + c.topic("messages") + "|cleanup.policy=compact", "warn archive of messages/"}},
		{"no topic", func() {
			c.setPolicy(t, "delete", 0)
			c.deleteTopic(t, "signals")
		}, nil, 1, []string{"FAIL " + c.topic("signals") + " is missing|chatd migrate", "warn archive of messages/"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.damage()
			findings, code := examine(t, c.flags(test.args...)...)
			if code != test.code {
				t.Errorf("exit code: got %d, want %d", code, test.code)
			}
			wantFindings(t, bad(findings), test.want...)
		})
	}
}
