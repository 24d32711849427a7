package chat

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"
)

// MessageID is the position of an event in its partition of the log. It orders
// the events of a room, and clients hold it as one opaque string.
type MessageID struct {
	// Epoch changes when the log is ever recreated, so that an offset of a
	// former log is not mistaken for one of this log. Epochs only grow.
	Epoch uint32
	// Offset is the record's offset in its partition; it fits 48 bits.
	Offset int64
	// Time is the append time of the record in Unix seconds. It takes no part
	// in the order. A resume compares it with the retention to know, without a
	// look-up, whether anything after it may already be gone.
	Time int64
}

const (
	messageIDBytes  = 4 + 6 + 4
	messageIDDigits = 2 * messageIDBytes
	// MaxOffset is the largest offset that a MessageID can carry.
	MaxOffset = 1<<48 - 1
)

// NewMessageID makes the id of the record at offset that was appended at t.
func NewMessageID(epoch uint32, offset int64, t time.Time) MessageID {
	return MessageID{Epoch: epoch, Offset: offset, Time: t.Unix()}
}

// Compare orders ids by epoch, then by offset.
func (id MessageID) Compare(other MessageID) int {
	return cmp.Or(cmp.Compare(id.Epoch, other.Epoch), cmp.Compare(id.Offset, other.Offset))
}

// BeforeFirst is the position before the first record of an epoch: no record
// has it.
func BeforeFirst(epoch uint32, t time.Time) MessageID { return NewMessageID(epoch-1, MaxOffset, t) }

// BeginsIn reports whether id is a position in the epoch: that of a record, or
// the one before the first.
func (id MessageID) BeginsIn(epoch uint32) bool {
	return id.Epoch == epoch || id.Epoch+1 == epoch && id.Offset == MaxOffset
}

// IsZero reports whether id is no position at all.
func (id MessageID) IsZero() bool { return id == MessageID{} }

// String is the form that clients see: 28 hexadecimal digits (epoch, offset,
// time; big-endian) whose lexical order is the order of Compare.
func (id MessageID) String() string {
	var b [messageIDBytes]byte
	binary.BigEndian.PutUint32(b[0:4], id.Epoch)
	var offset [8]byte
	binary.BigEndian.PutUint64(offset[:], uint64(id.Offset))
	copy(b[4:10], offset[2:])
	binary.BigEndian.PutUint32(b[10:14], uint32(id.Time))
	return hex.EncodeToString(b[:])
}

// ParseMessageID reads the form that String writes.
func ParseMessageID(s string) (MessageID, error) {
	if len(s) != messageIDDigits {
		return MessageID{}, fmt.Errorf("a message id has %d hexadecimal digits, not %d characters", messageIDDigits, len(s))
	}
	var b [messageIDBytes]byte
	if _, err := hex.Decode(b[:], []byte(s)); err != nil {
		return MessageID{}, fmt.Errorf("a message id has %d hexadecimal digits: %w", messageIDDigits, err)
	}
	var offset [8]byte
	copy(offset[2:], b[4:10])
	return MessageID{
		Epoch:  binary.BigEndian.Uint32(b[0:4]),
		Offset: int64(binary.BigEndian.Uint64(offset[:])),
		Time:   int64(binary.BigEndian.Uint32(b[10:14])),
	}, nil
}
