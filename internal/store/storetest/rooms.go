package storetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

var roomTests = []storeTest{
	{"a room reads as it was created", roomRoundTrip},
	{"unknown rooms", roomUnknown},
	{"ids rise", roomIDsRise},
	{"a URI is taken", uriTaken},
	{"one of many concurrent creators wins", uriRace},
	{"a change touches only what it names", roomUpdate},
	{"a deleted room is gone with its members", roomDelete},
	{"deleting a room leaves its messages", roomDeleteKeepsMessages},
	{"rooms are listed, sessions are not", roomsListed},
}

func newSession(owner int64) chat.Room {
	return chat.Room{
		URI:        uniqueURI(),
		Partition:  chat.Partition{Topic: chat.TopicMessages, Number: 5},
		Kind:       chat.KindSession,
		Owner:      owner,
		Access:     chat.AccessLink,
		MessageTTL: 36 * time.Hour,
		Created:    at(11),
	}
}

func newRoom() chat.Room {
	return chat.Room{
		URI:       uniqueURI(),
		Partition: chat.Partition{Topic: chat.TopicRooms},
		Kind:      chat.KindRoom,
		Title:     "Lobby – für alle",
		Owner:     uniqueID(),
		StaffOnly: true,
		Created:   at(13),
	}
}

func (s *suite) create(r chat.Room) chat.Room {
	s.Helper()
	created, err := s.store.CreateRoom(s.ctx, r)
	s.must(err)
	return created
}

func (s *suite) wantRoom(what string, want chat.Room) {
	s.Helper()
	got, err := s.store.RoomByID(s.ctx, want.ID)
	s.must(err)
	check(s, what+": by id", got, want)
	got, err = s.store.RoomByURI(s.ctx, want.URI)
	s.must(err)
	check(s, what+": by URI", got, want)
}

func roomRoundTrip(s *suite) {
	bare := chat.Room{URI: uniqueURI(), Partition: chat.Partition{Topic: chat.TopicMessages}, Kind: chat.KindSession, Owner: uniqueID(), Created: at(1)}
	for _, want := range []chat.Room{newSession(uniqueID()), newRoom(), bare} {
		created := s.create(want)
		if created.ID <= 0 {
			s.Errorf("got id %d, want a positive one", created.ID)
		}
		want.ID = created.ID
		check(s, "created", created, want)
		s.wantRoom("created", want)
	}
}

func roomUnknown(s *suite) {
	_, err := s.store.RoomByID(s.ctx, uniqueID())
	s.wantError("by id", err, chat.ErrNotFound)
	_, err = s.store.RoomByURI(s.ctx, uniqueURI())
	s.wantError("by URI", err, chat.ErrNotFound)
	_, err = s.store.UpdateRoom(s.ctx, uniqueURI(), chat.RoomChange{Title: ptr("x")})
	s.wantError("update", err, chat.ErrNotFound)
	s.wantAbsentDelete("delete", s.store.DeleteRoom(s.ctx, uniqueURI()))
}

func roomIDsRise(s *suite) {
	last := int64(0)
	for i := range 6 {
		r := newRoom()
		if i%2 == 0 {
			r = newSession(uniqueID())
		}
		created := s.create(r)
		if created.ID <= last {
			s.Errorf("got id %d after %d, want a higher one", created.ID, last)
		}
		last = created.ID
		s.must(s.store.DeleteRoom(s.ctx, created.URI))
	}
}

func uriTaken(s *suite) {
	first := s.create(newSession(uniqueID()))
	for _, second := range []chat.Room{newSession(uniqueID()), newRoom()} {
		second.URI = first.URI
		_, err := s.store.CreateRoom(s.ctx, second)
		s.wantError("the same URI", err, chat.ErrTaken)
		_, err = s.store.Member(s.ctx, first.URI, second.Owner)
		s.wantError("the loser as a member", err, chat.ErrNotFound)
		sessions, err := s.store.SessionsOf(s.ctx, second.Owner)
		s.must(err)
		check(s, "sessions of the loser", len(sessions), 0)
	}
	s.wantRoom("the first room", first)
}

func uriRace(s *suite) {
	uri := uniqueURI()
	created := make([]chat.Room, 16)
	owners := make([]int64, len(created))
	for i := range owners {
		owners[i] = uniqueID()
	}
	winner := s.wantOneWinner(race(len(created), func(i int) (err error) {
		r := newSession(owners[i])
		r.URI = uri
		created[i], err = s.store.CreateRoom(s.ctx, r)
		return err
	}))
	s.wantRoom("the winner", created[winner])
	members, err := s.store.Members(s.ctx, uri)
	s.must(err)
	check(s, "members", members, []chat.Member{{RoomURI: uri, UserID: owners[winner], Joined: at(11)}})
}

