package chat

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// RoomsOptions are the settings of Rooms.
type RoomsOptions struct {
	// SessionAccess is the policy of sessions whose creator chose none.
	SessionAccess Access
	Limits        Limits
	// Now is the clock.
	Now func() time.Time
}

// Rooms makes sessions and rooms, keeps their members, and says who may do
// what in them.
type Rooms struct {
	store     RoomStore
	accounts  *Accounts
	publisher *Publisher
	options   RoomsOptions
}

// NewRooms returns Rooms over the store.
func NewRooms(store RoomStore, accounts *Accounts, publisher *Publisher, o RoomsOptions) *Rooms {
	return &Rooms{store: store, accounts: accounts, publisher: publisher, options: o}
}

// SessionSettings are what a session's creator may choose; zero values stand
// for the server's settings.
type SessionSettings struct {
	Title      string
	Access     Access
	MessageTTL time.Duration
}

// CreateSession makes a session with owner as its first member.
func (r *Rooms) CreateSession(ctx context.Context, owner User, s SessionSettings) (Room, error) {
	errs := FieldErrors{}
	checkTitle(errs, s.Title, false)
	checkTTL(errs, s.MessageTTL, r.options.Limits)
	if err := errs.Err(); err != nil {
		return Room{}, err
	}
	return r.create(ctx, TopicMessages, Room{
		Kind: KindSession, Owner: owner.ID, Title: s.Title, Access: s.Access, MessageTTL: s.MessageTTL,
	})
}

// CreateRoom makes a room that is listed and keeps nothing. Staff only.
func (r *Rooms) CreateRoom(ctx context.Context, actor User, title string, staffOnly bool) (Room, error) {
	if err := requireStaff(actor); err != nil {
		return Room{}, err
	}
	errs := FieldErrors{}
	checkTitle(errs, title, true)
	if err := errs.Err(); err != nil {
		return Room{}, err
	}
	return r.create(ctx, TopicRooms, Room{Kind: KindRoom, Owner: actor.ID, Title: title, StaffOnly: staffOnly})
}

func (r *Rooms) create(ctx context.Context, topic Topic, room Room) (Room, error) {
	room.Created = r.options.Now()
	// A URI has 60 random bits; that one is taken does not happen twice.
	for range 3 {
		room.URI = newURI()
		var err error
		if room.Partition, err = r.publisher.PartitionFor(ctx, topic, room.URI); err != nil {
			return Room{}, err
		}
		created, err := r.store.CreateRoom(ctx, room)
		if errors.Is(err, ErrTaken) {
			continue
		}
		if err != nil {
			return Room{}, fmt.Errorf("create room: %w", err)
		}
		return created, nil
	}
	return Room{}, fmt.Errorf("create room: %w", ErrTaken)
}

func newURI() string {
	var b [(URIDigits + 1) / 2]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])[:URIDigits]
}

// Lookup finds a room by its URI or its integer id, or answers ErrNotFound.
func (r *Rooms) Lookup(ctx context.Context, ref string) (RoomRef, error) {
	if IsURI(ref) {
		room, err := r.store.RoomByURI(ctx, ref)
		return RoomRef{Room: room, ByURI: true}, err
	}
	id, err := strconv.ParseInt(ref, 10, 64)
	if err != nil || id <= 0 {
		return RoomRef{}, ErrNotFound
	}
	room, err := r.store.RoomByID(ctx, id)
	return RoomRef{Room: room}, err
}

// SessionsOf are the sessions that the user is a member of, by rising id.
func (r *Rooms) SessionsOf(ctx context.Context, user User) ([]Room, error) {
	return r.store.SessionsOf(ctx, user.ID)
}

// Listed are the rooms that viewer may enter, by title.
func (r *Rooms) Listed(ctx context.Context, viewer User) ([]Room, error) {
	rooms, err := r.store.ListedRooms(ctx)
	if err != nil {
		return nil, fmt.Errorf("list rooms: %w", err)
	}
	rooms = slices.DeleteFunc(rooms, func(room Room) bool { return room.StaffOnly && !viewer.IsStaff })
	slices.SortFunc(rooms, func(a, b Room) int {
		if c := strings.Compare(strings.ToLower(a.Title), strings.ToLower(b.Title)); c != 0 {
			return c
		}
		return int(a.ID - b.ID)
	})
	return rooms, nil
}

// Members are the session's members: its creator first, then by the time they
// joined. A room, which admits everyone, has none.
func (r *Rooms) Members(ctx context.Context, room Room) ([]Profile, error) {
	members, err := r.store.Members(ctx, room.URI)
	if err != nil {
		return nil, fmt.Errorf("list members: %w", err)
	}
	profiles := make([]Profile, 0, len(members))
	for _, m := range members {
		user, err := r.accounts.UserByID(ctx, m.UserID)
		if err != nil {
			return nil, fmt.Errorf("look up member: %w", err)
		}
		profiles = append(profiles, user.Profile)
	}
	slices.SortStableFunc(profiles, func(a, b Profile) int {
		return ownerRank(a, room) - ownerRank(b, room)
	})
	return profiles, nil
}

func ownerRank(p Profile, room Room) int {
	if p.ID == room.Owner {
		return 0
	}
	return 1
}

// Join makes a user a member of the session: actor themselves if username is
// empty or theirs, else the one it names, which only the creator or staff may.
// To join again changes nothing.
func (r *Rooms) Join(ctx context.Context, actor User, room Room, username string) (User, error) {
	if room.Kind != KindSession {
		return User{}, &DeniedError{Reason: "A room has no members: everyone who is logged in may join it on the socket."}
	}
	if username == "" || username == actor.Username {
		return actor, r.joinSelf(ctx, actor, room)
	}
	if err := r.requireModerator(actor, room); err != nil {
		return User{}, err
	}
	user, err := r.accounts.UserByName(ctx, username)
	switch {
	case errors.Is(err, ErrNotFound):
		return User{}, FieldErrors{"username": {"No user has that username."}}
	case err != nil:
		return User{}, fmt.Errorf("look up user: %w", err)
	}
	return user, r.addMember(ctx, room, user)
}

func (r *Rooms) joinSelf(ctx context.Context, actor User, room Room) error {
	member, err := r.store.Member(ctx, room.URI, actor.ID)
	switch {
	case err == nil && !member.Removed:
		return nil
	case err == nil && !mayModerate(actor, room):
		return &DeniedError{Reason: "You were removed from this session; only its creator can add you again."}
	case err != nil && !errors.Is(err, ErrNotFound):
		return fmt.Errorf("look up member: %w", err)
	}
	return r.addMember(ctx, room, actor)
}

func (r *Rooms) addMember(ctx context.Context, room Room, user User) error {
	if err := r.store.PutMember(ctx, Member{RoomURI: room.URI, UserID: user.ID, Joined: r.options.Now()}); err != nil {
		return fmt.Errorf("add member: %w", err)
	}
	return r.tell(ctx, room, Event{Kind: EventMemberAdded, Sender: user.Profile, Subject: user.ID})
}

// Leave ends actor's membership; they may join again.
func (r *Rooms) Leave(ctx context.Context, actor User, room Room) error {
	if room.Owner == actor.ID {
		return &DeniedError{Reason: "The creator of a session cannot leave it."}
	}
	if err := r.requireMember(ctx, actor, room); err != nil {
		return err
	}
	if err := r.store.DeleteMember(ctx, room.URI, actor.ID); err != nil {
		return fmt.Errorf("delete member: %w", err)
	}
	return r.tell(ctx, room, Event{Kind: EventMemberRemoved, Subject: actor.ID})
}

// Remove ends another user's membership. Their open sockets stop receiving,
// and the link alone does not let them join again.
func (r *Rooms) Remove(ctx context.Context, actor User, room Room, username string) error {
	if username == actor.Username {
		return r.Leave(ctx, actor, room)
	}
	if err := r.requireModerator(actor, room); err != nil {
		return err
	}
	user, err := r.accounts.UserByName(ctx, username)
	if err != nil {
		return fmt.Errorf("look up user: %w", err)
	}
	if user.ID == room.Owner {
		return &DeniedError{Reason: "The creator of a session cannot be removed from it."}
	}
	member, err := r.store.Member(ctx, room.URI, user.ID)
	if err != nil {
		return fmt.Errorf("look up member: %w", err)
	}
	// The row first, so that a socket that is cut off and comes back at once is
	// refused; the event even if the row was there already, so that a removal
	// whose event failed can be repeated.
	member.Removed = true
	if err := r.store.PutMember(ctx, member); err != nil {
		return fmt.Errorf("remove member: %w", err)
	}
	return r.tell(ctx, room, Event{Kind: EventMemberRemoved, Subject: user.ID})
}

// UpdateSession changes a session's settings. For its creator and staff.
func (r *Rooms) UpdateSession(ctx context.Context, actor User, room Room, change RoomChange) (Room, error) {
	if room.Kind != KindSession {
		return Room{}, &DeniedError{Reason: "A room is changed by administrators only."}
	}
	if err := r.requireModerator(actor, room); err != nil {
		return Room{}, err
	}
	change.StaffOnly = nil
	errs := FieldErrors{}
	if change.Title != nil {
		checkTitle(errs, *change.Title, false)
	}
	if change.MessageTTL != nil {
		checkTTL(errs, *change.MessageTTL, r.options.Limits)
	}
	return r.update(ctx, room, change, errs)
}

// UpdateRoom changes the title and the staff_only flag of a room. Staff only.
func (r *Rooms) UpdateRoom(ctx context.Context, actor User, room Room, change RoomChange) (Room, error) {
	if err := requireStaff(actor); err != nil {
		return Room{}, err
	}
	if room.Kind != KindRoom {
		return Room{}, ErrNotFound
	}
	errs := FieldErrors{}
	if change.Title != nil {
		checkTitle(errs, *change.Title, true)
	}
	return r.update(ctx, room, RoomChange{Title: change.Title, StaffOnly: change.StaffOnly}, errs)
}

func (r *Rooms) update(ctx context.Context, room Room, change RoomChange, errs FieldErrors) (Room, error) {
	if err := errs.Err(); err != nil {
		return Room{}, err
	}
	changed, err := r.store.UpdateRoom(ctx, room.URI, change)
	if err != nil {
		return Room{}, fmt.Errorf("update room: %w", err)
	}
	return changed, r.tell(ctx, changed, Event{Kind: EventRoomChanged})
}

// DeleteRoom deletes a room; sockets in it are put out. Staff only.
func (r *Rooms) DeleteRoom(ctx context.Context, actor User, room Room) error {
	if err := requireStaff(actor); err != nil {
		return err
	}
	if room.Kind != KindRoom {
		return ErrNotFound
	}
	if err := r.store.DeleteRoom(ctx, room.URI); err != nil {
		return fmt.Errorf("delete room: %w", err)
	}
	return r.tell(ctx, room, Event{Kind: EventRoomDeleted})
}

func (r *Rooms) tell(ctx context.Context, room Room, ev Event) error {
	_, _, err := r.publisher.Publish(ctx, room, ev)
	return err
}

// AuthorizeRead says whether viewer, nil for one without a token, may read the
// room: nil, ErrUnauthenticated if a token might help, or a DeniedError.
func (r *Rooms) AuthorizeRead(ctx context.Context, viewer *User, ref RoomRef) error {
	if ref.Room.Kind == KindSession && ref.ByURI && r.access(ref.Room) == AccessLink {
		return nil
	}
	if viewer == nil {
		return ErrUnauthenticated
	}
	return r.AuthorizeWrite(ctx, *viewer, ref.Room)
}

// AuthorizeWrite says whether the user may write to the room.
func (r *Rooms) AuthorizeWrite(ctx context.Context, user User, room Room) error {
	if room.Kind == KindSession {
		return r.requireMember(ctx, user, room)
	}
	if room.StaffOnly && !user.IsStaff {
		return &DeniedError{Reason: "This room is for staff only."}
	}
	return nil
}

func (r *Rooms) access(room Room) Access {
	if room.Access == AccessDefault {
		return r.options.SessionAccess
	}
	return room.Access
}

func (r *Rooms) requireMember(ctx context.Context, user User, room Room) error {
	member, err := r.store.Member(ctx, room.URI, user.ID)
	switch {
	case err == nil && !member.Removed:
		return nil
	case err == nil || errors.Is(err, ErrNotFound):
		return &DeniedError{Reason: "You are not a member of this session."}
	default:
		return fmt.Errorf("look up member: %w", err)
	}
}

func (r *Rooms) requireModerator(actor User, room Room) error {
	if !mayModerate(actor, room) {
		return &DeniedError{Reason: "Only the session's creator or staff may do that."}
	}
	return nil
}

func mayModerate(actor User, room Room) bool { return actor.IsStaff || actor.ID == room.Owner }
