package wire

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// The numbers of msg_type in the many-room contract.
const (
	msgTypeMessage = 0
	msgTypeEnter   = 4
	msgTypeLeave   = 5
)

// timeLayout is RFC 3339 with milliseconds, in UTC.
const timeLayout = "2006-01-02T15:04:05.000Z"

// Place is where a message stands; sockets that ask for ids are told.
type Place struct {
	ID chat.MessageID
	// Prev is the room's previous message, or a position before this one that
	// no message of the room lies between.
	Prev chat.MessageID
	Time time.Time
}

// Format is a way to write a message for a kind of socket.
type Format uint8

// The formats of messages. Those with ids are for sockets that asked for them.
const (
	Session Format = iota
	SessionIDs
	Room
	RoomIDs
	// Formats is how many there are.
	Formats
)

// Message is a message in the format; room is the integer id of its room.
func Message(format Format, room int64, ev *chat.Event, place *Place) *Frame {
	switch format {
	case Session:
		return sessionMessage(ev, nil)
	case SessionIDs:
		return sessionMessage(ev, place)
	case Room:
		return roomMessage(room, ev, nil)
	default:
		return roomMessage(room, ev, place)
	}
}

// sessionMessage is a message on the socket of one session.
func sessionMessage(ev *chat.Event, place *Place) *Frame {
	b := make([]byte, 0, 192+len(ev.Text))
	b = append(b, `{"user":`...)
	b = AppendUser(b, ev.Sender)
	b = append(b, `,"message":`...)
	b = AppendString(b, ev.Text)
	return message(ev, appendPlace(b, place))
}

// roomMessage is a message on the many-room socket.
func roomMessage(room int64, ev *chat.Event, place *Place) *Frame {
	b := make([]byte, 0, 160+len(ev.Text))
	b = appendNotice(b, msgTypeMessage, room, ev)
	b = append(b, `,"message":`...)
	b = AppendString(b, ev.Text)
	return message(ev, appendPlace(b, place))
}

// RoomNotice tells on the many-room socket that someone entered or left.
func RoomNotice(room int64, ev *chat.Event) *Frame {
	msgType := msgTypeLeave
	if ev.Kind == chat.EventEnter {
		msgType = msgTypeEnter
	}
	return Text(append(appendNotice(nil, msgType, room, ev), '}'))
}

func message(ev *chat.Event, payload []byte) *Frame {
	f := Text(payload)
	f.Message, f.Accepted = true, ev.Accepted
	return f
}

func appendNotice(b []byte, msgType int, room int64, ev *chat.Event) []byte {
	b = append(b, `{"msg_type":`...)
	b = strconv.AppendInt(b, int64(msgType), 10)
	b = append(b, `,"room":`...)
	b = strconv.AppendInt(b, room, 10)
	b = append(b, `,"username":`...)
	return AppendString(b, ev.Sender.Username)
}

// appendPlace ends the object of a message.
func appendPlace(b []byte, place *Place) []byte {
	if place == nil {
		return append(b, '}')
	}
	b = append(b, `,"id":"`...)
	b = append(b, place.ID.String()...)
	b = append(b, `","prev":"`...)
	b = append(b, place.Prev.String()...)
	b = append(b, `","time":"`...)
	b = place.Time.UTC().AppendFormat(b, timeLayout)
	return append(b, `"}`...)
}

// AppendUser appends the USER object of the contract.
func AppendUser(b []byte, p chat.Profile) []byte {
	b = append(b, `{"id":`...)
	b = strconv.AppendInt(b, p.ID, 10)
	b = append(b, `,"username":`...)
	b = AppendString(b, p.Username)
	b = append(b, `,"email":`...)
	b = AppendString(b, p.Email)
	b = append(b, `,"first_name":`...)
	b = AppendString(b, p.FirstName)
	b = append(b, `,"last_name":`...)
	b = AppendString(b, p.LastName)
	return append(b, '}')
}

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string, as encoding/json does without
// escaping for HTML. It is here because it runs once for each message and
// format, where reflection costs more than the rest of the delivery.
func AppendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			b = append(b, s[start:i]...)
			b = appendEscaped(b, c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(append(b, s[start:i]...), `\ufffd`...)
			start = i + size
		case r == '\u2028' || r == '\u2029': // they end lines in JavaScript
			b = append(append(b, s[start:i]...), `\u202`...)
			b = append(b, hexDigits[r&0xF])
			start = i + size
		}
		i += size
	}
	return append(append(b, s[start:]...), '"')
}

func appendEscaped(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\b':
		return append(b, `\b`...)
	case '\f':
		return append(b, `\f`...)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	default:
		return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xF])
	}
}
