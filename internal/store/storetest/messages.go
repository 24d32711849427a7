package storetest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

var messageTests = []storeTest{
	{"a message reads as it was put", messageRoundTrip},
	{"a room without messages", messageNone},
	{"putting none", messagePutNone},
	{"replays change nothing", messageReplay},
	{"every kind of query", messageQueries},
	{"bounds beyond what there is", messageFarBounds},
	{"expired messages are left out", messageExpiry},
	{"no message of a neighbouring URI", messageNeighbours},
	{"one batch for many rooms", messageManyRooms},
	{"queries agree with a model", messageModel},
}

// lifetime is how long the messages of newMessages live. It is long, so that a
// store that lets them expire by the clock still has them when a test asks.
const lifetime = 24 * time.Hour

// newMessage makes a message whose time rises with its place.
func newMessage(uri string, epoch uint32, offset int64) chat.Message {
	appended := start.Add(time.Duration(epoch)*time.Minute + time.Duration(offset)*time.Millisecond)
	return chat.Message{
		RoomURI: uri,
		ID:      chat.NewMessageID(epoch, offset, appended),
		Time:    appended,
		Expires: appended.Add(lifetime),
		Sender:  chat.Profile{ID: 7, Username: "user_a", Email: "a@mail.com", FirstName: "A", LastName: "B"},
		Text:    fmt.Sprintf("text of %d/%d", epoch, offset),
	}
}

// newMessages are n messages of one epoch, with gaps between their offsets.
func newMessages(uri string, epoch uint32, n int) []chat.Message {
	messages := make([]chat.Message, n)
	for i := range messages {
		messages[i] = newMessage(uri, epoch, int64(3*i+1))
	}
	return messages
}

func (s *suite) wantMessages(what string, q chat.MessageQuery, want []chat.Message) {
	s.Helper()
	got, err := s.store.Messages(s.ctx, q)
	s.must(err)
	if slices.Equal(got, want) {
		return
	}
	if !slices.Equal(texts(got), texts(want)) {
		s.Errorf("%s: query %+v:\n got %q\nwant %q", what, q, texts(got), texts(want))
		return
	}
	s.Errorf("%s: query %+v:\n got %+v\nwant %+v", what, q, got, want)
}

func messageRoundTrip(s *suite) {
	tests := []struct {
		name    string
		message chat.Message
	}{
		{"plain", newMessage(uniqueURI(), 1, 1)},
		{"the first offset", newMessage(uniqueURI(), 1, 0)},
		{"the largest offset", newMessage(uniqueURI(), 1, 1)},
		{"the largest epoch", newMessage(uniqueURI(), 1, 1)},
		{"long and not ASCII", newMessage(uniqueURI(), 1, 1)},
		{"a bare sender and no text", newMessage(uniqueURI(), 1, 1)},
	}
	tests[2].message.ID.Offset = chat.MaxOffset
	tests[3].message.ID.Epoch = 1<<31 - 1
	tests[4].message.Text = strings.Repeat("ü\n\x00'\"", 2000)
	tests[5].message.Sender = chat.Profile{ID: 1<<40 + 1, Username: "x"}
	tests[5].message.Text = ""
	for _, test := range tests {
		s.must(s.store.PutMessages(s.ctx, []chat.Message{test.message}))
		s.wantMessages(test.name, chat.MessageQuery{RoomURI: test.message.RoomURI, Limit: 2, Now: start}, []chat.Message{test.message})
	}
}

func messageNone(s *suite) {
	uri := uniqueURI()
	for _, newest := range []bool{false, true} {
		s.wantMessages("none", chat.MessageQuery{RoomURI: uri, Limit: 10, Newest: newest, Now: start}, nil)
	}
	oldest, err := s.store.OldestMessage(s.ctx, uri)
	s.must(err)
	check(s, "oldest", oldest, time.Time{})
}

func messagePutNone(s *suite) {
	s.must(s.store.PutMessages(s.ctx, nil))
}

