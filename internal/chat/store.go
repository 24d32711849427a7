package chat

import (
	"context"
	"errors"
	"time"
)

// Errors of the Store.
var (
	// ErrNotFound: there is no such user, token, room or member.
	ErrNotFound = errors.New("not found")
	// ErrTaken: a unique name (username, URI) is in use.
	ErrTaken = errors.New("already taken")
)

// AccountStore keeps users and their tokens. What it returns nil for is
// durable.
type AccountStore interface {
	// CreateUser gives the user the next free id. ErrTaken if the username is
	// in use; usernames are compared as they are, byte by byte.
	CreateUser(ctx context.Context, u User) (User, error)
	UserByID(ctx context.Context, id int64) (User, error)
	UserByName(ctx context.Context, username string) (User, error)
	// Users lists users by rising id, those above after, limit at the most.
	Users(ctx context.Context, after int64, limit int) ([]User, error)
	UpdateUser(ctx context.Context, id int64, change UserChange) (User, error)

	CreateToken(ctx context.Context, t Token) error
	// TokenByHash is ErrNotFound for an expired token too.
	TokenByHash(ctx context.Context, hash TokenHash, now time.Time) (Token, error)
	DeleteToken(ctx context.Context, hash TokenHash) error
	// DeleteTokensOfUser deletes all of the user's tokens but keep, which may
	// be the zero hash.
	DeleteTokensOfUser(ctx context.Context, userID int64, keep TokenHash) error
	// DeleteExpiredTokens deletes the tokens that expired before now and says
	// how many they were.
	DeleteExpiredTokens(ctx context.Context, now time.Time) (int, error)
}

// RoomStore keeps sessions and rooms and their members. What it returns nil
// for is durable.
type RoomStore interface {
	// CreateRoom gives the room the next free id, and for a KindSession makes
	// its owner the first member, in one step. ErrTaken if the URI is in use.
	CreateRoom(ctx context.Context, r Room) (Room, error)
	RoomByID(ctx context.Context, id int64) (Room, error)
	RoomByURI(ctx context.Context, uri string) (Room, error)
	UpdateRoom(ctx context.Context, uri string, change RoomChange) (Room, error)
	// DeleteRoom deletes the room and its members, not its messages.
	DeleteRoom(ctx context.Context, uri string) error
	// ListedRooms are all of kind KindRoom, in no particular order.
	ListedRooms(ctx context.Context) ([]Room, error)
	// SessionsOf are the sessions that the user is a member of and not removed
	// from, by rising id.
	SessionsOf(ctx context.Context, userID int64) ([]Room, error)

	// PutMember adds the member, or overwrites their Removed mark; Joined
	// keeps its first value.
	PutMember(ctx context.Context, m Member) error
	DeleteMember(ctx context.Context, uri string, userID int64) error
	Member(ctx context.Context, uri string, userID int64) (Member, error)
	// Members are those not removed, by Joined, then by user id.
	Members(ctx context.Context, uri string) ([]Member, error)
}

// MessageQuery asks for messages of one room.
type MessageQuery struct {
	RoomURI string
	// After and Before bound the ids, both exclusive; a zero id is no bound.
	After, Before MessageID
	// Limit is the largest number of messages to return.
	Limit int
	// Newest picks the newest Limit of the range rather than the oldest.
	Newest bool
	// Now: a message that has expired by then is not returned.
	Now time.Time
}

// Watermark says how far a partition is archived: every record of the epoch
// below Next is in the store.
type Watermark struct {
	Epoch uint32
	Next  int64
}

// ForeignRecord is a record of the log that is no event of this release's.
type ForeignRecord struct {
	Partition Partition
	Epoch     uint32
	Record
}

const (
	// ForeignKept is how long after its time a foreign record is kept for
	// inspection.
	ForeignKept = 30 * 24 * time.Hour
	// MaxForeignBytes is how much of its key, and of its value, is kept.
	MaxForeignBytes = 1 << 20
)

// MessageStore keeps the log, rewritten for reading.
type MessageStore interface {
	// PutMessages writes messages of one partition, in the order of their ids.
	// Writing the same ones again changes nothing.
	PutMessages(ctx context.Context, messages []Message) error
	// Messages answers a query in rising order of ids.
	Messages(ctx context.Context, q MessageQuery) ([]Message, error)

	// Watermark is the zero Watermark for a partition that was never archived.
	Watermark(ctx context.Context, p Partition) (Watermark, error)
	// SetWatermark moves the watermark forward; a lower one is ignored. When
	// it returns, whatever was put before is as durable as the watermark.
	SetWatermark(ctx context.Context, p Partition, w Watermark) error

	// PutForeign keeps records for inspection, each until ForeignKept after its
	// time or longer. Putting the same ones again changes nothing.
	PutForeign(ctx context.Context, records []ForeignRecord) error
	// ForeignOf are the newest foreign records of the partition, the newest
	// first, limit at the most.
	ForeignOf(ctx context.Context, p Partition, limit int) ([]ForeignRecord, error)

	// Cutoff is the time before which no message may be read, whatever its
	// TTL; zero if there is none.
	Cutoff(ctx context.Context) (time.Time, error)
	// SetCutoff moves the cutoff forward; an earlier one is ignored.
	SetCutoff(ctx context.Context, cutoff time.Time) error
	// EachMessageRoom calls f with the URI of each room that has messages in
	// the store, in an order that stays the same, starting beyond after.
	EachMessageRoom(ctx context.Context, after string, f func(uri string) error) error
	// DeleteMessages deletes the room's messages that were appended before
	// cutoff or have expired by now, and says how many. With dryRun it only
	// counts.
	DeleteMessages(ctx context.Context, uri string, cutoff, now time.Time, dryRun bool) (int, error)
	// OldestMessage is the time of the oldest message of the room, or zero.
	OldestMessage(ctx context.Context, uri string) (time.Time, error)
}

// PresenceRow says that a user is, or was, in a room by way of one gateway.
type PresenceRow struct {
	RoomURI string
	// Gateway names the lease under which the row lives.
	Gateway string
	User    Profile
	// Left is true once none of the user's sockets at that gateway is in the
	// room.
	Left bool
	// Updated is the time of the last join or message.
	Updated time.Time
}

// PresenceStore keeps who is in which room, under the leases of gateways. It
// may forget rows with Left that were updated more than PresenceWindow ago.
type PresenceStore interface {
	// PutLease makes or renews the gateway's lease.
	PutLease(ctx context.Context, gateway string, until time.Time) error
	// Leases are all leases that were not dropped, ended ones included.
	Leases(ctx context.Context) (map[string]time.Time, error)
	// DropLease forgets the lease, not its rows.
	DropLease(ctx context.Context, gateway string) error
	// PutPresence writes rows, each in the place of an earlier one of the same
	// room, gateway and user.
	PutPresence(ctx context.Context, rows []PresenceRow) error
	PresenceOfRoom(ctx context.Context, uri string) ([]PresenceRow, error)
	PresenceOfGateway(ctx context.Context, gateway string) ([]PresenceRow, error)
}

// PresenceWindow is how long a room remembers whom it has seen.
const PresenceWindow = time.Hour

// Store is everything that is kept for reading.
type Store interface {
	AccountStore
	RoomStore
	MessageStore
	PresenceStore
}
