package storetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

var retentionTests = []storeTest{
	{"the cutoff only moves forward", cutoffMonotone},
	{"rooms with messages", eachRoom},
	{"rooms beyond another", eachRoomAfter},
	{"an error ends the listing of rooms", eachRoomError},
	{"rooms are deleted from while they are listed", eachRoomDeletes},
	{"deleting by cutoff and by expiry", deleteMessages},
	{"deleting most of a large room", deleteLarge},
	{"newer messages are put during and after a delete", deleteThenPut},
	{"the oldest message", oldestMessage},
}

func cutoffMonotone(s *suite) {
	// Wherever an earlier run has left it.
	found, err := s.store.Cutoff(s.ctx)
	s.must(err)
	base := found
	if base.IsZero() {
		base = start.Add(-1000 * time.Hour)
	}
	steps := []struct {
		name      string
		set, want time.Time
	}{
		{"forward", base.Add(time.Millisecond), base.Add(time.Millisecond)},
		{"back", base.Add(-time.Hour), base.Add(time.Millisecond)},
		{"to zero", time.Time{}, base.Add(time.Millisecond)},
		{"the same", base.Add(time.Millisecond), base.Add(time.Millisecond)},
		{"forward again", base.Add(5 * time.Millisecond), base.Add(5 * time.Millisecond)},
	}
	for _, step := range steps {
		s.must(s.store.SetCutoff(s.ctx, step.set))
		got, err := s.store.Cutoff(s.ctx)
		s.must(err)
		if !got.Equal(step.want) {
			s.Errorf("%s: got %v, want %v", step.name, got, step.want)
		}
	}
}

// eachMessageRoom are the rooms that are listed beyond after.
func (s *suite) eachMessageRoom(after string) []string {
	s.Helper()
	var uris []string
	s.must(s.store.EachMessageRoom(s.ctx, after, func(uri string) error {
		uris = append(uris, uri)
		return nil
	}))
	return uris
}

// putRooms puts a few messages into each of n new rooms.
func (s *suite) putRooms(n int) []string {
	s.Helper()
	uris := make([]string, n)
	for i := range uris {
		uris[i] = uniqueURI()
		s.must(s.store.PutMessages(s.ctx, newMessages(uris[i], 1, 1+i%4)))
	}
	return uris
}

func eachRoom(s *suite) {
	// More rooms than an adapter may look up at a time, some with neighbours.
	mine := s.putRooms(300)
	for _, other := range neighbours(mine[0]) {
		s.must(s.store.PutMessages(s.ctx, newMessages(other, 1, 2)))
		mine = append(mine, other)
	}
	empty := s.create(newSession(uniqueID())).URI
	listed := s.eachMessageRoom("")
	times := map[string]int{}
	for _, uri := range listed {
		times[uri]++
	}
	for _, uri := range mine {
		if times[uri] != 1 {
			s.Errorf("room %q: got listed %d times, want once", uri, times[uri])
		}
	}
	if times[empty] != 0 {
		s.Errorf("room %q without messages: got listed", empty)
	}
	n, err := s.store.DeleteMessages(s.ctx, mine[0], start.Add(time.Hour), start, false)
	s.must(err)
	check(s, "deleted", n, 1)
	if slices.Contains(s.eachMessageRoom(""), mine[0]) {
		s.Errorf("room %q, whose messages are all deleted: got listed", mine[0])
	}
}

func eachRoomAfter(s *suite) {
	mine := s.putRooms(5)
	isMine := func(uri string) bool { return slices.Contains(mine, uri) }
	keepMine := func(uris []string) []string {
		return slices.DeleteFunc(uris, func(uri string) bool { return !isMine(uri) })
	}
	order := keepMine(s.eachMessageRoom(""))
	check(s, "order of a second listing", keepMine(s.eachMessageRoom("")), order)
	if len(order) != len(mine) {
		s.Fatalf("got %d rooms, want %d", len(order), len(mine))
	}
	for i, after := range order {
		got := keepMine(s.eachMessageRoom(after))
		check(s, fmt.Sprintf("beyond room %d", i), append([]string{}, got...), append([]string{}, order[i+1:]...))
	}
}

func eachRoomError(s *suite) {
	s.putRooms(3)
	want := errors.New("enough")
	calls := 0
	err := s.store.EachMessageRoom(s.ctx, "", func(string) error {
		calls++
		if calls == 2 {
			return want
		}
		return nil
	})
	s.wantError("from f", err, want)
	check(s, "calls", calls, 2)
}

func eachRoomDeletes(s *suite) {
	mine := s.putRooms(150)
	deleted := 0
	s.must(s.store.EachMessageRoom(s.ctx, "", func(uri string) error {
		if !slices.Contains(mine, uri) {
			return nil
		}
		n, err := s.store.DeleteMessages(s.ctx, uri, start.Add(time.Hour), start, false)
		if n > 0 {
			deleted++
		}
		return err
	}))
	check(s, "rooms deleted from", deleted, len(mine))
}

