package cached_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/store/cached"
	"github.com/chatcluster/chatcluster/internal/store/local"
	"github.com/chatcluster/chatcluster/internal/store/storetest"
)

func open(t *testing.T) *local.Store {
	t.Helper()
	store, err := local.Open(t.TempDir(), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// A store that is cached is a store: what is written through it is seen at
// once, however long entries are believed.
func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) chat.Store {
		return cached.New(open(t), cached.Options{Entries: 100, Fresh: time.Hour, Stale: time.Hour, Now: time.Now})
	})
}

// backend is a store whose look-ups of users can be counted, stopped and made
// to fail.
type backend struct {
	chat.Store
	mu    sync.Mutex // guards the rest where look-ups run in the background
	user  chat.User
	err   error
	loads int
	hangs bool
	// during runs while a look-up is under way.
	during func()
}

func (b *backend) UserByID(ctx context.Context, _ int64) (chat.User, error) {
	b.mu.Lock()
	b.loads++
	hangs, user, err, during := b.hangs, b.user, b.err, b.during
	b.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return chat.User{}, fmt.Errorf("%w: %w", chat.ErrUnavailable, ctx.Err())
	}
	if during != nil {
		during()
	}
	return user, err
}

// set changes the backend while look-ups may run.
func (b *backend) set(change func(*backend)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(b)
}

func (b *backend) UpdateUser(_ context.Context, _ int64, c chat.UserChange) (chat.User, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.Apply(&b.user)
	return b.user, nil
}

func newCached() (*cached.Store, *backend, *time.Time) {
	now := time.Unix(1_700_000_000, 0)
	b := &backend{user: chat.User{Profile: chat.Profile{ID: 1, Username: "amir"}}}
	s := cached.New(b, cached.Options{Entries: 10, Fresh: time.Second, Stale: time.Minute, Now: func() time.Time { return now }})
	return s, b, &now
}

func TestFreshAndStale(t *testing.T) {
	for _, tc := range []struct {
		name  string
		age   time.Duration
		err   error
		want  error
		loads int
	}{
		{"fresh", 700 * time.Millisecond, nil, nil, 1},
		{"older", time.Second, nil, nil, 2},
		{"fresh while the store is down", 700 * time.Millisecond, chat.ErrUnavailable, nil, 1},
		{"older while the store is down", 50 * time.Second, chat.ErrUnavailable, nil, 2},
		{"too old while the store is down", time.Minute, chat.ErrUnavailable, chat.ErrUnavailable, 2},
		{"older and gone", time.Second, chat.ErrNotFound, chat.ErrNotFound, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, b, now := newCached()
			if _, err := s.UserByID(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			*now = now.Add(tc.age)
			b.err = tc.err
			user, err := s.UserByID(t.Context(), 1)
			if !errors.Is(err, tc.want) || (err == nil && user != b.user) {
				t.Errorf("got %+v, %v, want %v", user, err, tc.want)
			}
			if b.loads != tc.loads {
				t.Errorf("look-ups: got %d, want %d", b.loads, tc.loads)
			}
		})
	}
}

// What is asked for all the time is looked up in the background: nobody waits for
// the store, and no answer is older than a second.
func TestRefreshAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const takes = 50 * time.Millisecond
		b := &backend{user: chat.User{Profile: chat.Profile{ID: 1}}}
		b.during = func() { time.Sleep(takes) }
		s := cached.New(b, cached.Options{Entries: 10, Fresh: time.Second, Stale: time.Minute, Now: time.Now})
		if _, err := s.UserByID(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		changed := time.Now()
		b.set(func(b *backend) { b.user.FirstName = "Amir" })
		for range 1000 {
			began := time.Now()
			user, err := s.UserByID(t.Context(), 1)
			if err != nil || time.Since(began) > 0 {
				t.Fatalf("a look-up took %v, %v, want none to wait", time.Since(began), err)
			}
			if age := began.Sub(changed); user.FirstName == "" && age >= time.Second {
				t.Fatalf("an answer is %v old", age)
			}
			time.Sleep(10 * time.Millisecond)
		}
		s.Close()
		if b.loads < 10 || b.loads > 14 {
			t.Errorf("%d look-ups in 10 s, want one each 750 ms", b.loads)
		}
	})
}

