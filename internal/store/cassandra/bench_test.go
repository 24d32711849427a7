package cassandra_test

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"golang.org/x/sync/errgroup"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// benchMessages is what an archiver puts at a time.
const benchMessages = 2000

// BenchmarkPut compares PutMessages with the bare driver writing the same rows
// in batches of 20 of one partition, 32 in flight, in turns. The ratio is the
// store's rate to the bare one.
func BenchmarkPut(b *testing.B) {
	o := newOptions(b)
	migrate(b, o)
	s := open(b, o)
	session := newSession(b, o)
	defer session.Close()
	from := start()
	prefix := rand.Text()
	next := int64(0)
	batch := func(rooms int) []chat.Message {
		all := make([]chat.Message, benchMessages)
		for i := range all {
			appended := from.Add(time.Duration(next) * time.Millisecond / 100)
			all[i] = chat.Message{
				RoomURI: fmt.Sprint(prefix, rooms, "-", i*rooms/benchMessages), ID: chat.NewMessageID(1, next, appended), Time: appended,
				Expires: appended.Add(48 * time.Hour), Sender: chat.Profile{ID: 1, Username: "user_a"}, Text: "a message of a usual length, which is about a hundred bytes or so",
			}
			next++
		}
		return all
	}
	for _, rooms := range []int{1, 100, 2000} {
		b.Run(fmt.Sprintf("rooms=%d", rooms), func(b *testing.B) {
			var store, bare time.Duration
			round := func() {
				all, began := batch(rooms), time.Now()
				if err := s.PutMessages(b.Context(), all); err != nil {
					b.Fatal(err)
				}
				between := time.Now()
				if err := putBare(session, o.Keyspace, all, min(20, benchMessages/rooms)); err != nil {
					b.Fatal(err)
				}
				store, bare = store+between.Sub(began), bare+time.Since(between)
			}
			round() // finds the buckets
			store, bare = 0, 0
			for b.Loop() {
				round()
			}
			rows := float64(b.N * benchMessages)
			b.ReportMetric(rows/store.Seconds(), "rows/s")
			b.ReportMetric(rows/bare.Seconds(), "bare-rows/s")
			b.ReportMetric(bare.Seconds()/store.Seconds(), "ratio")
		})
	}
}

func putBare(session *gocql.Session, keyspace string, messages []chat.Message, size int) error {
	var group errgroup.Group
	group.SetLimit(32)
	for len(messages) > 0 {
		part := messages[:min(size, len(messages))]
		messages = messages[len(part):]
		batch := session.Batch(gocql.UnloggedBatch)
		for _, m := range part {
			batch.Query(`INSERT INTO `+keyspace+`.messages_days (room, start_epoch, start_offset, epoch, log_offset, appended, expires, sender_id, username, email, first_name, last_name, body)
				VALUES (?, 0, 0, 1, ?, ?, ?, ?, ?, '', '', '', ?) USING TTL 172800`, m.RoomURI+"-bare", m.ID.Offset, m.Time, m.Expires, m.Sender.ID, m.Sender.Username, m.Text)
		}
		group.Go(batch.Exec)
	}
	return group.Wait()
}