func messageReplay(s *suite) {
	uri := uniqueURI()
	want := newMessages(uri, 1, 30)
	// As after a crash of the archiver: parts of it again, and again from the
	// beginning.
	for _, part := range [][]chat.Message{want[:10], want[:10], want[5:15], want[:1], want[14:], want} {
		s.must(s.store.PutMessages(s.ctx, part))
	}
	s.wantMessages("after replays", chat.MessageQuery{RoomURI: uri, Limit: 100, Now: start}, want)
}

// model answers q from all messages of the room, as the port says.
func model(all []chat.Message, q chat.MessageQuery) []chat.Message {
	var found []chat.Message
	for _, m := range all {
		in := (q.After.IsZero() || m.ID.Compare(q.After) > 0) && (q.Before.IsZero() || m.ID.Compare(q.Before) < 0)
		if in && m.Expires.After(q.Now) {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(a, b chat.Message) int { return a.ID.Compare(b.ID) })
	if n := min(q.Limit, len(found)); q.Newest {
		return found[len(found)-n:]
	} else {
		return found[:n]
	}
}

func messageQueries(s *suite) {
	uri := uniqueURI()
	// Two epochs whose offsets overlap.
	all := slices.Concat(newMessages(uri, 1, 6), newMessages(uri, 2, 6))
	s.must(s.store.PutMessages(s.ctx, all[:6]))
	s.must(s.store.PutMessages(s.ctx, all[6:]))

	bounds := []chat.MessageID{{}}
	for _, m := range all {
		beside := m.ID
		beside.Offset++ // between two messages
		bounds = append(bounds, m.ID, beside)
	}
	for _, after := range bounds {
		for _, before := range bounds {
			for _, limit := range []int{1, 2, 5, len(all), 100} {
				for _, newest := range []bool{false, true} {
					q := chat.MessageQuery{RoomURI: uri, After: after, Before: before, Limit: limit, Newest: newest, Now: start}
					s.wantMessages("query", q, model(all, q))
				}
			}
		}
	}
}

func messageFarBounds(s *suite) {
	uri := uniqueURI()
	all := newMessages(uri, 5, 3)
	s.must(s.store.PutMessages(s.ctx, all))
	early, late := chat.NewMessageID(4, chat.MaxOffset, start), chat.NewMessageID(6, 0, start)
	// The time of a bound takes no part in the order.
	first := chat.MessageID{Epoch: 5, Offset: all[0].ID.Offset, Time: 1}
	tests := []struct {
		name          string
		after, before chat.MessageID
		want          []chat.Message
	}{
		{"around", early, late, all},
		{"after the last epoch", late, chat.MessageID{}, nil},
		{"before the first epoch", chat.MessageID{}, early, nil},
		{"crossed", late, early, nil},
		{"a bound of another time", first, chat.MessageID{}, all[1:]},
		{"up to a bound of another time", chat.MessageID{}, first, nil},
	}
	for _, test := range tests {
		for _, newest := range []bool{false, true} {
			q := chat.MessageQuery{RoomURI: uri, After: test.after, Before: test.before, Limit: 10, Newest: newest, Now: start}
			s.wantMessages(test.name, q, test.want)
		}
	}
}

func messageExpiry(s *suite) {
	uri := uniqueURI()
	all := newMessages(uri, 1, 9)
	// The room's TTL was changed back and forth: what expires is not the oldest.
	for _, i := range []int{0, 3, 4, 8} {
		all[i].Expires = start.Add(time.Hour)
	}
	s.must(s.store.PutMessages(s.ctx, all))
	for _, now := range []time.Time{start, start.Add(time.Hour - 1e6), start.Add(time.Hour), start.Add(2 * time.Hour), start.Add(48 * time.Hour)} {
		for _, limit := range []int{1, 3, 5, 9} {
			for _, newest := range []bool{false, true} {
				q := chat.MessageQuery{RoomURI: uri, Limit: limit, Newest: newest, Now: now}
				s.wantMessages("at "+now.Sub(start).String(), q, model(all, q))
			}
		}
	}
}

// neighbours are URIs that lie around uri in every order of strings.
func neighbours(uri string) []string {
	return []string{uri[:len(uri)-1], uri + "0", uri + "\x00", uri + "\x00\x01", uri + "\xc3\xbf", uri + "/", strings.ToUpper(uri) + "x"}
}

func messageNeighbours(s *suite) {
	uri := uniqueURI()
	all := newMessages(uri, 1, 4)
	s.must(s.store.PutMessages(s.ctx, all))
	for _, other := range neighbours(uri) {
		s.must(s.store.PutMessages(s.ctx, newMessages(other, 1, 2)))
	}
	for _, newest := range []bool{false, true} {
		s.wantMessages("room", chat.MessageQuery{RoomURI: uri, Limit: 100, Newest: newest, Now: start}, all)
		q := chat.MessageQuery{RoomURI: uri, After: all[0].ID, Before: chat.NewMessageID(9, 0, start), Limit: 100, Newest: newest, Now: start}
		s.wantMessages("with bounds", q, all[1:])
		for _, other := range neighbours(uri) {
			s.wantMessages("neighbour", chat.MessageQuery{RoomURI: other, Limit: 100, Newest: newest, Now: start}, newMessages(other, 1, 2))
		}
	}

	n, err := s.store.DeleteMessages(s.ctx, uri, start.Add(time.Hour), start, false)
	s.must(err)
	check(s, "deleted", n, len(all))
	for _, other := range neighbours(uri) {
		s.wantMessages("neighbour after a delete", chat.MessageQuery{RoomURI: other, Limit: 100, Now: start}, newMessages(other, 1, 2))
	}
}

func messageManyRooms(s *suite) {
	const rooms, perRoom = 20, 30
	byRoom := map[string][]chat.Message{}
	uris := make([]string, rooms)
	for i := range uris {
		uris[i] = uniqueURI()
	}
	var batch []chat.Message
	for offset := range int64(rooms * perRoom) {
		m := newMessage(uris[offset%rooms], 1, offset)
		byRoom[m.RoomURI] = append(byRoom[m.RoomURI], m)
		batch = append(batch, m)
	}
	s.must(s.store.PutMessages(s.ctx, batch))
	for uri, want := range byRoom {
		s.wantMessages("room", chat.MessageQuery{RoomURI: uri, Limit: 2 * perRoom, Now: start}, want)
	}
}

func messageModel(s *suite) {
	seed := rand.Uint64()
	s.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	uri := uniqueURI()
	var all []chat.Message
	epoch, offset := uint32(1), int64(0)
	for len(all) < 300 {
		n := 1 + rng.IntN(20)
		batch := make([]chat.Message, n)
		for i := range batch {
			offset += 1 + rng.Int64N(4)
			batch[i] = newMessage(uri, epoch, offset)
			batch[i].Expires = start.Add(time.Duration(1+rng.IntN(48)) * time.Hour)
		}
		s.must(s.store.PutMessages(s.ctx, batch))
		all = append(all, batch...)
		if rng.IntN(8) == 0 {
			epoch, offset = epoch+1+rng.Uint32N(3), rng.Int64N(10)
		}
	}
	bound := func() chat.MessageID {
		id := all[rng.IntN(len(all))].ID
		switch rng.IntN(4) {
		case 0:
			return chat.MessageID{}
		case 1:
			id.Offset = max(0, id.Offset+rng.Int64N(7)-3)
		}
		return id
	}
	for range 300 {
		q := chat.MessageQuery{
			RoomURI: uri, After: bound(), Before: bound(), Limit: 1 + rng.IntN(60), Newest: rng.IntN(2) == 0,
			Now: start.Add(time.Duration(rng.IntN(50)) * time.Hour),
		}
		s.wantMessages("random query", q, model(all, q))
		if rng.IntN(10) == 0 {
			s.deleteAsModel(rng, uri, &all)
		}
	}
}

// deleteAsModel deletes at random from the store and from all, and compares.
func (s *suite) deleteAsModel(rng *rand.Rand, uri string, all *[]chat.Message) {
	s.Helper()
	cutoff := (*all)[rng.IntN(1+len(*all)/8)].Time
	now := start.Add(time.Duration(rng.IntN(3)) * time.Hour)
	kept := slices.DeleteFunc(slices.Clone(*all), func(m chat.Message) bool {
		return m.Time.Before(cutoff) || !m.Expires.After(now)
	})
	for _, dryRun := range []bool{true, false} {
		n, err := s.store.DeleteMessages(s.ctx, uri, cutoff, now, dryRun)
		s.must(err)
		check(s, fmt.Sprintf("deleted, dry run %t", dryRun), n, len(*all)-len(kept))
	}
	*all = kept
	slices.SortFunc(kept, func(a, b chat.Message) int { return a.ID.Compare(b.ID) })
	q := chat.MessageQuery{RoomURI: uri, Limit: 1000, Now: start}
	s.wantMessages("after a delete", q, kept)
}

var watermarkTests = []storeTest{
	{"a partition that was never archived", watermarkZero},
	{"a watermark only moves forward", watermarkMonotone},
	{"partitions are apart", watermarkApart},
	{"what was put before it is readable", watermarkAfterMessages},
	{"concurrent setters leave the highest", watermarkRace},
}

// uniquePartition is one that nobody has used before.
func uniquePartition() chat.Partition {
	return chat.Partition{Topic: chat.TopicMessages, Number: 1<<20 + rand.Int32N(1<<30)}
}

func (s *suite) wantWatermark(what string, p chat.Partition, want chat.Watermark) {
	s.Helper()
	got, err := s.store.Watermark(s.ctx, p)
	s.must(err)
	check(s, what, got, want)
}

func watermarkZero(s *suite) {
	s.wantWatermark("never archived", uniquePartition(), chat.Watermark{})
}

func watermarkMonotone(s *suite) {
	p := uniquePartition()
	steps := []struct {
		name      string
		set, want chat.Watermark
	}{
		{"the first", chat.Watermark{Epoch: 1, Next: 10}, chat.Watermark{Epoch: 1, Next: 10}},
		{"the same", chat.Watermark{Epoch: 1, Next: 10}, chat.Watermark{Epoch: 1, Next: 10}},
		{"a higher one", chat.Watermark{Epoch: 1, Next: 300}, chat.Watermark{Epoch: 1, Next: 300}},
		{"a lower one", chat.Watermark{Epoch: 1, Next: 299}, chat.Watermark{Epoch: 1, Next: 300}},
		{"a new epoch", chat.Watermark{Epoch: 2, Next: 1}, chat.Watermark{Epoch: 2, Next: 1}},
		{"the epoch before", chat.Watermark{Epoch: 1, Next: 5000}, chat.Watermark{Epoch: 2, Next: 1}},
		{"an epoch is skipped", chat.Watermark{Epoch: 4, Next: 0}, chat.Watermark{Epoch: 4, Next: 0}},
		{"the largest", chat.Watermark{Epoch: 4, Next: chat.MaxOffset}, chat.Watermark{Epoch: 4, Next: chat.MaxOffset}},
	}
	for _, step := range steps {
		s.must(s.store.SetWatermark(s.ctx, p, step.set))
		s.wantWatermark(step.name, p, step.want)
	}
}

func watermarkApart(s *suite) {
	p := uniquePartition()
	next, other := p, p
	next.Number++
	other.Topic = chat.TopicRooms
	s.must(s.store.SetWatermark(s.ctx, p, chat.Watermark{Epoch: 1, Next: 7}))
	s.wantWatermark("next partition", next, chat.Watermark{})
	s.wantWatermark("other topic", other, chat.Watermark{})
}

func watermarkAfterMessages(s *suite) {
	p, uri := uniquePartition(), uniqueURI()
	want := newMessages(uri, 1, 20)
	s.must(s.store.PutMessages(s.ctx, want))
	s.must(s.store.SetWatermark(s.ctx, p, chat.Watermark{Epoch: 1, Next: want[19].ID.Offset + 1}))
	s.wantMessages("below the watermark", chat.MessageQuery{RoomURI: uri, Limit: 100, Now: start}, want)
}

func watermarkRace(s *suite) {
	p := uniquePartition()
	marks := make([]chat.Watermark, 24)
	for i := range marks {
		marks[i] = chat.Watermark{Epoch: 1 + uint32(i%3), Next: int64(i)}
	}
	for _, err := range race(len(marks), func(i int) error { return s.store.SetWatermark(s.ctx, p, marks[i]) }) {
		s.must(err)
	}
	s.wantWatermark("the highest", p, slices.MaxFunc(marks, func(a, b chat.Watermark) int {
		return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Next, b.Next))
	}))
}
