package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// The commands of the many-room socket.
const (
	Join      = "join"
	Leave     = "leave"
	Send      = "send"
	ListUsers = "room_users"
)

// Command is what a client of the many-room socket asks for.
type Command struct {
	// Name is one of the commands above.
	Name string
	// Room is the URI or the integer id of the room, in decimal.
	Room string
	// Message is for Send, as are Key, its idempotency key or "", and Ack.
	Message string
	Key     string
	Ack     bool
	// IDs and After are for Join. After implies IDs.
	IDs   bool
	After *chat.MessageID
}

// DecodeCommand reads a text frame. What is wrong with it is an Error of the
// code CommandInvalid.
func DecodeCommand(data []byte) (Command, error) {
	var raw struct {
		Command *string         `json:"command"`
		Room    json.RawMessage `json:"room"`
		Message *string         `json:"message"`
		Key     string          `json:"key"`
		Ack     bool            `json:"ack"`
		IDs     bool            `json:"ids"`
		After   string          `json:"after"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return Command{}, invalid("%s", notDecoded(err))
	}
	if raw.Command == nil {
		return Command{}, invalid(`The field "command" is missing: send join, leave, send or room_users.`)
	}
	c := Command{Name: *raw.Command, Key: raw.Key, Ack: raw.Ack, IDs: raw.IDs}
	switch c.Name {
	case Join, Leave, ListUsers:
	case Send:
		if raw.Message == nil {
			return Command{}, invalid(`The field "message" is missing: send a string.`)
		}
		c.Message = *raw.Message
	default:
		return Command{}, invalid("There is no command %q: send join, leave, send or room_users.", c.Name)
	}
	var ok bool
	if c.Room, ok = roomRef(raw.Room); !ok {
		return Command{}, invalid(`The field "room" must be the integer id or the URI of a room.`)
	}
	if raw.After != "" {
		after, err := chat.ParseMessageID(raw.After)
		if err != nil {
			return Command{}, invalid(`The field "after" must be the id of a message or a position: %s.`, err)
		}
		c.After, c.IDs = &after, true
	}
	return c, nil
}

func invalid(format string, args ...any) Error {
	return Error{Code: CommandInvalid, Detail: fmt.Sprintf(format, args...)}
}

func notDecoded(err error) string {
	var wrongType *json.UnmarshalTypeError
	switch {
	case !errors.As(err, &wrongType):
		return "A command is one JSON object: " + err.Error() + "."
	case wrongType.Field == "":
		return "A command is one JSON object, not " + wrongType.Value + "."
	default:
		return fmt.Sprintf("The field %q must be a %s, not %s.", wrongType.Field, wrongType.Type, wrongType.Value)
	}
}

// roomRef is the room as a string, from a JSON integer or string.
func roomRef(raw json.RawMessage) (string, bool) {
	var s string
	if json.Unmarshal(raw, &s) == nil && s != "" {
		return s, true
	}
	_, err := strconv.ParseInt(string(raw), 10, 64)
	return string(raw), err == nil
}
