package doctor_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/doctor"
	"github.com/chatcluster/chatcluster/internal/log/kafka"
	"github.com/chatcluster/chatcluster/internal/store/cassandra"
)

// wantFindings compares findings with "level text", where the text is part of
// the name, the finding or the advice, separated by |.
func wantFindings(t *testing.T, got []doctor.Finding, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("got %d findings %q, want %d", len(got), got, len(want))
		return
	}
	for i, f := range got {
		line := fmt.Sprintf("%s %s|%s|%s", f.Level, f.Name, f.Finding, f.Advice)
		level, texts, _ := strings.Cut(want[i], " ")
		for text := range strings.SplitSeq(texts, "|") {
			if string(f.Level) != level || !strings.Contains(line, text) {
				t.Errorf("finding %d: got %q, want %s that says %q", i, line, level, text)
			}
		}
		if strings.ContainsAny(line, "\r\n") {
			t.Errorf("finding %d: got %q, want one line", i, line)
		}
		if (f.Level == doctor.OK) != (f.Advice == "") {
			t.Errorf("finding %d: got %q, want advice where something is wrong, and only there", i, line)
		}
	}
}

var errDown = errors.New("connection refused\nand more")

func TestJudgeBrokers(t *testing.T) {
	tests := []struct {
		name                   string
		configured, advertised []doctor.Reached
		want                   []string
	}{
		{"all answer", []doctor.Reached{{Address: "a:1"}}, []doctor.Reached{{Address: "b:1"}}, []string{"ok kafka brokers|2 answered"}},
		{"none answers", []doctor.Reached{{"a:1", errDown}, {"b:1", errDown}}, nil, []string{"FAIL kafka broker a:1|refused; and|kafka-brokers", "FAIL kafka broker b:1"}},
		{"one cannot be reached where it says", []doctor.Reached{{Address: "a:1"}}, []doctor.Reached{{"b:1", errDown}},
			[]string{"FAIL b:1|advertised.listeners", "ok 1 answered"}},
		{"refused", []doctor.Reached{{"a:1", &kafka.DeniedError{Err: errDown}}}, nil, []string{"FAIL a:1|kafka-sasl-mechanism"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			wantFindings(t, doctor.JudgeBrokers(test.configured, test.advertised), test.want...)
		})
	}
}

