package kafka

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
)

// uuid is the id of a topic.
type uuid [16]byte

func (u uuid) String() string { return hex.EncodeToString(u[:]) }

// errMalformed: what a broker sent does not follow the protocol.
var errMalformed = errors.New("malformed message")

// The primitives of the Kafka protocol's flexible versions
// (https://kafka.apache.org/protocol, KIP-482): compact lengths are one more
// than the length as an unsigned varint, and 0 for null.

type encoder struct{ b []byte }

func (e *encoder) int8(v int8)   { e.b = append(e.b, byte(v)) }
func (e *encoder) int16(v int16) { e.b = binary.BigEndian.AppendUint16(e.b, uint16(v)) }
func (e *encoder) int32(v int32) { e.b = binary.BigEndian.AppendUint32(e.b, uint32(v)) }
func (e *encoder) int64(v int64) { e.b = binary.BigEndian.AppendUint64(e.b, uint64(v)) }
func (e *encoder) uuid(v uuid)   { e.b = append(e.b, v[:]...) }

// length is that of a compact string, array or byte sequence.
func (e *encoder) length(n int) { e.b = binary.AppendUvarint(e.b, uint64(n)+1) }
func (e *encoder) null()        { e.b = append(e.b, 0) }

func (e *encoder) string(s string) {
	e.length(len(s))
	e.b = append(e.b, s...)
}

// tags are the optional fields that end every structure; none is ever sent.
func (e *encoder) tags() { e.b = append(e.b, 0) }

// decoder reads from b. After the first error it returns zero values, so that
// callers check err once.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) take(n int) []byte {
	if d.err != nil || n < 0 || n > len(d.b) {
		d.err = errMalformed
		return nil
	}
	taken := d.b[:n:n]
	d.b = d.b[n:]
	return taken
}

func (d *decoder) int8() int8 {
	if b := d.take(1); b != nil {
		return int8(b[0])
	}
	return 0
}

func (d *decoder) int16() int16 {
	if b := d.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (d *decoder) int32() int32 {
	if b := d.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (d *decoder) int64() int64 {
	if b := d.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (d *decoder) uuid() uuid {
	var u uuid
	copy(u[:], d.take(len(u)))
	return u
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.err = errMalformed
		return 0
	}
	d.take(n)
	return v
}

// varint is a zigzag varint, as records have them.
func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.err = errMalformed
		return 0
	}
	d.take(n)
	return v
}

// length is a compact length; 0 for null too. No element is shorter than a
// byte, so a length beyond the rest is malformed.
func (d *decoder) length() int {
	v := d.uvarint()
	if v > uint64(len(d.b))+1 {
		d.err = errMalformed
	}
	if d.err != nil || v == 0 {
		return 0
	}
	return int(v - 1)
}

// int32s is an array of numbers.
func (d *decoder) int32s() []int32 {
	b := d.take(4 * d.length())
	numbers := make([]int32, len(b)/4)
	for i := range numbers {
		numbers[i] = int32(binary.BigEndian.Uint32(b[4*i:]))
	}
	return numbers
}

func (d *decoder) bytes() []byte  { return d.take(d.length()) }
func (d *decoder) string() string { return string(d.bytes()) }

// tags skips the optional fields at the end of a structure.
func (d *decoder) tags() {
	for n := d.uvarint(); n > 0 && d.err == nil; n-- {
		d.uvarint()
		if size := d.uvarint(); size <= uint64(len(d.b)) {
			d.take(int(size))
		} else {
			d.err = errMalformed
		}
	}
}
