package chat

import "time"

// RoomKind tells the two policies apart that share one model.
type RoomKind uint8

const (
	// KindSession is reached by its URI, keeps its messages for its retention
	// time and admits its members.
	KindSession RoomKind = iota + 1
	// KindRoom has a title, is listed, keeps nothing, and admits everyone who
	// is logged in, or only staff.
	KindRoom
)

// Access says who may read a session.
type Access uint8

const (
	// AccessDefault is whatever the server's own setting says.
	AccessDefault Access = iota
	// AccessMembers admits members only.
	AccessMembers
	// AccessLink lets everyone read who holds the URI.
	AccessLink
)

// ParseAccess reads "members" or "link".
func ParseAccess(s string) (Access, bool) {
	switch s {
	case "members":
		return AccessMembers, true
	case "link":
		return AccessLink, true
	default:
		return AccessDefault, false
	}
}

// String is the form that ParseAccess reads, or "default".
func (a Access) String() string {
	switch a {
	case AccessMembers:
		return "members"
	case AccessLink:
		return "link"
	default:
		return "default"
	}
}

// Room is a session or a room: an ordered stream of events with members and a
// policy.
type Room struct {
	ID  int64
	URI string
	// Partition was fixed when the room was made, so that adding partitions
	// moves no room.
	Partition Partition
	Kind      RoomKind
	Title     string
	// Owner is the id of the user who made it.
	Owner int64
	// StaffOnly keeps everyone but staff out of a KindRoom.
	StaffOnly bool
	// Access is for a KindSession.
	Access Access
	// MessageTTL is how long a KindSession keeps a message; 0 stands for the
	// server's own setting.
	MessageTTL time.Duration
	Created    time.Time
}

// RoomChange names the fields of a room that change; nil leaves one as it is.
type RoomChange struct {
	Title      *string
	StaffOnly  *bool
	Access     *Access
	MessageTTL *time.Duration
}

// Apply sets the fields of r that the change names.
func (c RoomChange) Apply(r *Room) {
	set(&r.Title, c.Title)
	set(&r.StaffOnly, c.StaffOnly)
	set(&r.Access, c.Access)
	set(&r.MessageTTL, c.MessageTTL)
}

// Member is a user's place in a session.
type Member struct {
	RoomURI string
	UserID  int64
	Joined  time.Time
	// Removed marks one whom the creator has put out: they cannot come back by
	// the link alone, only by the creator's word.
	Removed bool
}

// RoomRef is a room and how its caller named it.
type RoomRef struct {
	Room Room
	// ByURI is true where the caller held the URI, which cannot be guessed; an
	// integer id can, and so proves nothing.
	ByURI bool
}

// URIDigits is the length of a URI in lower-case hexadecimal digits.
const URIDigits = 15

// IsURI reports whether s has the form of a room's URI.
func IsURI(s string) bool {
	if len(s) != URIDigits {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