func TestJudgeTopics(t *testing.T) {
	tests := []struct {
		name     string
		problems []kafka.Problem
		want     []string
	}{
		{"right", nil, []string{"ok kafka topics"}},
		{"wrong", []kafka.Problem{
			{Topic: "chat.rooms", Got: "missing", Want: "to be made by migrate"},
			{Topic: "chat.messages", Setting: "retention.ms", Got: "1", Want: "at least 2"},
		}, []string{"FAIL chat.rooms|missing|kafka-topic-prefix", "FAIL chat.messages|retention.ms=1|chatd migrate"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { wantFindings(t, doctor.JudgeTopics(test.problems), test.want...) })
	}
}

func TestJudgeReplicas(t *testing.T) {
	three := []int32{1, 2, 3}
	whole := kafka.PartitionState{Leader: 1, Replicas: three, InSync: three}
	behind := kafka.PartitionState{Leader: 1, Replicas: three, InSync: []int32{1, 2}}
	refusing := kafka.PartitionState{Leader: 1, Replicas: three, InSync: []int32{1}}
	leaderless := kafka.PartitionState{Leader: -1, Replicas: three, InSync: []int32{2}}
	var many []kafka.PartitionState
	for range 12 {
		many = append(many, behind)
	}
	tests := []struct {
		name       string
		partitions []kafka.PartitionState
		want       []string
	}{
		{"whole", []kafka.PartitionState{whole, whole}, []string{"ok chat.messages|2 partitions"}},
		{"behind", []kafka.PartitionState{whole, behind}, []string{"warn partition 1|broker 3"}},
		{"many behind", many, []string{"warn 8, 9 and 2 more"}},
		{"all at once", []kafka.PartitionState{leaderless, refusing, behind, whole},
			[]string{"FAIL leader: partition 0|broker 1, 2, 3", "FAIL min.insync.replicas=2|partition 1|migrate", "warn partition 2"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			topic := kafka.TopicState{Name: "chat.messages", MinInsync: 2, Partitions: test.partitions}
			wantFindings(t, doctor.JudgeReplicas(topic), test.want...)
		})
	}
}

func TestJudgeNodes(t *testing.T) {
	tests := []struct {
		name string
		all  []doctor.Asked
		want []string
	}{
		{"all answer", []doctor.Asked{{Host: "a"}, {Host: "b"}}, []string{"ok 2 answered"}},
		{"down", []doctor.Asked{{Host: "a", Err: fmt.Errorf("%w: %w", chat.ErrUnavailable, errDown)}, {Host: "b"}},
			[]string{"FAIL cassandra node a|refused; and|start it", "ok 1 answered"}},
		{"refused", []doctor.Asked{{Host: "a", Err: errDown}}, []string{"FAIL cassandra-username"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { wantFindings(t, doctor.JudgeNodes(test.all), test.want...) })
	}
}

func TestJudgeSchema(t *testing.T) {
	tests := []struct {
		name    string
		refused *cassandra.SchemaError
		want    string
	}{
		{"right", nil, "ok keyspace chat"},
		{"none", &cassandra.SchemaError{Keyspace: "chat", Want: 2}, "FAIL keyspace chat has no schema|cassandra-keyspace"},
		{"old", &cassandra.SchemaError{Keyspace: "chat", Found: 1, Want: 2}, "FAIL version 1, want 2|chatd migrate"},
		{"new", &cassandra.SchemaError{Keyspace: "chat", Found: 3, Want: 2}, "FAIL version 3|newer release"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			wantFindings(t, []doctor.Finding{doctor.JudgeSchema("chat", test.refused)}, test.want)
		})
	}
}

func TestClock(t *testing.T) {
	before := time.UnixMilli(1_700_000_000_000)
	after := before.Add(100 * time.Millisecond)
	tests := []struct {
		name  string
		clock time.Time
		skew  time.Duration
		want  string
	}{
		{"within the answer", before.Add(50 * time.Millisecond), 0, "ok agrees"},
		{"cut to milliseconds", before.Add(-time.Millisecond), 0, "ok agrees"},
		{"a little ahead", after.Add(time.Second), time.Second, "ok agrees"},
		{"ahead", after.Add(1500 * time.Millisecond), 1500 * time.Millisecond, "warn 1.5s ahead|NTP"},
		{"behind", before.Add(-3001 * time.Millisecond), -3 * time.Second, "warn 3s behind|NTP"},
		{"far behind", before.Add(-time.Hour), time.Millisecond - time.Hour, "FAIL behind|NTP"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			skew := doctor.Skew(cassandra.NodeState{Clock: test.clock, Before: before, After: after})
			if skew != test.skew {
				t.Errorf("got a skew of %v, want %v", skew, test.skew)
			}
			wantFindings(t, []doctor.Finding{doctor.JudgeClock("host", skew)}, test.want)
		})
	}
}