func deleteMessages(s *suite) {
	none := time.Time{}
	expiry := start.Add(time.Hour)
	// Of ten messages, these expire at expiry, and the others later.
	expiring := []int{1, 2, 7}
	tests := []struct {
		name        string
		cutoff, now time.Time
		want        []int // those deleted
	}{
		{"neither", none, start, nil},
		{"cutoff before the first", newMessage("", 1, 1).Time, start, nil},
		{"cutoff after the first", newMessage("", 1, 1).Time.Add(time.Millisecond), start, []int{0}},
		{"cutoff in the middle", newMessage("", 1, 3*5+1).Time, start, []int{0, 1, 2, 3, 4}},
		{"cutoff after all", start.Add(24 * time.Hour), start, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{"just not expired", none, expiry.Add(-time.Millisecond), nil},
		{"expired", none, expiry, expiring},
		{"both", newMessage("", 1, 3*2+1).Time, expiry.Add(time.Second), []int{0, 1, 2, 7}},
		{"all expired", none, start.Add(72 * time.Hour), []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
	}
	for _, test := range tests {
		uri := uniqueURI()
		all := newMessages(uri, 1, 10)
		for _, i := range expiring {
			all[i].Expires = expiry
		}
		s.must(s.store.PutMessages(s.ctx, all))
		everything := chat.MessageQuery{RoomURI: uri, Limit: 100, Now: start}

		n, err := s.store.DeleteMessages(s.ctx, uri, test.cutoff, test.now, true)
		s.must(err)
		check(s, test.name+": dry run", n, len(test.want))
		s.wantMessages(test.name+": after the dry run", everything, all)

		n, err = s.store.DeleteMessages(s.ctx, uri, test.cutoff, test.now, false)
		s.must(err)
		check(s, test.name+": deleted", n, len(test.want))
		var kept []chat.Message
		for i, m := range all {
			if !slices.Contains(test.want, i) {
				kept = append(kept, m)
			}
		}
		s.wantMessages(test.name+": kept", everything, kept)
		everything.Newest = true
		s.wantMessages(test.name+": kept, from the end", everything, kept)

		n, err = s.store.DeleteMessages(s.ctx, uri, test.cutoff, test.now, false)
		s.must(err)
		check(s, test.name+": a second time", n, 0)
	}
	n, err := s.store.DeleteMessages(s.ctx, uniqueURI(), start.Add(time.Hour), start, false)
	s.must(err)
	check(s, "of a room without messages", n, 0)
}

func deleteLarge(s *suite) {
	uri := uniqueURI()
	const n, kept = 5000, 40
	all := newMessages(uri, 1, n)
	for part := range slices.Chunk(all, 500) {
		s.must(s.store.PutMessages(s.ctx, part))
	}
	cutoff := all[n-kept].Time
	for _, dryRun := range []bool{true, false} {
		got, err := s.store.DeleteMessages(s.ctx, uri, cutoff, start, dryRun)
		s.must(err)
		check(s, fmt.Sprintf("deleted, dry run %t", dryRun), got, n-kept)
	}
	s.wantMessages("kept", chat.MessageQuery{RoomURI: uri, Limit: n, Now: start}, all[n-kept:])
}

func deleteThenPut(s *suite) {
	uri := uniqueURI()
	all := newMessages(uri, 1, 60)
	s.must(s.store.PutMessages(s.ctx, all[:40]))
	cutoff := all[40].Time
	counts := make([]int, 2)
	errs := race(2, func(i int) (err error) {
		if i == 0 {
			counts[0], err = s.store.DeleteMessages(s.ctx, uri, cutoff, start, false)
			return err
		}
		return s.store.PutMessages(s.ctx, all[40:50])
	})
	s.must(errors.Join(errs...))
	check(s, "deleted", counts[0], 40)
	s.must(s.store.PutMessages(s.ctx, all[50:]))
	s.wantMessages("newer ones", chat.MessageQuery{RoomURI: uri, Limit: 100, Now: start}, all[40:])
}

func oldestMessage(s *suite) {
	uri := uniqueURI()
	all := slices.Concat(newMessages(uri, 1, 5), newMessages(uri, 2, 5))
	s.must(s.store.PutMessages(s.ctx, all))
	want := func(what string, t time.Time) {
		s.Helper()
		got, err := s.store.OldestMessage(s.ctx, uri)
		s.must(err)
		check(s, what, got, t)
	}
	want("the first", all[0].Time)
	for _, i := range []int{3, 7} {
		_, err := s.store.DeleteMessages(s.ctx, uri, all[i].Time, start, false)
		s.must(err)
		want(fmt.Sprintf("after %d were deleted", i), all[i].Time)
	}
	_, err := s.store.DeleteMessages(s.ctx, uri, start.Add(time.Hour), start, false)
	s.must(err)
	want("after all were deleted", time.Time{})
}
