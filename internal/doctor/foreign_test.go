package doctor_test

import (
	"strings"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/chatcluster/chatcluster/test/chatdtest"
)

// TestForeignRecord: what somebody else has written to the topic does not stop
// the archiver, and is found.
func TestForeignRecord(t *testing.T) {
	running := chatdtest.StartCluster(t)
	prefix, _ := strings.CutPrefix(running.Data[1], "--kafka-topic-prefix=")
	c := cluster{running, prefix}
	answer, err := c.admin(t).Produce(t.Context(), &kafkago.ProduceRequest{
		Topic: c.topic("messages"), Partition: 2, RequiredAcks: kafkago.RequireAll,
		Records: kafkago.NewRecordReader(kafkago.Record{Value: kafkago.NewBytes([]byte("I am not an event"))}),
	})
	if err == nil {
		err = answer.Error
	}
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for {
		findings, code := examine(t, c.flags()...)
		found := bad(findings)
		archived := len(found) == 1 && found[0].Name == "foreign records"
		if archived || time.Now().After(deadline) {
			wantFindings(t, found, "warn foreign records|messages/2 offset 0|foreign_records")
			if code != 0 {
				t.Errorf("exit code: got %d, want 0", code)
			}
			return
		}
	}
}
