package cassandra_test

import (
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/store/cassandra"
)

// messagesAt are n messages, the first at offset from, one a second from start.
func messagesAt(room string, from int64, start time.Time, n int, ttl time.Duration) []chat.Message {
	messages := make([]chat.Message, n)
	for i := range messages {
		appended := start.Add(time.Duration(i) * time.Second)
		messages[i] = chat.Message{
			RoomURI: room, ID: chat.NewMessageID(1, from+int64(i), appended), Time: appended, Expires: appended.Add(ttl),
			Sender: chat.Profile{ID: 1, Username: "user_a"}, Text: fmt.Sprint("text ", from+int64(i)),
		}
	}
	return messages
}

func put(t *testing.T, s *cassandra.Store, messages []chat.Message) {
	t.Helper()
	if err := s.PutMessages(t.Context(), messages); err != nil {
		t.Fatalf("put messages: got error %v, want none", err)
	}
}

// wantRoom fails the test unless the room has those messages, in pages of any
// size and in both directions.
func wantRoom(t *testing.T, s *cassandra.Store, room string, now time.Time, want []chat.Message) {
	t.Helper()
	for _, limit := range []int{1, 7, 1000} {
		var up, down []chat.Message
		q := chat.MessageQuery{RoomURI: room, Limit: limit, Now: now}
		for {
			page, err := s.Messages(t.Context(), q)
			if err != nil {
				t.Fatalf("messages: got error %v, want none", err)
			}
			if up = append(up, page...); len(page) < limit {
				break
			}
			q.After = page[len(page)-1].ID
		}
		q = chat.MessageQuery{RoomURI: room, Limit: limit, Now: now, Newest: true}
		for {
			page, err := s.Messages(t.Context(), q)
			if err != nil {
				t.Fatalf("messages: got error %v, want none", err)
			}
			if down = append(slices.Clone(page), down...); len(page) < limit {
				break
			}
			q.Before = page[0].ID
		}
		if !slices.Equal(up, want) {
			t.Errorf("room in pages of %d: got %d messages, want %d", limit, len(up), len(want))
		}
		if !slices.Equal(down, want) {
			t.Errorf("room in pages of %d from the end: got %d messages, want %d", limit, len(down), len(want))
		}
	}
}

// start is old enough that the messages of many buckets are not in the future.
func start() time.Time { return time.Now().UTC().Truncate(time.Second).Add(-time.Hour) }

func manyBuckets(t *testing.T, o cassandra.Options) {
	room := "room-" + rand.Text()
	s := open(t, o)
	// A 20th of two hours is six minutes: ten buckets in an hour.
	all := messagesAt(room, 100, start(), 300, 2*time.Hour)
	for i := range all {
		all[i].Time = all[0].Time.Add(time.Duration(i) * 12 * time.Second)
		all[i].ID = chat.NewMessageID(1, 100+int64(i), all[i].Time)
		all[i].Expires = all[i].Time.Add(2 * time.Hour)
	}
	for part := range slices.Chunk(all, 40) {
		put(t, s, part)
	}
	wantRoom(t, s, room, time.Now(), all)
	wantBuckets(t, o, room, 10)

	// Another archiver goes through all of it again: it finds the old buckets.
	again := open(t, o)
	for part := range slices.Chunk(all, 70) {
		put(t, again, part)
	}
	wantBuckets(t, o, room, 10)
	wantRoom(t, again, room, time.Now(), all)
}

// wantBuckets fails the test unless the room has so many buckets, with all its
// rows in them.
func wantBuckets(t *testing.T, o cassandra.Options, room string, want int) {
	t.Helper()
	session := newSession(t, o)
	defer session.Close()
	var got int
	if err := session.Query(`SELECT COUNT(*) FROM `+o.Keyspace+`.room_buckets WHERE room = ?`, room).Scan(&got); err != nil {
		t.Fatalf("count buckets: got error %v, want none", err)
	}
	if got != want {
		t.Errorf("buckets: got %d, want %d", got, want)
	}
}

