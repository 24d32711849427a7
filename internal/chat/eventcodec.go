package chat

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// The encoding of an Event in a log record: protobuf wire format with these
// field numbers. Fields at their zero value are left out, unknown fields are
// skipped, so that a newer writer and an older reader understand each other.
// The numbers are stored: never reuse one.
const (
	fieldKind      = 1
	fieldSenderID  = 2
	fieldUsername  = 3
	fieldEmail     = 4
	fieldFirstName = 5
	fieldLastName  = 6
	fieldText      = 7
	fieldKey       = 8
	fieldTTL       = 9 // milliseconds
	fieldOrigin    = 10
	fieldSubject   = 11
	fieldToken     = 12
	fieldOthers    = 13
	fieldAccepted  = 14 // microseconds since the Unix epoch
)

// AppendEvent appends the encoding of ev to b.
func AppendEvent(b []byte, ev Event) []byte {
	b = appendUint(b, fieldKind, uint64(ev.Kind))
	b = appendUint(b, fieldSenderID, uint64(ev.Sender.ID))
	b = appendString(b, fieldUsername, ev.Sender.Username)
	b = appendString(b, fieldEmail, ev.Sender.Email)
	b = appendString(b, fieldFirstName, ev.Sender.FirstName)
	b = appendString(b, fieldLastName, ev.Sender.LastName)
	b = appendString(b, fieldText, ev.Text)
	b = appendString(b, fieldKey, ev.Key)
	b = appendUint(b, fieldTTL, uint64(ev.TTL.Milliseconds()))
	b = appendString(b, fieldOrigin, ev.Origin)
	b = appendUint(b, fieldSubject, uint64(ev.Subject))
	if ev.Token != (TokenHash{}) {
		b = protowire.AppendTag(b, fieldToken, protowire.BytesType)
		b = protowire.AppendBytes(b, ev.Token[:])
	}
	if ev.Others {
		b = appendUint(b, fieldOthers, 1)
	}
	if !ev.Accepted.IsZero() {
		b = appendUint(b, fieldAccepted, uint64(ev.Accepted.UnixMicro()))
	}
	return b
}

func appendUint(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	b = protowire.AppendTag(b, field, protowire.VarintType)
	return protowire.AppendVarint(b, v)
}

func appendString(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendString(b, s)
}

// DecodeEvent reads what AppendEvent wrote; key is the record's key. An error
// means that the record is not one of ours: readers skip and count it.
func DecodeEvent(key string, value []byte) (Event, error) {
	ev := Event{Room: key}
	for len(value) > 0 {
		field, wireType, n := protowire.ConsumeTag(value)
		if n < 0 {
			return Event{}, fmt.Errorf("decode event: %w", protowire.ParseError(n))
		}
		value = value[n:]
		switch wireType {
		case protowire.VarintType:
			var v uint64
			if v, n = protowire.ConsumeVarint(value); n >= 0 {
				ev.setUint(field, v)
			}
		case protowire.BytesType:
			var v []byte
			if v, n = protowire.ConsumeBytes(value); n >= 0 {
				if err := ev.setBytes(field, v); err != nil {
					return Event{}, fmt.Errorf("decode event: field %d: %w", field, err)
				}
			}
		default:
			n = protowire.ConsumeFieldValue(field, wireType, value)
		}
		if n < 0 {
			return Event{}, fmt.Errorf("decode event: field %d: %w", field, protowire.ParseError(n))
		}
		value = value[n:]
	}
	if ev.Kind == 0 {
		return Event{}, errors.New("decode event: no kind")
	}
	return ev, nil
}

func (ev *Event) setUint(field protowire.Number, v uint64) {
	switch field {
	case fieldKind:
		ev.Kind = EventKind(v)
	case fieldSenderID:
		ev.Sender.ID = int64(v)
	case fieldTTL:
		ev.TTL = time.Duration(v) * time.Millisecond
	case fieldSubject:
		ev.Subject = int64(v)
	case fieldAccepted:
		ev.Accepted = time.UnixMicro(int64(v))
	case fieldOthers:
		ev.Others = v != 0
	}
}

func (ev *Event) setBytes(field protowire.Number, v []byte) error {
	var target *string
	switch field {
	case fieldUsername:
		target = &ev.Sender.Username
	case fieldEmail:
		target = &ev.Sender.Email
	case fieldFirstName:
		target = &ev.Sender.FirstName
	case fieldLastName:
		target = &ev.Sender.LastName
	case fieldText:
		target = &ev.Text
	case fieldKey:
		target = &ev.Key
	case fieldOrigin:
		target = &ev.Origin
	case fieldToken:
		if len(v) != len(ev.Token) {
			return fmt.Errorf("a token hash has %d bytes, not %d", len(ev.Token), len(v))
		}
		copy(ev.Token[:], v)
		return nil
	default:
		return nil
	}
	if !utf8.Valid(v) {
		return errors.New("not valid UTF-8")
	}
	*target = string(v)
	return nil
}
