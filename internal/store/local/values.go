package local

import (
	"bytes"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// Values are in protobuf wire format. Fields at their zero value are left out
// and unknown fields are skipped, so that a newer writer and an older reader
// understand each other. The numbers are stored: never reuse one. Times are
// zigzag milliseconds since 1970, and a zero time is left out.
const (
	profileID        = 1
	profileUsername  = 2
	profileEmail     = 3
	profileFirstName = 4
	profileLastName  = 5
	// The fields of a value that holds a profile begin here.
	afterProfile = 8

	userPasswordHash = afterProfile
	userIsStaff      = afterProfile + 1
	userIsActive     = afterProfile + 2
	userCreated      = afterProfile + 3

	messageTime    = afterProfile
	messageExpires = afterProfile + 1
	messageText    = afterProfile + 2

	presenceLeft    = afterProfile
	presenceUpdated = afterProfile + 1

	tokenUserID  = 1
	tokenCreated = 2
	tokenExpires = 3

	roomID         = 1
	roomTopic      = 2
	roomPartition  = 3
	roomKind       = 4
	roomTitle      = 5
	roomOwner      = 6
	roomStaffOnly  = 7
	roomAccess     = 8
	roomMessageTTL = 9 // nanoseconds
	roomCreated    = 10

	memberJoined  = 1
	memberRemoved = 2

	watermarkEpoch = 1
	watermarkNext  = 2

	foreignTime        = 1
	foreignRecordKey   = 2
	foreignRecordValue = 3

	singleValue = 1
)

func putUint(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func putBool(b []byte, field protowire.Number, v bool) []byte {
	return putUint(b, field, protowire.EncodeBool(v))
}

func putString(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}

func putTime(b []byte, field protowire.Number, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	b = protowire.AppendTag(b, field, protowire.VarintType)
	return protowire.AppendVarint(b, protowire.EncodeZigZag(t.UnixMilli()))
}

func timeOf(v uint64) time.Time { return time.UnixMilli(protowire.DecodeZigZag(v)).UTC() }

// field is one field of a value: a number or a string.
type field struct {
	number protowire.Number
	uint   uint64
	bytes  []byte
}

// eachField calls f with each field of a value.
func eachField(value []byte, f func(field)) error {
	for len(value) > 0 {
		number, wireType, n := protowire.ConsumeTag(value)
		if n < 0 {
			return fmt.Errorf("decode value: %w", protowire.ParseError(n))
		}
		value = value[n:]
		fd := field{number: number}
		switch wireType {
		case protowire.VarintType:
			fd.uint, n = protowire.ConsumeVarint(value)
		case protowire.BytesType:
			fd.bytes, n = protowire.ConsumeBytes(value)
		default:
			n = protowire.ConsumeFieldValue(number, wireType, value)
		}
		if n < 0 {
			return fmt.Errorf("decode value: field %d: %w", number, protowire.ParseError(n))
		}
		value = value[n:]
		if wireType == protowire.VarintType || wireType == protowire.BytesType {
			f(fd)
		}
	}
	return nil
}

func putProfile(b []byte, p chat.Profile) []byte {
	b = putUint(b, profileID, uint64(p.ID))
	b = putString(b, profileUsername, p.Username)
	b = putString(b, profileEmail, p.Email)
	b = putString(b, profileFirstName, p.FirstName)
	return putString(b, profileLastName, p.LastName)
}

func setProfile(p *chat.Profile, f field) {
	switch f.number {
	case profileID:
		p.ID = int64(f.uint)
	case profileUsername:
		p.Username = string(f.bytes)
	case profileEmail:
		p.Email = string(f.bytes)
	case profileFirstName:
		p.FirstName = string(f.bytes)
	case profileLastName:
		p.LastName = string(f.bytes)
	}
}

func encodeUser(u chat.User) []byte {
	b := putProfile(nil, u.Profile)
	b = putString(b, userPasswordHash, u.PasswordHash)
	b = putBool(b, userIsStaff, u.IsStaff)
	b = putBool(b, userIsActive, u.IsActive)
	return putTime(b, userCreated, u.Created)
}

func decodeUser(value []byte) (u chat.User, err error) {
	err = eachField(value, func(f field) {
		switch f.number {
		case userPasswordHash:
			u.PasswordHash = string(f.bytes)
		case userIsStaff:
			u.IsStaff = f.uint != 0
		case userIsActive:
			u.IsActive = f.uint != 0
		case userCreated:
			u.Created = timeOf(f.uint)
		default:
			setProfile(&u.Profile, f)
		}
	})
	return u, err
}

func encodeToken(t chat.Token) []byte {
	b := putUint(nil, tokenUserID, uint64(t.UserID))
	b = putTime(b, tokenCreated, t.Created)
	return putTime(b, tokenExpires, t.Expires)
}

func decodeToken(hash chat.TokenHash, value []byte) (chat.Token, error) {
	t := chat.Token{Hash: hash}
	err := eachField(value, func(f field) {
		switch f.number {
		case tokenUserID:
			t.UserID = int64(f.uint)
		case tokenCreated:
			t.Created = timeOf(f.uint)
		case tokenExpires:
			t.Expires = timeOf(f.uint)
		}
	})
	return t, err
}

func encodeRoom(r chat.Room) []byte {
	b := putUint(nil, roomID, uint64(r.ID))
	b = putUint(b, roomTopic, uint64(r.Partition.Topic))
	b = putUint(b, roomPartition, uint64(uint32(r.Partition.Number)))
	b = putUint(b, roomKind, uint64(r.Kind))
	b = putString(b, roomTitle, r.Title)
	b = putUint(b, roomOwner, uint64(r.Owner))
	b = putBool(b, roomStaffOnly, r.StaffOnly)
	b = putUint(b, roomAccess, uint64(r.Access))
	b = putUint(b, roomMessageTTL, uint64(r.MessageTTL))
	return putTime(b, roomCreated, r.Created)
}

func decodeRoom(uri string, value []byte) (chat.Room, error) {
	r := chat.Room{URI: uri}
	err := eachField(value, func(f field) {
		switch f.number {
		case roomID:
			r.ID = int64(f.uint)
		case roomTopic:
			r.Partition.Topic = chat.Topic(f.uint)
		case roomPartition:
			r.Partition.Number = int32(f.uint)
		case roomKind:
			r.Kind = chat.RoomKind(f.uint)
		case roomTitle:
			r.Title = string(f.bytes)
		case roomOwner:
			r.Owner = int64(f.uint)
		case roomStaffOnly:
			r.StaffOnly = f.uint != 0
		case roomAccess:
			r.Access = chat.Access(f.uint)
		case roomMessageTTL:
			r.MessageTTL = time.Duration(f.uint)
		case roomCreated:
			r.Created = timeOf(f.uint)
		}
	})
	return r, err
}

func encodeMember(m chat.Member) []byte {
	return putBool(putTime(nil, memberJoined, m.Joined), memberRemoved, m.Removed)
}

func decodeMember(uri string, userID int64, value []byte) (chat.Member, error) {
	m := chat.Member{RoomURI: uri, UserID: userID}
	err := eachField(value, func(f field) {
		switch f.number {
		case memberJoined:
			m.Joined = timeOf(f.uint)
		case memberRemoved:
			m.Removed = f.uint != 0
		}
	})
	return m, err
}

func encodeMessage(m chat.Message) []byte {
	b := make([]byte, 0, 64+len(m.Text))
	b = putProfile(b, m.Sender)
	b = putTime(b, messageTime, m.Time)
	b = putTime(b, messageExpires, m.Expires)
	return putString(b, messageText, m.Text)
}

// decodeMessage takes the message's place from its key.
func decodeMessage(uri string, id chat.MessageID, value []byte) (chat.Message, error) {
	m := chat.Message{RoomURI: uri, ID: id}
	err := eachField(value, func(f field) {
		switch f.number {
		case messageTime:
			m.Time = timeOf(f.uint)
		case messageExpires:
			m.Expires = timeOf(f.uint)
		case messageText:
			m.Text = string(f.bytes)
		default:
			setProfile(&m.Sender, f)
		}
	})
	m.ID.Time = m.Time.Unix()
	return m, err
}

// decodeMessageTimes reads no more of a message than its times, and allocates
// nothing.
func decodeMessageTimes(value []byte) (appended, expires time.Time, err error) {
	err = eachField(value, func(f field) {
		switch f.number {
		case messageTime:
			appended = timeOf(f.uint)
		case messageExpires:
			expires = timeOf(f.uint)
		}
	})
	return appended, expires, err
}

func encodeWatermark(w chat.Watermark) []byte {
	return putUint(putUint(nil, watermarkEpoch, uint64(w.Epoch)), watermarkNext, uint64(w.Next))
}

func decodeWatermark(value []byte) (w chat.Watermark, err error) {
	err = eachField(value, func(f field) {
		switch f.number {
		case watermarkEpoch:
			w.Epoch = uint32(f.uint)
		case watermarkNext:
			w.Next = int64(f.uint)
		}
	})
	return w, err
}

func encodeForeign(r chat.Record) []byte {
	b := putString(putTime(nil, foreignTime, r.Time), foreignRecordKey, r.Key)
	return putString(b, foreignRecordValue, string(r.Value))
}

func decodeForeign(offset int64, value []byte) (chat.Record, error) {
	r := chat.Record{Offset: offset}
	err := eachField(value, func(f field) {
		switch f.number {
		case foreignTime:
			r.Time = timeOf(f.uint)
		case foreignRecordKey:
			r.Key = string(f.bytes)
		case foreignRecordValue:
			r.Value = bytes.Clone(f.bytes)
		}
	})
	return r, err
}

func encodePresence(row chat.PresenceRow) []byte {
	b := putProfile(nil, row.User)
	b = putBool(b, presenceLeft, row.Left)
	return putTime(b, presenceUpdated, row.Updated)
}

func decodePresence(uri, gateway string, value []byte) (chat.PresenceRow, error) {
	row := chat.PresenceRow{RoomURI: uri, Gateway: gateway}
	err := eachField(value, func(f field) {
		switch f.number {
		case presenceLeft:
			row.Left = f.uint != 0
		case presenceUpdated:
			row.Updated = timeOf(f.uint)
		default:
			setProfile(&row.User, f)
		}
	})
	return row, err
}

// encodeInt and encodeTime are for values that are one integer or time.
func encodeInt(v int64) []byte { return putUint(nil, singleValue, uint64(v)) }

func encodeTime(t time.Time) []byte { return putTime(nil, singleValue, t) }

func decodeInt(value []byte) (v int64, err error) {
	err = eachField(value, func(f field) {
		if f.number == singleValue {
			v = int64(f.uint)
		}
	})
	return v, err
}

func decodeTime(value []byte) (t time.Time, err error) {
	err = eachField(value, func(f field) {
		if f.number == singleValue {
			t = timeOf(f.uint)
		}
	})
	return t, err
}
