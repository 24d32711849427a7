package cached_test

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/store/cached"
)

// An answer is believed for longer where a change would have been heard of:
// announcements are heard now, were heard when it was asked for, and none of
// the last minute before that was about it.
func TestFollowed(t *testing.T) {
	aboutIt := &chat.Event{Kind: chat.EventUserChanging, Subject: 1}
	for _, tc := range []struct {
		name string
		// before runs a minute after the first Heard, a moment before the look-up;
		// after runs half a minute after it.
		before, after func(s *cached.Store, pass func(time.Duration))
		// loads is how often the store is asked in half a minute.
		loads int
	}{
		{name: "heard", loads: 1},
		{
			name:  "not heard for a second",
			after: func(_ *cached.Store, pass func(time.Duration)) { pass(-time.Second) }, loads: 2,
		},
		{
			name:  "missed since",
			after: func(s *cached.Store, pass func(time.Duration)) { s.Missed(); pass(0) }, loads: 2,
		},
		{
			name:   "missed less than a minute before",
			before: func(s *cached.Store, pass func(time.Duration)) { s.Missed(); pass(0); pass(59 * time.Second) }, loads: 2,
		},
		{
			name:   "missed a minute before",
			before: func(s *cached.Store, pass func(time.Duration)) { s.Missed(); pass(0); pass(time.Minute) }, loads: 1,
		},
		{
			name:  "announced since",
			after: func(s *cached.Store, _ func(time.Duration)) { s.Changed(aboutIt) }, loads: 2,
		},
		{
			name:   "announced less than a minute before",
			before: func(s *cached.Store, pass func(time.Duration)) { s.Changed(aboutIt); pass(59 * time.Second) }, loads: 2,
		},
		{
			name:   "announced a minute before",
			before: func(s *cached.Store, pass func(time.Duration)) { s.Changed(aboutIt); pass(time.Minute) }, loads: 1,
		},
		{
			name: "another announced",
			before: func(s *cached.Store, _ func(time.Duration)) {
				s.Changed(&chat.Event{Kind: chat.EventUserChanging, Subject: 2})
			},
			loads: 1,
		},
		{
			name: "announced with more than can be remembered",
			before: func(s *cached.Store, _ func(time.Duration)) {
				for id := range int64(11) {
					s.Changed(&chat.Event{Kind: chat.EventUserChanging, Subject: 1 + id})
				}
			},
			loads: 2,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			now := time.Unix(1_700_000_000, 0)
			b := &backend{user: chat.User{Profile: chat.Profile{ID: 1}}}
			s := cached.New(b, cached.Options{
				Entries: 10, Fresh: time.Second, Followed: time.Minute, Stale: time.Minute, Now: func() time.Time { return now },
			})
			// pass lets time pass, and less than none pass unheard.
			pass := func(d time.Duration) {
				if d < 0 {
					now = now.Add(-d)
					return
				}
				now = now.Add(d)
				s.Heard(now)
			}
			run := func(f func(*cached.Store, func(time.Duration))) {
				if f != nil {
					f(s, pass)
				}
			}
			lookUp := func() {
				t.Helper()
				if _, err := s.UserByID(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
			}
			pass(0)
			pass(time.Minute)
			run(tc.before)
			lookUp()
			pass(30 * time.Second)
			run(tc.after)
			lookUp()
			if b.loads != tc.loads {
				t.Errorf("look-ups: got %d, want %d", b.loads, tc.loads)
			}
		})
	}
}

// twoCaches are those of two processes, over one store with a session.
type twoCaches struct {
	disk           chat.Store
	reader, writer *cached.Store
	user           chat.User
	room           chat.Room
	token          chat.Token
	now            time.Time
	// announced are the announcements so far, and hear gets each.
	announced []chat.Event
	hear      func(chat.Event) error
}