func roomUpdate(s *suite) {
	for _, want := range []chat.Room{s.create(newSession(uniqueID())), s.create(newRoom())} {
		changes := []struct {
			name   string
			change chat.RoomChange
		}{
			{"nothing", chat.RoomChange{}},
			{"title", chat.RoomChange{Title: ptr("New")}},
			{"staff only", chat.RoomChange{StaffOnly: ptr(!want.StaffOnly)}},
			{"access", chat.RoomChange{Access: ptr(chat.AccessMembers)}},
			{"TTL", chat.RoomChange{MessageTTL: ptr(time.Minute)}},
			{"back to defaults", chat.RoomChange{Title: ptr(""), Access: ptr(chat.AccessDefault), MessageTTL: ptr(time.Duration(0))}},
		}
		for _, c := range changes {
			c.change.Apply(&want)
			got, err := s.store.UpdateRoom(s.ctx, want.URI, c.change)
			s.must(err)
			check(s, c.name+": returned", got, want)
			s.wantRoom(c.name, want)
		}
	}
}

func roomDelete(s *suite) {
	owner, guest := uniqueID(), uniqueID()
	for _, r := range []chat.Room{s.create(newSession(owner)), s.create(newRoom())} {
		s.must(s.store.PutMember(s.ctx, chat.Member{RoomURI: r.URI, UserID: guest, Joined: at(20)}))
		s.must(s.store.DeleteRoom(s.ctx, r.URI))
		_, err := s.store.RoomByID(s.ctx, r.ID)
		s.wantError("by id", err, chat.ErrNotFound)
		_, err = s.store.RoomByURI(s.ctx, r.URI)
		s.wantError("by URI", err, chat.ErrNotFound)
		_, err = s.store.UpdateRoom(s.ctx, r.URI, chat.RoomChange{Title: ptr("x")})
		s.wantError("update", err, chat.ErrNotFound)
		members, err := s.store.Members(s.ctx, r.URI)
		s.must(err)
		check(s, "members", len(members), 0)
		for _, u := range []int64{owner, guest} {
			_, err = s.store.Member(s.ctx, r.URI, u)
			s.wantError("member", err, chat.ErrNotFound)
			s.wantSessions("after the delete", u)
		}
		if slices.Contains(s.listed(), r.ID) {
			s.Errorf("the deleted room %d is still listed", r.ID)
		}
		s.wantAbsentDelete("a second time", s.store.DeleteRoom(s.ctx, r.URI))
	}
}

func roomDeleteKeepsMessages(s *suite) {
	r := s.create(newSession(uniqueID()))
	want := newMessages(r.URI, 1, 3)
	s.must(s.store.PutMessages(s.ctx, want))
	s.must(s.store.DeleteRoom(s.ctx, r.URI))
	s.wantMessages("after the delete", chat.MessageQuery{RoomURI: r.URI, Limit: 10, Now: start}, want)
}

// listed are the ids of the listed rooms.
func (s *suite) listed() []int64 {
	s.Helper()
	rooms, err := s.store.ListedRooms(s.ctx)
	s.must(err)
	ids := make([]int64, len(rooms))
	for i, r := range rooms {
		if r.Kind != chat.KindRoom {
			s.Errorf("listed: got kind %d, want %d", r.Kind, chat.KindRoom)
		}
		ids[i] = r.ID
	}
	return ids
}

func roomsListed(s *suite) {
	session, one, two := s.create(newSession(uniqueID())), s.create(newRoom()), s.create(newRoom())
	two, err := s.store.UpdateRoom(s.ctx, two.URI, chat.RoomChange{Title: ptr("Changed")})
	s.must(err)
	ids := s.listed()
	if slices.Contains(ids, session.ID) {
		s.Errorf("the session %d is listed", session.ID)
	}
	rooms, err := s.store.ListedRooms(s.ctx)
	s.must(err)
	for _, want := range []chat.Room{one, two} {
		i := slices.IndexFunc(rooms, func(r chat.Room) bool { return r.ID == want.ID })
		if i < 0 {
			s.Errorf("room %d is not listed", want.ID)
			continue
		}
		check(s, "listed", rooms[i], want)
	}
	s.must(errors.Join(s.store.DeleteRoom(s.ctx, one.URI), s.store.DeleteRoom(s.ctx, two.URI)))
}

var memberTests = []storeTest{
	{"the owner is the first member of a session only", memberOwner},
	{"members are in order of joining, then of id", memberOrder},
	{"a removed mark, and joined keeps its first value", memberRemoved},
	{"unknown members", memberUnknown},
	{"sessions of a user", sessionsOf},
	{"many join at the same time", memberRace},
}

func (s *suite) putMember(uri string, userID int64, joined time.Time, removed bool) {
	s.Helper()
	s.must(s.store.PutMember(s.ctx, chat.Member{RoomURI: uri, UserID: userID, Joined: joined, Removed: removed}))
}

// wantMembers fails the test unless those are the members that are not removed.
func (s *suite) wantMembers(what, uri string, want ...chat.Member) {
	s.Helper()
	got, err := s.store.Members(s.ctx, uri)
	s.must(err)
	if len(got)+len(want) > 0 {
		check(s, what, got, want)
	}
}

