package behaviour_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/test/backends"
	"github.com/chatcluster/chatcluster/test/chatdtest"
	"github.com/chatcluster/chatcluster/test/checker"
)

// TestCassandraOutage: while all of Cassandra hangs, and while it is dead,
// sending, the history that is in the log, and resumes go on; a new
// session is refused, a replica that starts waits, and everything works again
// afterwards.
func TestCassandraOutage(t *testing.T) {
	cassandra := backends.CassandraCluster(t, 1)
	c := chatdtest.NewCluster(t, backends.Kafka(t), cassandra.Addrs())
	c.AddAPI()
	c.AddGateway()
	c.AddArchiver()
	amir := chatdtest.Register(t, c.Server(0), "amir")
	uri := amir.CreateSession(t)
	log := &checker.Log{}
	receiver := amir.NewReceiver(log, uri)
	for receiver.Last() == "" {
		connect(t.Context(), receiver)
	}
	var want []string
	send := func(count int) {
		t.Helper()
		for range count {
			text := fmt.Sprint(len(want))
			sent := amir.Send(t.Context(), uri, text, "key "+text)
			if sent.Outcome != checker.Acked {
				t.Fatalf("send %s: got outcome %v, want it acknowledged", text, sent.Outcome)
			}
			log.AddSend(sent)
			want = append(want, text)
		}
	}
	history := func(when string) {
		t.Helper()
		messages, err := amir.WholeHistory(t.Context(), uri)
		if err != nil || len(messages) != len(want) {
			t.Fatalf("%s: got %d messages, %v, want %d", when, len(messages), err, len(want))
		}
		for i, m := range messages {
			if m.Text != want[i] {
				t.Fatalf("%s: message %d is %q, want %q", when, i, m.Text, want[i])
			}
		}
	}
	send(20)
	history("before")

	node := cassandra.Nodes[0]
	for _, outage := range []struct {
		name       string
		begin, end func(testing.TB)
	}{
		{"hangs", node.Pause, node.Resume},
		{"dead", node.Kill, node.Restart},
	} {
		outage.begin(t)
		send(10)
		history(outage.name)
		connect(t.Context(), receiver)
		// What nobody can know is refused.
		answer, err := amir.Call(t.Context(), http.MethodPost, "/api/chats/", url.Values{})
		if err != nil || answer.Status != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
			t.Errorf("%s: a new session: got %d, %v, want 503 with Retry-After", outage.name, answer.Status, err)
		}
		late, await := c.BeginAPI("127.0.0.1:0")
		outage.end(t)
		await()
		if late.API == "" || !late.Running() {
			t.Errorf("a replica that started meanwhile: got address %q and running %t, want it to serve", late.API, late.Running())
		}
		late.Stop(t)
		for began := time.Now(); ; time.Sleep(200 * time.Millisecond) {
			answer, err := amir.Call(t.Context(), http.MethodPost, "/api/chats/", url.Values{})
			if err == nil && answer.Status == http.StatusOK {
				break
			}
			if time.Since(began) > time.Minute {
				t.Fatalf("after %s: a new session: got %d, %v, want 200", outage.name, answer.Status, err)
			}
		}
		history("after " + outage.name)
	}
	for began := time.Now(); receiver.Last() == "" || time.Since(began) < time.Second; {
		connect(t.Context(), receiver)
	}
	if losses := receiver.Losses(); len(losses) > 0 {
		t.Errorf("resumes that were not complete: got %v, want none", losses)
	}
	final, err := amir.WholeHistory(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range log.Check(map[string][]checker.Message{uri: final}) {
		t.Error(v)
	}
}
