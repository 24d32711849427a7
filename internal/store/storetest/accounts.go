package storetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

var userTests = []storeTest{
	{"a user reads as it was created", userRoundTrip},
	{"unknown users", userUnknown},
	{"ids rise", userIDsRise},
	{"a username is taken byte by byte", usernameTaken},
	{"one of many concurrent creators wins", usernameRace},
	{"concurrent creators get different ids", userIDRace},
	{"a page of users", userPages},
	{"a change touches only what it names", userUpdate},
	{"concurrent changes of different fields", userUpdateRace},
}

func newUser() chat.User {
	return chat.User{
		Profile:      chat.Profile{Username: unique("user-"), Email: "a@mail.com", FirstName: "Änne", LastName: "O'Neil"},
		PasswordHash: "$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA",
		IsActive:     true,
		Created:      at(7),
	}
}

func (s *suite) createUser() chat.User {
	s.Helper()
	u, err := s.store.CreateUser(s.ctx, newUser())
	s.must(err)
	return u
}

func userRoundTrip(s *suite) {
	for _, staff := range []bool{false, true} {
		want := newUser()
		want.IsStaff = staff
		created, err := s.store.CreateUser(s.ctx, want)
		s.must(err)
		if created.ID <= 0 {
			s.Errorf("got id %d, want a positive one", created.ID)
		}
		want.ID = created.ID
		check(s, "created", created, want)
		byID, err := s.store.UserByID(s.ctx, want.ID)
		s.must(err)
		check(s, "by id", byID, want)
		byName, err := s.store.UserByName(s.ctx, want.Username)
		s.must(err)
		check(s, "by name", byName, want)
	}
}

func userUnknown(s *suite) {
	_, err := s.store.UserByID(s.ctx, uniqueID())
	s.wantError("by id", err, chat.ErrNotFound)
	_, err = s.store.UserByName(s.ctx, unique("nobody-"))
	s.wantError("by name", err, chat.ErrNotFound)
	_, err = s.store.UpdateUser(s.ctx, uniqueID(), chat.UserChange{Email: ptr("x@mail.com")})
	s.wantError("update", err, chat.ErrNotFound)
}

func userIDsRise(s *suite) {
	last := int64(0)
	for range 5 {
		u := s.createUser()
		if u.ID <= last {
			s.Errorf("got id %d after %d, want a higher one", u.ID, last)
		}
		last = u.ID
	}
}

func usernameTaken(s *suite) {
	first := s.createUser()
	second := newUser()
	second.Username = first.Username
	second.Email = "b@mail.com"
	_, err := s.store.CreateUser(s.ctx, second)
	s.wantError("the same name", err, chat.ErrTaken)
	got, err := s.store.UserByName(s.ctx, first.Username)
	s.must(err)
	check(s, "the first user", got, first)

	for _, other := range []string{"U" + first.Username[1:], first.Username + " ", first.Username[:len(first.Username)-1]} {
		u := newUser()
		u.Username = other
		_, err := s.store.CreateUser(s.ctx, u)
		if err != nil {
			s.Errorf("name %q next to %q: got error %v, want none", other, first.Username, err)
		}
	}
}

func usernameRace(s *suite) {
	name := unique("racer-")
	created := make([]chat.User, 16)
	winner := s.wantOneWinner(race(len(created), func(i int) (err error) {
		u := newUser()
		u.Username = name
		u.Email = fmt.Sprintf("%d@mail.com", i)
		created[i], err = s.store.CreateUser(s.ctx, u)
		return err
	}))
	got, err := s.store.UserByName(s.ctx, name)
	s.must(err)
	check(s, "the winner", got, created[winner])
}

func userIDRace(s *suite) {
	ids := make([]int64, 16)
	errs := race(len(ids), func(i int) error {
		u, err := s.store.CreateUser(s.ctx, newUser())
		ids[i] = u.ID
		return err
	})
	s.must(errors.Join(errs...))
	slices.Sort(ids)
	check(s, "ids without repeats", slices.Compact(slices.Clone(ids)), ids)
}

