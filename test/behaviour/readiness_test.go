package behaviour_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/test/backends"
	"github.com/chatcluster/chatcluster/test/chatdtest"
	"github.com/chatcluster/chatcluster/test/checker"
)

// probe asks for a path at an address; the status is 0 if nothing answers.
func probe(t *testing.T, address, path string) (status int, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(data)
}

// report is what a probe shall be told: a part of the whole, and of the checks.
type report struct {
	code           int
	status, checks string
}

func (r report) fits(code int, body string) bool {
	return code == r.code && strings.HasPrefix(body, "{"+r.status) && strings.Contains(body, r.checks)
}

// TestReadinessWithoutABackend: a blip is forgiven, an outage is told, and what
// goes on without Cassandra does not make a replica unready.
func TestReadinessWithoutABackend(t *testing.T) {
	const grace = 4 * time.Second
	kafka, cassandra := backends.KafkaCluster(t, 1), backends.CassandraCluster(t, 1)
	c := chatdtest.NewCluster(t, kafka.Addrs(), cassandra.Addrs(), "--ready-grace="+grace.String())
	api, gateway, archiver := c.AddAPI(), c.AddGateway(), c.AddArchiver()
	user := chatdtest.Register(t, api, "amir")
	uri := user.CreateSession(t)
	send := func(text string) {
		t.Helper()
		if s := user.Send(t.Context(), uri, text, ""); s.Outcome != checker.Acked {
			t.Errorf("send %q: got %v, want that it is accepted", text, s.Outcome)
		}
	}
	send("with both") // from now on the replica knows the user and the session

	// All roles answer at their metrics address, those with an entrance there too.
	roles := map[string]string{
		"api": api.API, "gateway": gateway.Gateway, "archiver": archiver.Metrics, "api's metrics": api.Metrics, "gateway's metrics": gateway.Metrics,
	}
	await := func(when string, want map[string]report) {
		t.Helper()
		wrong := ""
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			wrong = ""
			for role, r := range want {
				if code, body := probe(t, roles[role], "/readyz"); !r.fits(code, body) {
					wrong = fmt.Sprintf("%s answers %d %s", role, code, body)
				}
			}
			if wrong == "" {
				return
			}
		}
		t.Fatalf("%s: %s", when, wrong)
	}
	ok := report{200, `"status":"ok"`, `{"name":"kafka","status":"ok"},{"name":"cassandra","status":"ok"}`}
	degraded := report{200, `"status":"degraded"`, `{"name":"kafka","status":"ok"},{"name":"cassandra","status":"degraded"}`}
	noStore := report{503, `"status":"fail"`, `{"name":"kafka","status":"ok"},{"name":"cassandra","status":"fail"}`}
	noLog := report{503, `"status":"fail"`, `{"name":"kafka","status":"fail"}`}
	all := func(r report) map[string]report {
		want := map[string]report{}
		for role := range roles {
			want[role] = r
		}
		return want
	}
	alive := func(when string) {
		t.Helper()
		for role, address := range roles {
			if status, body := probe(t, address, "/livez"); status != http.StatusOK {
				t.Errorf("%s: /livez of %s answers %d %s, want 200", when, role, status, body)
			}
		}
	}
	await("at first", all(ok))

	for _, node := range []*backends.Node{kafka.Nodes[0], cassandra.Nodes[0]} {
		node.Pause(t)
		for end := time.Now().Add(grace / 2); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			for role := range roles {
				if code, body := probe(t, roles[role], "/readyz"); !ok.fits(code, body) {
					t.Errorf("in a blip: %s answers %d %s, want that all is well", role, code, body)
				}
			}
		}
		node.Resume(t)
		await("after a blip", all(ok))
		time.Sleep(grace / 2) // nor does the blip count later
		await("after a blip", all(ok))
	}

	cassandra.Nodes[0].Pause(t)
	want := all(degraded)
	want["archiver"] = noStore
	await("without Cassandra", want)
	alive("without Cassandra")
	send("without Cassandra")
	if _, body := probe(t, api.Metrics, "/metrics"); !strings.Contains(body, `chat_dependency_up{dependency="cassandra"} 0`) || !strings.Contains(body, `chat_dependency_up{dependency="kafka"} 1`) {
		t.Error("the metrics do not say that Cassandra is away and Kafka is not")
	}
	cassandra.Nodes[0].Resume(t)
	await("with Cassandra again", all(ok))

	kafka.Nodes[0].Pause(t)
	await("without Kafka", all(noLog))
	alive("without Kafka")
	kafka.Nodes[0].Resume(t)
	await("with Kafka again", all(ok))
}
