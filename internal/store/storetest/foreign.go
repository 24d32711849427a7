package storetest

import (
	"fmt"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

var foreignTests = []storeTest{
	{"none", foreignNone},
	{"any bytes, newest first", foreignOrder},
	{"partitions are apart", foreignApart},
	{"a replay changes nothing", foreignReplay},
	{"old ones are forgotten by and by, and stop nothing", foreignOld},
}

// foreign is a record that nobody can decode.
func foreign(p chat.Partition, epoch uint32, offset int64, t time.Time) chat.ForeignRecord {
	return chat.ForeignRecord{Partition: p, Epoch: epoch, Record: chat.Record{
		Offset: offset, Time: t, Key: fmt.Sprintf("key \x00\xff %d", offset), Value: []byte{0, 0xff, 0xfe, byte(offset)},
	}}
}

func (s *suite) wantForeign(what string, p chat.Partition, limit int, want ...chat.ForeignRecord) {
	s.Helper()
	got, err := s.store.ForeignOf(s.ctx, p, limit)
	s.must(err)
	check(s, what, append([]chat.ForeignRecord{}, got...), append([]chat.ForeignRecord{}, want...))
}

func foreignNone(s *suite) {
	s.must(s.store.PutForeign(s.ctx, nil))
	s.wantForeign("of a partition without any", uniquePartition(), 10)
}

func foreignOrder(s *suite) {
	p := uniquePartition()
	a, b, c := foreign(p, 1, 300, at(0)), foreign(p, 1, 7, at(0)), foreign(p, 2, 1, at(1))
	large := foreign(p, 2, 2, at(2))
	large.Value = make([]byte, chat.MaxForeignBytes)
	s.must(s.store.PutForeign(s.ctx, []chat.ForeignRecord{b, a}))
	s.must(s.store.PutForeign(s.ctx, []chat.ForeignRecord{c, large}))
	s.wantForeign("all", p, 10, large, c, a, b)
	s.wantForeign("the newest two", p, 2, large, c)
}

func foreignApart(s *suite) {
	p := uniquePartition()
	next, other := p, p
	next.Number++
	other.Topic = chat.TopicRooms
	r := foreign(p, 1, 1, at(0))
	s.must(s.store.PutForeign(s.ctx, []chat.ForeignRecord{r, foreign(next, 1, 2, at(0))}))
	s.wantForeign("the partition", p, 10, r)
	s.wantForeign("the next one", next, 10, foreign(next, 1, 2, at(0)))
	s.wantForeign("of another topic", other, 10)
}

func foreignReplay(s *suite) {
	p := uniquePartition()
	records := []chat.ForeignRecord{foreign(p, 1, 1, at(0)), foreign(p, 1, 2, at(1))}
	for range 2 {
		s.must(s.store.PutForeign(s.ctx, records))
	}
	s.wantForeign("put twice", p, 10, records[1], records[0])
}

func foreignOld(s *suite) {
	p := uniquePartition()
	old := foreign(p, 1, 1, start.Add(-chat.ForeignKept-time.Hour))
	kept := foreign(p, 1, 2, start.Add(-chat.ForeignKept+time.Hour))
	s.must(s.store.PutForeign(s.ctx, []chat.ForeignRecord{old}))
	s.must(s.store.PutForeign(s.ctx, []chat.ForeignRecord{kept, foreign(p, 1, 3, start)}))
	got, err := s.store.ForeignOf(s.ctx, p, 10)
	s.must(err)
	if len(got) < 2 || got[1].Offset != kept.Offset {
		s.Errorf("got %v, want the two that are not too old", got)
	}
}