func userPages(s *suite) {
	// Other users may be created meanwhile: of the listing, only those of this
	// test are looked at.
	mine := map[int64]chat.User{}
	var ids []int64
	for range 7 {
		u := s.createUser()
		mine[u.ID] = u
		ids = append(ids, u.ID)
	}
	for _, limit := range []int{1, 3, 100} {
		var got []int64
		after := ids[0] - 1
		for {
			page, err := s.store.Users(s.ctx, after, limit)
			s.must(err)
			if len(page) > limit {
				s.Fatalf("got %d users, want at most %d", len(page), limit)
			}
			for _, u := range page {
				if u.ID <= after {
					s.Fatalf("got id %d after %d, want a higher one", u.ID, after)
				}
				after = u.ID
				if want, ok := mine[u.ID]; ok {
					got = append(got, u.ID)
					check(s, "listed user", u, want)
				}
			}
			if len(page) == 0 || after >= ids[len(ids)-1] {
				break
			}
		}
		check(s, fmt.Sprintf("ids by pages of %d", limit), got, ids)
	}
	first, err := s.store.Users(s.ctx, 0, 1)
	s.must(err)
	if len(first) != 1 {
		s.Errorf("first page: got %d users, want 1", len(first))
	}
	none, err := s.store.Users(s.ctx, 1<<62, 10)
	s.must(err)
	if len(none) != 0 {
		s.Errorf("beyond all ids: got %d users, want none", len(none))
	}
}

func userUpdate(s *suite) {
	want := s.createUser()
	changes := []struct {
		name   string
		change chat.UserChange
	}{
		{"nothing", chat.UserChange{}},
		{"email", chat.UserChange{Email: ptr("new@mail.com")}},
		{"an empty first name", chat.UserChange{FirstName: ptr("")}},
		{"last name", chat.UserChange{LastName: ptr("Ω")}},
		{"staff", chat.UserChange{IsStaff: ptr(true)}},
		{"not active", chat.UserChange{IsActive: ptr(false)}},
		{"no staff", chat.UserChange{IsStaff: ptr(false)}},
		{"password", chat.UserChange{PasswordHash: ptr("$other")}},
		{"several", chat.UserChange{Email: ptr(""), FirstName: ptr("F"), IsActive: ptr(true)}},
	}
	for _, c := range changes {
		c.change.Apply(&want)
		got, err := s.store.UpdateUser(s.ctx, want.ID, c.change)
		s.must(err)
		check(s, c.name+": returned", got, want)
		got, err = s.store.UserByID(s.ctx, want.ID)
		s.must(err)
		check(s, c.name+": by id", got, want)
		got, err = s.store.UserByName(s.ctx, want.Username)
		s.must(err)
		check(s, c.name+": by name", got, want)
	}
}

func userUpdateRace(s *suite) {
	u := s.createUser()
	changes := []chat.UserChange{
		{Email: ptr("race@mail.com")}, {FirstName: ptr("Race")}, {LastName: ptr("Condition")},
		{IsStaff: ptr(true)}, {IsActive: ptr(false)}, {PasswordHash: ptr("$race")},
	}
	want := u
	for _, c := range changes {
		c.Apply(&want)
	}
	s.must(errors.Join(race(len(changes), func(i int) error {
		_, err := s.store.UpdateUser(s.ctx, u.ID, changes[i])
		return err
	})...))
	got, err := s.store.UserByID(s.ctx, u.ID)
	s.must(err)
	check(s, "after all changes", got, want)
}

var tokenTests = []storeTest{
	{"a token reads as it was created", tokenRoundTrip},
	{"an expired token is not found", tokenExpiry},
	{"deleting one token", tokenDelete},
	{"deleting the tokens of a user", tokenDeleteOfUser},
	{"deleting expired tokens", tokenDeleteExpired},
}

func newToken(userID int64, expires time.Time) chat.Token {
	return chat.Token{Hash: uniqueHash(), UserID: userID, Created: at(3), Expires: expires}
}