// relievedWriter: an archiver that does not know yet that it has been
// relieved goes on in the old bucket while the other has ended it for its size,
// and its watermark covers rows that the other has not come to.
func relievedWriter(t *testing.T, o cassandra.Options) {
	room := "room-" + rand.Text()
	relieved, other := open(t, o), open(t, o)
	all := messagesAt(room, 0, start(), 60, 48*time.Hour)
	put(t, relieved, all[:20])
	put(t, other, all[10:20])
	other.EndBucket(room)
	put(t, other, all[20:30])    // in a second bucket
	put(t, relieved, all[20:50]) // in the first
	wantRoom(t, other, room, time.Now(), all[:50])
	put(t, other, all[30:])
	wantRoom(t, relieved, room, time.Now(), all)
	wantBuckets(t, o, room, 2)

	n, err := other.DeleteMessages(t.Context(), room, all[45].Time, time.Now(), false)
	if err != nil {
		t.Fatalf("delete: got error %v, want none", err)
	}
	if n < 45 {
		t.Errorf("deleted: got %d, want at least 45", n)
	}
	wantRoom(t, other, room, time.Now(), all[45:])
}

func replayAfterDelete(t *testing.T, o cassandra.Options) {
	room := "room-" + rand.Text()
	s := open(t, o)
	all := messagesAt(room, 0, start(), 100, 48*time.Hour)
	put(t, s, all)
	if _, err := s.DeleteMessages(t.Context(), room, all[60].Time, time.Now(), false); err != nil {
		t.Fatalf("delete: got error %v, want none", err)
	}
	put(t, s, all)
	wantRoom(t, s, room, time.Now(), all[60:])
}

func rowsExpire(t *testing.T, o cassandra.Options) {
	room := "room-" + rand.Text()
	s := open(t, o)
	all := messagesAt(room, 0, start(), 3, 2*time.Hour)
	all[0].Expires = time.Now().Add(-time.Second) // not worth writing
	put(t, s, all)
	wantRoom(t, s, room, time.Time{}, all[1:])

	session := newSession(t, o)
	defer session.Close()
	rows := session.Query(`SELECT TTL(body), WRITETIME(body), appended FROM `+o.Keyspace+`.messages_days
		WHERE room = ? AND start_epoch = 1 AND start_offset = 1`, room).Iter().Scanner()
	for rows.Next() {
		var ttl, written int64
		var appended time.Time
		if err := rows.Scan(&ttl, &written, &appended); err != nil {
			t.Fatal(err)
		}
		left := int64(time.Until(appended.Add(2*time.Hour)) / time.Second)
		if ttl < left-1 || ttl > left+2 {
			t.Errorf("ttl: got %d s, want about %d s", ttl, left)
		}
		if written != appended.UnixMicro() {
			t.Errorf("timestamp: got %d, want the record's %d", written, appended.UnixMicro())
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

func classesOfRetention(t *testing.T, o cassandra.Options) {
	room := "room-" + rand.Text()
	s := open(t, o)
	from := start()
	var all []chat.Message
	for i, ttl := range []time.Duration{time.Hour * 2, 10 * 24 * time.Hour, 400 * 24 * time.Hour, 2 * time.Hour} {
		all = append(all, messagesAt(room, int64(10*i), from.Add(time.Duration(i)*time.Minute), 10, ttl)...)
	}
	put(t, s, all)
	wantRoom(t, s, room, time.Now(), all)
}

func foreignText(t *testing.T, o cassandra.Options) {
	room := "room-" + rand.Text()
	s := open(t, o)
	all := messagesAt(room, 0, start(), 2, 48*time.Hour)
	all[0].Text, all[0].Sender.Username = "a\xffb", "\xfe"
	impossible := messagesAt("\xff", 0, start(), 1, 48*time.Hour)
	put(t, s, append(slices.Clone(all), impossible...))
	all[0].Text, all[0].Sender.Username = "a�b", "�"
	wantRoom(t, s, room, time.Now(), all)
}

func staleWatermark(t *testing.T, o cassandra.Options) {
	stale, current := open(t, o), open(t, o)
	p := chat.Partition{Topic: chat.TopicMessages, Number: 3}
	var writers sync.WaitGroup
	for i, s := range []*cassandra.Store{stale, current} {
		writers.Go(func() {
			for next := range int64(50) {
				if err := s.SetWatermark(t.Context(), p, chat.Watermark{Epoch: 7, Next: next * int64(i+1)}); err != nil {
					t.Errorf("set watermark: got error %v, want none", err)
				}
			}
		})
	}
	writers.Wait()
	if err := stale.SetWatermark(t.Context(), p, chat.Watermark{Epoch: 6, Next: 1 << 40}); err != nil {
		t.Errorf("set watermark of an earlier epoch: got error %v, want none", err)
	}
	want := chat.Watermark{Epoch: 7, Next: 98}
	if got, err := current.Watermark(t.Context(), p); err != nil || got != want {
		t.Errorf("watermark: got %v, error %v, want %v", got, err, want)
	}
}
