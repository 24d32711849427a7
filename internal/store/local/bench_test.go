package local_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/store/local"
)

// putRoom fills a room with n messages of a usual size.
func putRoom(b *testing.B, s *local.Store, uri string, n int) {
	b.Helper()
	const perBatch = 1000
	batch := make([]chat.Message, 0, perBatch)
	for i := range n {
		batch = append(batch, benchMessage(uri, int64(i)))
		if len(batch) == perBatch || i == n-1 {
			if err := s.PutMessages(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
			batch = batch[:0]
		}
	}
}

func benchMessage(uri string, offset int64) chat.Message {
	m := sampleMessage()
	m.RoomURI = uri
	m.ID.Offset = offset
	m.Text = fmt.Sprintf("message %d, which is about as long as what people write to each other", offset)
	return m
}

// BenchmarkPage reads pages of 50 from the middle and the end of rooms of two
// sizes: what a page costs must not depend on the size.
func BenchmarkPage(b *testing.B) {
	sizes := []int{1000, 1_000_000}
	if testing.Short() {
		sizes = []int{1000, 50_000}
	}
	dir := b.TempDir()
	s := openStore(b, dir)
	for _, n := range sizes {
		putRoom(b, s, fmt.Sprintf("room-%d", n), n)
	}
	closeStore(b, s)
	begin := time.Now()
	s = openStore(b, dir)
	b.Logf("start with %d messages: %v", sizes[0]+sizes[1], time.Since(begin))

	for _, n := range sizes {
		uri := fmt.Sprintf("room-%d", n)
		now := sampleMessage().Time
		pages := []struct {
			name  string
			query chat.MessageQuery
		}{
			{"newest", chat.MessageQuery{RoomURI: uri, Limit: 50, Newest: true, Now: now}},
			{"before the middle", chat.MessageQuery{RoomURI: uri, Before: chat.NewMessageID(1, int64(n/2), now), Limit: 50, Newest: true, Now: now}},
			{"after the middle", chat.MessageQuery{RoomURI: uri, After: chat.NewMessageID(1, int64(n/2), now), Limit: 50, Now: now}},
		}
		for _, page := range pages {
			b.Run(fmt.Sprintf("of %d, %s", n, page.name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					got, err := s.Messages(b.Context(), page.query)
					if err != nil || len(got) != 50 && len(got) != 49 {
						b.Fatalf("got %d messages, error %v, want a page", len(got), err)
					}
				}
			})
		}
	}
}

// BenchmarkPutMessages measures the archiver's step: a batch and the watermark.
func BenchmarkPutMessages(b *testing.B) {
	for _, n := range []int{1, 20, 500} {
		b.Run(fmt.Sprintf("batches of %d", n), func(b *testing.B) {
			s := openStore(b, b.TempDir())
			batch := make([]chat.Message, n)
			next := int64(0)
			b.ReportAllocs()
			for b.Loop() {
				for i := range batch {
					batch[i] = benchMessage("room", next)
					next++
				}
				if err := s.PutMessages(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
				mark := chat.Watermark{Epoch: 1, Next: next}
				if err := s.SetWatermark(b.Context(), chat.Partition{Topic: chat.TopicMessages}, mark); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(next)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// BenchmarkCreateUser measures durable changes, alone and side by side.
func BenchmarkCreateUser(b *testing.B) {
	for _, callers := range []int{1, 32} {
		b.Run(fmt.Sprintf("%d callers", callers), func(b *testing.B) {
			s := openStore(b, b.TempDir())
			work := make(chan int)
			done := make(chan error)
			for range callers {
				go func() {
					var err error
					for i := range work {
						u := chat.User{Profile: chat.Profile{Username: fmt.Sprintf("user_%d", i)}}
						if _, e := s.CreateUser(b.Context(), u); e != nil {
							err = e
						}
					}
					done <- err
				}()
			}
			i := 0
			for b.Loop() {
				work <- i
				i++
			}
			close(work)
			for range callers {
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