func (s *suite) createToken(userID int64, expires time.Time) chat.Token {
	s.Helper()
	t := newToken(userID, expires)
	s.must(s.store.CreateToken(s.ctx, t))
	return t
}

// wantToken fails the test unless the token is there, or is not.
func (s *suite) wantToken(what string, t chat.Token, now time.Time, there bool) {
	s.Helper()
	got, err := s.store.TokenByHash(s.ctx, t.Hash, now)
	if !there {
		s.wantError(what, err, chat.ErrNotFound)
		return
	}
	if err != nil {
		s.Errorf("%s: got error %v, want none", what, err)
		return
	}
	check(s, what, got, t)
}

func tokenRoundTrip(s *suite) {
	u := s.createUser()
	one := s.createToken(u.ID, start.Add(time.Hour))
	two := s.createToken(u.ID, start.Add(2*time.Hour))
	s.wantToken("first", one, start, true)
	s.wantToken("second", two, start, true)
	s.wantToken("unknown", newToken(u.ID, start.Add(time.Hour)), start, false)
}

func tokenExpiry(s *suite) {
	t := s.createToken(uniqueID(), start.Add(time.Hour))
	s.wantToken("before", t, t.Expires.Add(-time.Millisecond), true)
	s.wantToken("after", t, t.Expires.Add(time.Millisecond), false)
}

func tokenDelete(s *suite) {
	u := uniqueID()
	gone, kept := s.createToken(u, start.Add(time.Hour)), s.createToken(u, start.Add(time.Hour))
	s.must(s.store.DeleteToken(s.ctx, gone.Hash))
	s.wantToken("deleted", gone, start, false)
	s.wantToken("other", kept, start, true)
	s.wantAbsentDelete("a second time", s.store.DeleteToken(s.ctx, gone.Hash))
}

// wantAbsentDelete: of deleting what is not there the port only says that it
// does no harm.
func (s *suite) wantAbsentDelete(what string, err error) {
	s.Helper()
	if err != nil && !errors.Is(err, chat.ErrNotFound) {
		s.Errorf("%s: got error %v, want none or %v", what, err, chat.ErrNotFound)
	}
}

func tokenDeleteOfUser(s *suite) {
	// Neighbouring ids, so that a range that is off by one is seen.
	u := uniqueID()
	expires := start.Add(time.Hour)
	before, after := s.createToken(u-1, expires), s.createToken(u+1, expires)
	a, b, c := s.createToken(u, expires), s.createToken(u, expires), s.createToken(u, expires)

	s.must(s.store.DeleteTokensOfUser(s.ctx, u, b.Hash))
	s.wantToken("a", a, start, false)
	s.wantToken("b, which is kept", b, start, true)
	s.wantToken("c", c, start, false)

	s.must(s.store.DeleteTokensOfUser(s.ctx, u, chat.TokenHash{}))
	s.wantToken("b, which is no longer kept", b, start, false)
	s.wantToken("of the user before", before, start, true)
	s.wantToken("of the user after", after, start, true)
	s.must(s.store.DeleteTokensOfUser(s.ctx, u, chat.TokenHash{}))
}

func tokenDeleteExpired(s *suite) {
	u := uniqueID()
	now := start.Add(-time.Hour)
	// What other tests left to expire goes first.
	_, err := s.store.DeleteExpiredTokens(s.ctx, now)
	s.must(err)
	old := []chat.Token{s.createToken(u, now.Add(-time.Minute)), s.createToken(u, now.Add(-time.Millisecond))}
	kept := s.createToken(u, now.Add(time.Minute))

	n, err := s.store.DeleteExpiredTokens(s.ctx, now)
	s.must(err)
	if n < len(old) {
		s.Errorf("got %d deleted, want at least %d", n, len(old))
	}
	longAgo := now.Add(-time.Hour)
	for i, t := range old {
		s.wantToken(fmt.Sprintf("expired %d", i), t, longAgo, false)
	}
	s.wantToken("not expired", kept, longAgo, true)
	s.must(s.store.DeleteTokensOfUser(s.ctx, u, chat.TokenHash{}))
	s.wantToken("at last", kept, longAgo, false)
}
