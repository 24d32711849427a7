package api

import (
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// success is the status that the clients look for.
const success = "SUCCESS"

// user is the USER of the wire contract.
type user struct {
	ID        int64  `json:"id"`
	Username  string `json:"username"`
	Email     string `json:"email"`
	FirstName string `json:"first_name"`
	LastName  string `json:"last_name"`
}

func viewUser(p chat.Profile) user {
	return user{ID: p.ID, Username: p.Username, Email: p.Email, FirstName: p.FirstName, LastName: p.LastName}
}

func viewUsers(profiles []chat.Profile) []user {
	views := make([]user, len(profiles))
	for i, p := range profiles {
		views[i] = viewUser(p)
	}
	return views
}

// account is a user as they and administrators see them.
type account struct {
	user
	IsStaff  bool   `json:"is_staff"`
	IsActive bool   `json:"is_active"`
	Created  string `json:"created"`
}

func viewAccount(u chat.User) account {
	return account{user: viewUser(u.Profile), IsStaff: u.IsStaff, IsActive: u.IsActive, Created: timestamp(u.Created)}
}

type session struct {
	URI     string `json:"uri"`
	Members []user `json:"members"`
	ID      int64  `json:"id"`
	Title   string `json:"title"`
	Access  string `json:"access"`
	// MessageTTL is in seconds; 0 stands for the server's setting.
	MessageTTL int64  `json:"message_ttl"`
	Created    string `json:"created"`
}

func viewSession(r chat.Room, members []chat.Profile) session {
	return session{
		URI: r.URI, Members: viewUsers(members), ID: r.ID, Title: r.Title, Access: r.Access.String(),
		MessageTTL: int64(r.MessageTTL / time.Second), Created: timestamp(r.Created),
	}
}

type room struct {
	ID        int64  `json:"id"`
	URI       string `json:"uri"`
	Title     string `json:"title"`
	StaffOnly bool   `json:"staff_only"`
}

func viewRoom(r chat.Room) room {
	return room{ID: r.ID, URI: r.URI, Title: r.Title, StaffOnly: r.StaffOnly}
}

// message is one of a history.
type message struct {
	User    user   `json:"user"`
	Message string `json:"message"`
	ID      string `json:"id"`
	Time    string `json:"time"`
}

func viewMessage(m chat.Message) message {
	return message{User: viewUser(m.Sender), Message: m.Text, ID: m.ID.String(), Time: timestamp(m.Time)}
}

// timestamp is RFC 3339 in UTC with milliseconds, the precision of the log.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }
