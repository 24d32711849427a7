package wire

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// Code is what an error on the many-room socket says; the socket stays open.
type Code string

// The codes of the contract.
const (
	RoomInvalid      Code = "ROOM_INVALID"
	RoomAccessDenied Code = "ROOM_ACCESS_DENIED"
	UserHasToLogin   Code = "USER_HAS_TO_LOGIN"
)

// The codes of this server; an error with one of them has a detail.
const (
	// CommandInvalid: the command cannot be understood.
	CommandInvalid Code = "COMMAND_INVALID"
	// MessageInvalid: the message or its key breaks a limit.
	MessageInvalid Code = "MESSAGE_INVALID"
	// RateLimited: the user is too fast; the error says when to try again.
	RateLimited Code = "RATE_LIMITED"
	// Unavailable: the server cannot do it now; to try again may help.
	Unavailable Code = "UNAVAILABLE"
	// TooManyRooms: the socket is in as many rooms as one may be.
	TooManyRooms Code = "TOO_MANY_ROOMS"
)

// Error is an error frame.
type Error struct {
	Code   Code   `json:"error"`
	Detail string `json:"detail,omitempty"`
	// RetryAfter is in whole seconds; 0 is left out.
	RetryAfter int64 `json:"retry_after,omitempty"`
	// Room is the room that the socket was put out of; 0 is left out.
	Room int64 `json:"room,omitempty"`
}

// Frame is the error as a frame.
func (e Error) Frame() *Frame { return Text(encode(e)) }

func (e Error) Error() string { return string(e.Code) + ": " + e.Detail }

// Start says from where a socket receives a room.
type Start struct {
	// Recovered answers a resume: true if all missed messages follow, false if
	// none do. nil if no resume was asked for.
	Recovered *bool `json:"recovered,omitempty"`
	// Position is the position that everything up to has been received, once
	// the missed messages have.
	Position string `json:"position,omitempty"`
}

// SessionStart is the first frame on the socket of one session that asked for
// ids.
func SessionStart(s Start) *Frame { return Text(encode(s)) }

// Joined answers a join. s is zero for a socket that did not ask for ids.
func Joined(room chat.Room, s Start) *Frame {
	return Text(encode(struct {
		Join  string `json:"join"`
		Title string `json:"title"`
		Start
	}{strconv.FormatInt(room.ID, 10), room.Title, s}))
}

// Left answers a leave.
func Left(room int64) *Frame {
	return Text(encode(struct {
		Leave string `json:"leave"`
	}{strconv.FormatInt(room, 10)}))
}

// Acknowledged answers a send that asked for it.
func Acknowledged(room int64, id chat.MessageID) *Frame {
	return Text(encode(struct {
		Ack  string `json:"ack"`
		Room int64  `json:"room"`
	}{id.String(), room}))
}

// SessionReconnect tells a client that the socket of a session will be closed
// and that it shall connect again after the delay, which is told in whole
// milliseconds. after is a position that everything up to has been sent.
func SessionReconnect(delay time.Duration, after string) *Frame {
	return Text(encode(struct {
		Reconnect int64  `json:"reconnect"`
		After     string `json:"after"`
	}{delay.Milliseconds(), after}))
}

// StreamReconnect is SessionReconnect for a socket of many rooms: after has the
// position of each room that was joined with ids.
func StreamReconnect(delay time.Duration, after map[int64]string) *Frame {
	return Text(encode(struct {
		Reconnect int64            `json:"reconnect"`
		After     map[int64]string `json:"after"`
	}{delay.Milliseconds(), after}))
}

// msgTypeUsers marks the answer to room_users.
const msgTypeUsers = 6

type presentUser struct {
	Username   string      `json:"username"`
	Name       string      `json:"name"`
	Left       bool        `json:"left"`
	LastUpdate json.Number `json:"last_update"`
}

// RoomUsers answers room_users.
func RoomUsers(room int64, users map[int64]chat.PresentUser) *Frame {
	type data struct {
		Users map[int64]presentUser `json:"users"`
	}
	d := data{Users: make(map[int64]presentUser, len(users))}
	for id, u := range users {
		d.Users[id] = presentUser{
			Username: u.User.Username, Name: u.User.DisplayName(), Left: u.Left, LastUpdate: seconds(u.Updated),
		}
	}
	return Text(encode(struct {
		Type int   `json:"type"`
		Room int64 `json:"room"`
		Data data  `json:"data"`
	}{msgTypeUsers, room, d}))
}

// seconds is t in seconds since the Unix epoch, with milliseconds. It is put
// together in decimal so that no digit is lost to a float.
func seconds(t time.Time) json.Number {
	ms := t.UnixMilli()
	b := strconv.AppendInt(nil, ms/1000, 10)
	return json.Number(append(b, '.', byte('0'+ms/100%10), byte('0'+ms/10%10), byte('0'+ms%10)))
}

// encode is v in JSON without escaping for HTML, which the contract's clients
// would show as it is.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	// The types above hold strings, numbers and booleans only: they encode.
	_ = e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