// A refresh that overlaps a change must not leave the old answer behind, and one
// that is under way ends with Close.
func TestRefreshEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{user: chat.User{Profile: chat.Profile{ID: 1, Username: "amir"}}}
		s := cached.New(b, cached.Options{Entries: 10, Fresh: time.Second, Stale: time.Minute, Now: time.Now})
		lookUp := func() chat.User {
			t.Helper()
			user, err := s.UserByID(t.Context(), 1)
			if err != nil {
				t.Error(err)
			}
			return user
		}
		lookUp()
		time.Sleep(800 * time.Millisecond)
		b.set(func(b *backend) { b.during = func() { time.Sleep(100 * time.Millisecond) } })
		lookUp() // begins a refresh, which will bring the old name
		time.Sleep(50 * time.Millisecond)
		b.set(func(b *backend) { b.during = nil })
		name := "Amir"
		if _, err := s.UpdateUser(t.Context(), 1, chat.UserChange{FirstName: &name}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		if got := lookUp().FirstName; got != name {
			t.Errorf("got the name %q, want the changed %q", got, name)
		}

		time.Sleep(800 * time.Millisecond)
		b.set(func(b *backend) { b.hangs = true })
		lookUp()
		synctest.Wait()
		began := time.Now()
		s.Close()
		if took := time.Since(began); took > 0 {
			t.Errorf("Close took %v, want the refresh to end at once", took)
		}
		lookUp() // begins none
	})
}

// A store that hangs holds up one call a second, for a second, and nobody who
// asks meanwhile.
func TestHangingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{user: chat.User{Profile: chat.Profile{ID: 1, Username: "amir"}}}
		s := cached.New(b, cached.Options{Entries: 10, Fresh: time.Second, Stale: time.Minute, Now: time.Now})
		lookUp := func() (took time.Duration) {
			t.Helper()
			began := time.Now()
			if user, err := s.UserByID(t.Context(), 1); err != nil || user != b.user {
				t.Errorf("got %+v, %v, want %+v", user, err, b.user)
			}
			return time.Since(began)
		}
		lookUp()
		b.hangs = true
		time.Sleep(time.Second)
		for range 10 {
			if got := lookUp(); got != time.Second {
				t.Errorf("the first look-up took %v, want 1 s", got)
			}
			for range 9 {
				time.Sleep(100 * time.Millisecond)
				if got := lookUp(); got != 0 {
					t.Errorf("a look-up right after it took %v, want 0 s", got)
				}
			}
			time.Sleep(100 * time.Millisecond)
		}
		b.hangs, b.user.FirstName = false, "Amir"
		time.Sleep(time.Second)
		if got := lookUp(); got != 0 {
			t.Errorf("a look-up of a store that is back took %v, want 0 s", got)
		}
	})
}

// A look-up that overlaps a change must not leave the old answer behind.
func TestLookupDuringChange(t *testing.T) {
	s, b, _ := newCached()
	name := "Amir"
	b.during = func() {
		b.during = nil
		if _, err := s.UpdateUser(t.Context(), 1, chat.UserChange{FirstName: &name}); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.UserByID(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if user, err := s.UserByID(t.Context(), 1); err != nil || user.FirstName != name {
		t.Errorf("got %q, %v, want the changed name %q", user.FirstName, err, name)
	}
}

// What another process has changed is looked up again once an event says so.
func TestChanged(t *testing.T) {
	store := open(t)
	s := cached.New(store, cached.Options{Entries: 10, Fresh: time.Hour, Stale: time.Hour, Now: time.Now})
	now := time.Now().UTC().Truncate(time.Millisecond)
	user, err := store.CreateUser(t.Context(), chat.User{Profile: chat.Profile{Username: "amir"}, IsActive: true, Created: now})
	if err != nil {
		t.Fatal(err)
	}
	room, err := store.CreateRoom(t.Context(), chat.Room{URI: "040213b14a02451", Kind: chat.KindSession, Owner: user.ID, Created: now})
	if err != nil {
		t.Fatal(err)
	}
	token := chat.Token{Hash: chat.TokenHash{1}, UserID: user.ID, Created: now, Expires: now.Add(time.Hour)}
	if err := store.CreateToken(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	name := "Amir"
	for _, tc := range []struct {
		name   string
		lookup func() (any, error)
		change func() error
		event  chat.Event
	}{
		{"user", func() (any, error) { return s.UserByID(t.Context(), user.ID) },
			func() error {
				_, err := store.UpdateUser(t.Context(), user.ID, chat.UserChange{FirstName: &name})
				return err
			},
			chat.Event{Kind: chat.EventUserChanged, Subject: user.ID}},
		{"member", func() (any, error) { return s.Member(t.Context(), room.URI, user.ID) },
			func() error {
				return store.PutMember(t.Context(), chat.Member{RoomURI: room.URI, UserID: user.ID, Removed: true})
			},
			chat.Event{Kind: chat.EventMemberRemoved, Room: room.URI, Subject: user.ID}},
		{"room by URI", func() (any, error) { return s.RoomByURI(t.Context(), room.URI) },
			func() error {
				_, err := store.UpdateRoom(t.Context(), room.URI, chat.RoomChange{Title: &name})
				return err
			},
			chat.Event{Kind: chat.EventRoomChanged, Room: room.URI}},
		{"token", func() (any, error) { return s.TokenByHash(t.Context(), token.Hash, now) },
			func() error { return store.DeleteToken(t.Context(), token.Hash) },
			chat.Event{Kind: chat.EventTokensRevoked, Subject: user.ID, Token: token.Hash}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before, err := tc.lookup()
			if err != nil {
				t.Fatal(err)
			}
			if err := tc.change(); err != nil {
				t.Fatal(err)
			}
			if kept, err := tc.lookup(); err != nil || kept != before {
				t.Errorf("before the event: got %+v, %v, want the kept %+v", kept, err, before)
			}
			s.Changed(&tc.event)
			if after, err := tc.lookup(); err == nil && after == before {
				t.Errorf("after the event: got %+v as before, want the change", after)
			}
		})
	}
}

func TestCachedTokenExpires(t *testing.T) {
	store := open(t)
	now := time.UnixMilli(1_700_000_000_000)
	s := cached.New(store, cached.Options{Entries: 10, Fresh: time.Hour, Stale: time.Hour, Now: func() time.Time { return now }})
	token := chat.Token{Hash: chat.TokenHash{1}, UserID: 1, Created: now, Expires: now.Add(time.Minute)}
	if err := s.CreateToken(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	if _, err := s.TokenByHash(t.Context(), token.Hash, now); err != nil {
		t.Fatal(err)
	}
	if _, err := s.TokenByHash(t.Context(), token.Hash, now.Add(time.Minute)); !errors.Is(err, chat.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

// downStore has a cutoff that can hang.
type downStore struct {
	chat.Store
	hangs bool
	asked int
}

func (s *downStore) Cutoff(ctx context.Context) (time.Time, error) {
	s.asked++
	if s.hangs {
		<-ctx.Done()
		return time.Time{}, ctx.Err()
	}
	return time.Unix(1, 0), nil
}

// A store that hangs holds up one reader of the cutoff a second, and none for
// longer than that.
func TestCutoffOfAHangingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &downStore{hangs: true}
		s := cached.New(b, cached.Options{Entries: 10, Fresh: time.Second, Stale: time.Minute, Now: time.Now})
		began := time.Now()
		for range 10 {
			if _, err := s.Cutoff(t.Context()); !errors.Is(err, chat.ErrUnavailable) {
				t.Errorf("got %v, want ErrUnavailable", err)
			}
		}
		if took := time.Since(began); took != time.Second || b.asked != 1 {
			t.Errorf("ten reads took %v and asked %d times, want 1 s and once", took, b.asked)
		}
		b.hangs = false
		time.Sleep(time.Second)
		if cutoff, err := s.Cutoff(t.Context()); err != nil || !cutoff.Equal(time.Unix(1, 0)) {
			t.Errorf("of a store that is back: got %v, %v, want its cutoff", cutoff, err)
		}
	})
}