func newTwoCaches(t *testing.T) *twoCaches {
	t.Helper()
	disk := open(t)
	c := &twoCaches{disk: disk, now: time.UnixMilli(1_700_000_000_000)}
	c.hear = func(ev chat.Event) error { c.reader.Changed(&ev); return nil }
	o := cached.Options{
		Entries: 10, Fresh: time.Second, Followed: time.Hour, Stale: time.Hour, Now: func() time.Time { return c.now },
		Announce: func(_ context.Context, ev chat.Event) error {
			c.announced = append(c.announced, ev)
			return c.hear(ev)
		},
	}
	c.reader, c.writer = cached.New(disk, o), cached.New(disk, o)
	t.Cleanup(func() { c.reader.Close(); c.writer.Close() })
	var err error
	if c.user, err = disk.CreateUser(t.Context(), chat.User{Profile: chat.Profile{Username: "amir"}, IsActive: true, Created: c.now}); err != nil {
		t.Fatal(err)
	}
	if c.room, err = disk.CreateRoom(t.Context(), chat.Room{URI: "040213b14a02451", Kind: chat.KindSession, Owner: c.user.ID, Created: c.now}); err != nil {
		t.Fatal(err)
	}
	c.token = chat.Token{Hash: chat.TokenHash{1}, UserID: c.user.ID, Created: c.now, Expires: c.now.Add(time.Hour)}
	if err := disk.CreateToken(t.Context(), c.token); err != nil {
		t.Fatal(err)
	}
	c.reader.Heard(c.now)
	c.pass(time.Minute)
	return c
}

// pass lets time pass, for all of which the reader has heard what was announced.
func (c *twoCaches) pass(d time.Duration) {
	c.now = c.now.Add(d)
	c.reader.Heard(c.now)
}

// What one process changes, another sees as soon as it hears of it; and within
// a second if it heard only that the change would come.
func TestChangeElsewhere(t *testing.T) {
	name := "Amir"
	for _, tc := range []struct {
		name   string
		lookUp func(c *twoCaches) (any, error)
		change func(c *twoCaches) error
	}{
		{
			"user",
			func(c *twoCaches) (any, error) { return c.reader.UserByID(t.Context(), c.user.ID) },
			func(c *twoCaches) error {
				_, err := c.writer.UpdateUser(t.Context(), c.user.ID, chat.UserChange{FirstName: &name})
				return err
			},
		},
		{
			"token",
			func(c *twoCaches) (any, error) { return c.reader.TokenByHash(t.Context(), c.token.Hash, c.now) },
			func(c *twoCaches) error { return c.writer.DeleteToken(t.Context(), c.token.Hash) },
		},
		{
			"tokens of a user",
			func(c *twoCaches) (any, error) { return c.reader.TokenByHash(t.Context(), c.token.Hash, c.now) },
			func(c *twoCaches) error {
				return c.writer.DeleteTokensOfUser(t.Context(), c.user.ID, chat.TokenHash{})
			},
		},
		{
			"member removed",
			func(c *twoCaches) (any, error) { return c.reader.Member(t.Context(), c.room.URI, c.user.ID) },
			func(c *twoCaches) error {
				return c.writer.PutMember(t.Context(), chat.Member{RoomURI: c.room.URI, UserID: c.user.ID, Removed: true})
			},
		},
		{
			"member leaves",
			func(c *twoCaches) (any, error) { return c.reader.Member(t.Context(), c.room.URI, c.user.ID) },
			func(c *twoCaches) error { return c.writer.DeleteMember(t.Context(), c.room.URI, c.user.ID) },
		},
		{
			"room by URI",
			func(c *twoCaches) (any, error) { return c.reader.RoomByURI(t.Context(), c.room.URI) },
			func(c *twoCaches) error {
				_, err := c.writer.UpdateRoom(t.Context(), c.room.URI, chat.RoomChange{Title: &name})
				return err
			},
		},
		{
			"room by id",
			func(c *twoCaches) (any, error) { return c.reader.RoomByID(t.Context(), c.room.ID) },
			func(c *twoCaches) error {
				_, err := c.writer.UpdateRoom(t.Context(), c.room.URI, chat.RoomChange{Title: &name})
				return err
			},
		},
		{
			"room deleted",
			func(c *twoCaches) (any, error) { return c.reader.RoomByID(t.Context(), c.room.ID) },
			func(c *twoCaches) error { return c.writer.DeleteRoom(t.Context(), c.room.URI) },
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, late := range []bool{false, true} {
				c := newTwoCaches(t)
				lookUp := func() any {
					t.Helper()
					answer, err := tc.lookUp(c)
					if err != nil && !errors.Is(err, chat.ErrNotFound) {
						t.Fatal(err)
					}
					return answer
				}
				before := lookUp()
				c.pass(30 * time.Second)
				if late {
					// It hears of the change before, asks again, and nothing after.
					hear := c.hear
					c.hear = func(ev chat.Event) error {
						defer lookUp()
						c.hear = func(chat.Event) error { return chat.ErrUnavailable }
						return hear(ev)
					}
				}
				if err := tc.change(c); err != nil {
					t.Fatal(err)
				}
				if late {
					if got := lookUp(); got != before {
						t.Errorf("heard before only: got %+v, want the answer from before", got)
					}
					c.pass(time.Second)
				}
				if got := lookUp(); got == before {
					t.Errorf("heard before only: %t: got %+v as before, want the change", late, got)
				}
				if len(c.announced) != 2 {
					t.Errorf("got %d announcements, want one before and one after", len(c.announced))
				}
			}
		})
	}
}