// wantSessions fails the test unless those are the sessions of the user.
func (s *suite) wantSessions(what string, userID int64, want ...chat.Room) {
	s.Helper()
	got, err := s.store.SessionsOf(s.ctx, userID)
	s.must(err)
	if len(got)+len(want) > 0 {
		check(s, what, got, want)
	}
}

func memberOwner(s *suite) {
	owner := uniqueID()
	session := s.create(newSession(owner))
	want := chat.Member{RoomURI: session.URI, UserID: owner, Joined: session.Created}
	s.wantMembers("session", session.URI, want)
	got, err := s.store.Member(s.ctx, session.URI, owner)
	s.must(err)
	check(s, "owner", got, want)
	s.wantSessions("of the owner", owner, session)

	room := s.create(newRoom())
	s.wantMembers("room", room.URI)
	s.must(s.store.DeleteRoom(s.ctx, room.URI))
}

func memberOrder(s *suite) {
	owner := uniqueID()
	r := s.create(newSession(owner))
	base := uniqueID()
	s.putMember(r.URI, base+3, at(200), false)
	s.putMember(r.URI, base+2, at(100), false)
	s.putMember(r.URI, base+1, at(200), false)
	member := func(id int64, joined time.Time) chat.Member {
		return chat.Member{RoomURI: r.URI, UserID: id, Joined: joined}
	}
	s.wantMembers("in order", r.URI,
		member(owner, r.Created), member(base+2, at(100)), member(base+1, at(200)), member(base+3, at(200)))
}

func memberRemoved(s *suite) {
	owner, guest := uniqueID(), uniqueID()
	r := s.create(newSession(owner))
	first := chat.Member{RoomURI: r.URI, UserID: owner, Joined: r.Created}
	steps := []struct {
		name    string
		joined  time.Time
		removed bool
	}{
		{"joins", at(100), false},
		{"joins again, later", at(200), false},
		{"is removed", at(300), true},
		{"is removed again", at(400), true},
		{"is let in again", at(50), false},
	}
	for _, step := range steps {
		s.putMember(r.URI, guest, step.joined, step.removed)
		want := chat.Member{RoomURI: r.URI, UserID: guest, Joined: at(100), Removed: step.removed}
		got, err := s.store.Member(s.ctx, r.URI, guest)
		s.must(err)
		check(s, step.name, got, want)
		if step.removed {
			s.wantMembers(step.name, r.URI, first)
			s.wantSessions(step.name, guest)
			continue
		}
		s.wantMembers(step.name, r.URI, first, want)
		s.wantSessions(step.name, guest, r)
	}

	s.must(s.store.DeleteMember(s.ctx, r.URI, guest))
	_, err := s.store.Member(s.ctx, r.URI, guest)
	s.wantError("deleted", err, chat.ErrNotFound)
	s.wantMembers("deleted", r.URI, first)
	s.wantSessions("deleted", guest)
	s.wantAbsentDelete("a second time", s.store.DeleteMember(s.ctx, r.URI, guest))

	s.putMember(r.URI, guest, at(500), false)
	got, err := s.store.Member(s.ctx, r.URI, guest)
	s.must(err)
	check(s, "one who was forgotten joins anew", got.Joined, at(500))
}

func memberUnknown(s *suite) {
	r := s.create(newSession(uniqueID()))
	_, err := s.store.Member(s.ctx, r.URI, uniqueID())
	s.wantError("another user", err, chat.ErrNotFound)
	_, err = s.store.Member(s.ctx, uniqueURI(), r.Owner)
	s.wantError("another room", err, chat.ErrNotFound)
	s.wantMembers("of no room", uniqueURI())
	s.wantSessions("of nobody", uniqueID())
}

func sessionsOf(s *suite) {
	user := uniqueID()
	a, b, c := s.create(newSession(uniqueID())), s.create(newSession(user)), s.create(newSession(uniqueID()))
	s.create(newSession(user + 1))
	s.putMember(c.URI, user, at(1), false)
	s.putMember(a.URI, user, at(2), false)
	s.wantSessions("by rising id", user, a, b, c)

	b, err := s.store.UpdateRoom(s.ctx, b.URI, chat.RoomChange{Title: ptr("Changed")})
	s.must(err)
	s.wantSessions("after a change", user, a, b, c)
	s.putMember(a.URI, user, at(3), true)
	s.wantSessions("removed from one", user, b, c)
	s.must(s.store.DeleteRoom(s.ctx, b.URI))
	s.wantSessions("another deleted", user, c)
}

func memberRace(s *suite) {
	r := s.create(newSession(uniqueID()))
	base := uniqueID()
	const n = 16
	s.must(errors.Join(race(n, func(i int) error {
		return s.store.PutMember(s.ctx, chat.Member{RoomURI: r.URI, UserID: base + int64(i), Joined: at(100 + i)})
	})...))
	want := []chat.Member{{RoomURI: r.URI, UserID: r.Owner, Joined: r.Created}}
	for i := range n {
		want = append(want, chat.Member{RoomURI: r.URI, UserID: base + int64(i), Joined: at(100 + i)})
	}
	s.wantMembers(fmt.Sprintf("%d members", n), r.URI, want...)
}