func TestJudgeLag(t *testing.T) {
	const warn, fail = 10, 100
	tests := []struct {
		name          string
		before, after doctor.Mark
		want          string
	}{
		{"empty", doctor.Mark{}, doctor.Mark{}, "ok 0 records"},
		{"archived", doctor.Mark{Next: 9, Archived: 9}, doctor.Mark{Next: 9, Archived: 9}, "ok 0 records"},
		{"moving", doctor.Mark{Next: 9, Archived: 5}, doctor.Mark{Next: 12, Archived: 8}, "ok 4 records"},
		{"new records since", doctor.Mark{Next: 9, Archived: 9}, doctor.Mark{Next: 12, Archived: 9}, "ok 3 records"},
		{"standing still", doctor.Mark{Next: 9, Archived: 5}, doctor.Mark{Next: 9, Archived: 5}, "warn 4 records behind, and standing still|chatd archive"},
		{"standing far behind", doctor.Mark{Next: 200}, doctor.Mark{Next: 210}, "FAIL 210 records behind, and standing still|chatd archive"},
		{"growing", doctor.Mark{Next: 50, Archived: 30}, doctor.Mark{Next: 90, Archived: 40}, "warn 50 records behind, and growing|more archivers"},
		{"far behind and growing", doctor.Mark{Next: 150, Archived: 30}, doctor.Mark{Next: 190, Archived: 40}, "FAIL 150 records behind, and growing"},
		{"catching up", doctor.Mark{Next: 90, Archived: 10}, doctor.Mark{Next: 90, Archived: 40}, "warn 50 records behind, and not growing|wait"},
		{"trimmed", doctor.Mark{First: 7, Next: 9, Archived: 5}, doctor.Mark{First: 7, Next: 9, Archived: 5}, "FAIL 2 records left the log|kafka-retention"},
		{"beyond the end", doctor.Mark{Next: 3, Archived: 5}, doctor.Mark{Next: 3, Archived: 5}, "FAIL beyond the end|brokers' logs"},
		{"unknown at first", doctor.Mark{Err: errDown}, doctor.Mark{}, "FAIL not measured: connection refused; and"},
		{"unknown then", doctor.Mark{}, doctor.Mark{Err: errDown}, "FAIL not measured"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			wantFindings(t, []doctor.Finding{doctor.JudgeLag(test.before, test.after, warn, fail)}, test.want)
		})
	}
}

func TestJudgeLags(t *testing.T) {
	before := []doctor.Mark{{Next: 9, Archived: 5}, {Next: 9, Archived: 9}, {Next: 9}}
	after := []doctor.Mark{{Next: 9, Archived: 8}, {Next: 9, Archived: 9}, {Next: 9}}
	wantFindings(t, doctor.JudgeLags(before, after, 10, 100), "warn archive of messages/2|9 records", "ok archive|2 partitions|at most 1 records")
}

func TestJudgeForeign(t *testing.T) {
	wantFindings(t, doctor.JudgeForeign(nil, "chat"))
	r := chat.ForeignRecord{Partition: chat.Partition{Topic: chat.TopicMessages, Number: 3}, Record: chat.Record{Offset: 17, Time: time.Unix(0, 0).UTC()}}
	wantFindings(t, doctor.JudgeForeign([]chat.ForeignRecord{r}, "chat"),
		"warn foreign records|messages/3 offset 17 of 1970-01-01T00:00:00Z|SELECT * FROM chat.foreign_records|30 days")
}

func TestJudgeEndpoint(t *testing.T) {
	ok := doctor.Answer{Status: http.StatusOK}
	tests := []struct {
		name        string
		live, ready doctor.Answer
		want        string
	}{
		{"ready", ok, ok, "ok is ready"},
		{"down", doctor.Answer{Err: errDown}, doctor.Answer{}, "FAIL refused; and|URL"},
		{"something else", doctor.Answer{Status: 404}, ok, "FAIL /livez answers 404"},
		{"went down", ok, doctor.Answer{Err: errDown}, "FAIL refused"},
		{"not ready", ok, doctor.Answer{Status: 503, Body: []byte(`{"status":"fail","checks":[{"name":"serving","status":"ok"},{"name":"gateway","status":"fail"}]}`)},
			"FAIL not ready (503): gateway|log"},
		{"ready in part", ok, doctor.Answer{Status: 200, Body: []byte(`{"status":"degraded","checks":[{"name":"serving","status":"ok"},{"name":"cassandra","status":"degraded"}]}`)},
			"warn is ready|cassandra"},
		{"not ready by a proxy", ok, doctor.Answer{Status: 502, Body: []byte("<html>")}, "FAIL not ready (502)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			wantFindings(t, []doctor.Finding{doctor.JudgeEndpoint(test.live, test.ready)}, test.want)
		})
	}
}