// A change that cannot be announced is not made.
func TestChangeThatCannotBeAnnounced(t *testing.T) {
	c := newTwoCaches(t)
	c.hear = func(chat.Event) error { return chat.ErrUnavailable }
	if err := c.writer.DeleteMember(t.Context(), c.room.URI, c.user.ID); !errors.Is(err, chat.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
	if _, err := c.writer.Member(t.Context(), c.room.URI, c.user.ID); err != nil {
		t.Errorf("the member: got %v, want it there", err)
	}
}

// To add a member needs no announcement: nobody remembers who is none.
func TestMemberAddedElsewhere(t *testing.T) {
	for name, before := range map[string]func(c *twoCaches) error{
		"not a member": func(c *twoCaches) error { return c.writer.DeleteMember(t.Context(), c.room.URI, c.user.ID) },
		"removed": func(c *twoCaches) error {
			return c.writer.PutMember(t.Context(), chat.Member{RoomURI: c.room.URI, UserID: c.user.ID, Removed: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newTwoCaches(t)
			if err := before(c); err != nil {
				t.Fatal(err)
			}
			c.pass(2 * time.Minute)
			if m, err := c.reader.Member(t.Context(), c.room.URI, c.user.ID); err == nil && !m.Removed {
				t.Fatalf("got %+v, want no member", m)
			}
			c.announced = nil
			if err := c.writer.PutMember(t.Context(), chat.Member{RoomURI: c.room.URI, UserID: c.user.ID, Joined: c.now}); err != nil {
				t.Fatal(err)
			}
			if m, err := c.reader.Member(t.Context(), c.room.URI, c.user.ID); err != nil || m.Removed {
				t.Errorf("got %+v, %v, want a member", m, err)
			}
			if len(c.announced) != 0 {
				t.Errorf("got %d announcements, want none", len(c.announced))
			}
		})
	}
}

// A user's change of password is none of the others' business: their tokens are
// remembered, and believed.
func TestTokensOfOthersStay(t *testing.T) {
	c := newTwoCaches(t)
	lookUp := func() error {
		_, err := c.reader.TokenByHash(t.Context(), c.token.Hash, c.now)
		return err
	}
	if err := lookUp(); err != nil {
		t.Fatal(err)
	}
	if err := c.writer.DeleteTokensOfUser(t.Context(), c.user.ID+1, chat.TokenHash{}); err != nil {
		t.Fatal(err)
	}
	if err := c.disk.DeleteToken(t.Context(), c.token.Hash); err != nil {
		t.Fatal(err)
	}
	c.pass(30 * time.Second)
	if err := lookUp(); err != nil {
		t.Errorf("got %v, want the token that is remembered", err)
	}
}

func TestAsked(t *testing.T) {
	c := newTwoCaches(t)
	asked := map[string]int{}
	s := cached.New(c.disk, cached.Options{Entries: 10, Fresh: time.Second, Asked: func(kind string) { asked[kind]++ }, Now: func() time.Time { return c.now }})
	defer s.Close()
	for range 2 {
		for _, lookUp := range []func() error{
			func() error { _, err := s.TokenByHash(t.Context(), c.token.Hash, c.now); return err },
			func() error { _, err := s.UserByID(t.Context(), c.user.ID); return err },
			func() error { _, err := s.RoomByURI(t.Context(), c.room.URI); return err },
			func() error { _, err := s.Member(t.Context(), c.room.URI, c.user.ID); return err },
		} {
			if err := lookUp(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if want := map[string]int{"token": 1, "user": 1, "room": 1, "member": 1}; !maps.Equal(asked, want) {
		t.Errorf("got %v, want %v", asked, want)
	}
}
