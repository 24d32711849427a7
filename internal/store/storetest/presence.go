package storetest

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

var presenceTests = []storeTest{
	{"leases are put, renewed and dropped", presenceLeases},
	{"rows by room and by gateway", presenceRows},
	{"a row takes the place of an earlier one", presenceOverwrite},
	{"a dropped lease leaves its rows", presenceDropLease},
	{"neighbouring rooms and gateways are apart", presenceNeighbours},
	{"rows within the window are kept", presenceWindow},
}

// leases are the leases of the named gateways.
func (s *suite) leases(gateways ...string) map[string]time.Time {
	s.Helper()
	all, err := s.store.Leases(s.ctx)
	s.must(err)
	maps.DeleteFunc(all, func(gateway string, _ time.Time) bool { return !slices.Contains(gateways, gateway) })
	return all
}

func presenceLeases(s *suite) {
	a, b := unique("gw-"), unique("gw-")
	s.must(s.store.PutLease(s.ctx, a, at(60_000)))
	s.must(s.store.PutLease(s.ctx, b, at(61_000)))
	check(s, "both", s.leases(a, b), map[string]time.Time{a: at(60_000), b: at(61_000)})
	s.must(s.store.PutLease(s.ctx, a, at(90_000)))
	check(s, "one renewed", s.leases(a, b), map[string]time.Time{a: at(90_000), b: at(61_000)})
	s.must(s.store.DropLease(s.ctx, a))
	check(s, "one dropped", s.leases(a, b), map[string]time.Time{b: at(61_000)})
	s.wantAbsentDelete("dropped again", s.store.DropLease(s.ctx, a))

	ended := start.Add(-time.Minute)
	s.must(s.store.PutLease(s.ctx, a, ended))
	check(s, "an ended one", s.leases(a), map[string]time.Time{a: ended})
	s.must(s.store.DropLease(s.ctx, a))
	s.must(s.store.DropLease(s.ctx, b))
}

func newRow(uri, gateway string, userID int64, ms int) chat.PresenceRow {
	return chat.PresenceRow{
		RoomURI: uri, Gateway: gateway, Updated: at(ms),
		User: chat.Profile{ID: userID, Username: "user_a", Email: "a@mail.com", FirstName: "A"},
	}
}

func sortRows(rows []chat.PresenceRow) []chat.PresenceRow {
	return slices.SortedFunc(slices.Values(rows), func(a, b chat.PresenceRow) int {
		return cmp.Or(cmp.Compare(a.RoomURI, b.RoomURI), cmp.Compare(a.Gateway, b.Gateway), cmp.Compare(a.User.ID, b.User.ID))
	})
}

func (s *suite) wantRows(what string, got []chat.PresenceRow, err error, want ...chat.PresenceRow) {
	s.Helper()
	s.must(err)
	if len(got)+len(want) > 0 {
		check(s, what, sortRows(got), sortRows(want))
	}
}

func (s *suite) wantOfRoom(what, uri string, want ...chat.PresenceRow) {
	s.Helper()
	got, err := s.store.PresenceOfRoom(s.ctx, uri)
	s.wantRows(what, got, err, want...)
}

func (s *suite) wantOfGateway(what, gateway string, want ...chat.PresenceRow) {
	s.Helper()
	got, err := s.store.PresenceOfGateway(s.ctx, gateway)
	s.wantRows(what, got, err, want...)
}

func presenceRows(s *suite) {
	r1, r2, g1, g2 := uniqueURI(), uniqueURI(), unique("gw-"), unique("gw-")
	a, b, c, d := newRow(r1, g1, 1, 1), newRow(r1, g2, 1, 2), newRow(r1, g1, 2, 3), newRow(r2, g1, 1, 4)
	s.wantOfRoom("before", r1)
	s.wantOfGateway("before", g1)
	s.must(s.store.PutPresence(s.ctx, []chat.PresenceRow{a, b, c}))
	s.must(s.store.PutPresence(s.ctx, []chat.PresenceRow{d}))
	s.must(s.store.PutPresence(s.ctx, nil))
	s.wantOfRoom("first room", r1, a, b, c)
	s.wantOfRoom("second room", r2, d)
	s.wantOfGateway("first gateway", g1, a, c, d)
	s.wantOfGateway("second gateway", g2, b)
}

func presenceOverwrite(s *suite) {
	uri, gateway := uniqueURI(), unique("gw-")
	other := newRow(uri, gateway, 2, 0)
	row := newRow(uri, gateway, 1, 10)
	s.must(s.store.PutPresence(s.ctx, []chat.PresenceRow{row, other}))
	steps := []struct {
		name   string
		change func()
	}{
		{"a message", func() { row.Updated = at(20) }},
		{"left", func() { row.Left = true }},
		{"back under another name", func() { row.Left, row.User.FirstName, row.Updated = false, "", at(30) }},
		{"earlier than before", func() { row.Updated = at(5) }},
	}
	for _, step := range steps {
		step.change()
		s.must(s.store.PutPresence(s.ctx, []chat.PresenceRow{row}))
		s.wantOfRoom(step.name, uri, row, other)
		s.wantOfGateway(step.name, gateway, row, other)
	}
}

func presenceDropLease(s *suite) {
	uri, gateway := uniqueURI(), unique("gw-")
	row := newRow(uri, gateway, 1, 1)
	s.must(s.store.PutLease(s.ctx, gateway, at(60_000)))
	s.must(s.store.PutPresence(s.ctx, []chat.PresenceRow{row}))
	s.must(s.store.DropLease(s.ctx, gateway))
	s.wantOfRoom("room", uri, row)
	s.wantOfGateway("gateway", gateway, row)
}

func presenceNeighbours(s *suite) {
	uri, gateway := uniqueURI(), unique("gw-")
	row := newRow(uri, gateway, 1, 1)
	rows := []chat.PresenceRow{row}
	for _, other := range neighbours(uri) {
		rows = append(rows, newRow(other, gateway+"x", 1, 1))
	}
	s.must(s.store.PutPresence(s.ctx, rows))
	s.wantOfRoom("room", uri, row)
	s.wantOfGateway("gateway", gateway, row)
	s.wantOfGateway("other gateway", gateway+"x", rows[1:]...)
}

func presenceWindow(s *suite) {
	uri, gateway := uniqueURI(), unique("gw-")
	early := newRow(uri, gateway, 1, 0)
	late := newRow(uri, gateway, 2, int(chat.PresenceWindow/time.Millisecond)-1000)
	s.must(s.store.PutPresence(s.ctx, []chat.PresenceRow{early}))
	s.must(s.store.PutPresence(s.ctx, []chat.PresenceRow{late}))
	s.wantOfRoom("within the window", uri, early, late)
}
