package wire

import (
	"encoding/binary"
	"time"
)

// Opcodes of RFC 6455, section 5.2.
const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA
)

const (
	finalBit = 0x80
	// maxHeader is the largest header of an unmasked frame.
	maxHeader = 10
	// maxControl is the largest payload of a control frame, and codeBytes how
	// much of it the code of a close takes.
	maxControl = 125
	codeBytes  = 2
)

// Frame is a whole frame, header and payload. Frames of a server are not
// masked, so one is the same for everyone who gets it; it must not be changed.
type Frame struct {
	Bytes []byte
	// Message is true for a message of a room, as opposed to an answer or a
	// notice.
	Message bool
	// Accepted is when the server took the message from its sender; zero if
	// that is not known.
	Accepted time.Time
}

// Text is a text frame around payload.
func Text(payload []byte) *Frame { return &Frame{Bytes: frame(opText, payload)} }

// Ping is an empty ping.
func Ping() *Frame { return &Frame{Bytes: frame(opPing, nil)} }

// Pong answers a ping's payload.
func Pong(payload string) *Frame { return &Frame{Bytes: frame(opPong, []byte(payload))} }

// Close is a close frame. A code of 0 is left out, and the reason with it. The
// reason is cut to what a control frame holds.
func Close(code int, reason string) *Frame {
	if code == 0 {
		return &Frame{Bytes: frame(opClose, nil)}
	}
	payload := binary.BigEndian.AppendUint16(nil, uint16(code))
	payload = append(payload, reason[:min(len(reason), maxControl-codeBytes)]...)
	return &Frame{Bytes: frame(opClose, payload)}
}

func frame(opcode byte, payload []byte) []byte {
	b := make([]byte, 0, maxHeader+len(payload))
	b = append(b, finalBit|opcode)
	switch n := len(payload); {
	case n <= maxControl:
		b = append(b, byte(n))
	case n <= 0xFFFF:
		b = append(b, 126)
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b = append(b, 127)
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return append(b, payload...)
}
