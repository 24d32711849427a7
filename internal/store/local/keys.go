package local

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// The layout of the keys. The first byte names the table. Integers are 64 bits
// and big-endian, so that they sort; times are milliseconds with the sign bit
// flipped, for the same reason. A string that is followed by something is
// escaped and terminated (appendText), so that no key of "ab" lies among those
// of "a"; a string at the end of a key stands as it is.
//
//	I name                     the highest id given: "user", "room"
//	u user id                  the user
//	n username                 the user's id
//	t token hash               the token
//	T user id, token hash      nothing: the tokens of a user
//	e expiry, token hash       nothing: the tokens by expiry
//	r uri                      the room
//	R room id                  the room's URI
//	l room id                  the URI of a listed room
//	m uri, user id             the member
//	M user id, room id         the URI of a session that the user is in
//	g uri, epoch (4), offset   the message
//	w topic (1), partition (4) the watermark
//	x topic (1), partition (4), epoch (4), offset
//	                           the foreign record
//	c                          the cutoff
//	L gateway                  the lease
//	p uri, gateway, user id    the presence row
//	P gateway, uri, user id    nothing: the presence rows of a gateway
//	q updated, uri, gateway, user id
//	                           nothing: the presence rows by age
const (
	tableIDs           = 'I'
	tableUser          = 'u'
	tableUsername      = 'n'
	tableToken         = 't'
	tableTokenByUser   = 'T'
	tableTokenByExpiry = 'e'
	tableRoom          = 'r'
	tableRoomByID      = 'R'
	tableListedRoom    = 'l'
	tableMember        = 'm'
	tableSessionOf     = 'M'
	tableMessage       = 'g'
	tableWatermark     = 'w'
	tableForeign       = 'x'
	tableCutoff        = 'c'
	tableLease         = 'L'
	tablePresence      = 'p'
	tablePresenceBy    = 'P'
	tablePresenceByAge = 'q'
)

// An escaped string has 0x00 written as 0x00 0xFF and ends with 0x00 0x01,
// which sorts before every continuation. 0x00 0x02 is thus the end of all keys
// that begin with the string.
const (
	escape     = 0x00
	escapedNul = 0xFF
	terminator = 0x01
	pastText   = 0x02
)

func appendText(key []byte, s string) []byte {
	for i := range len(s) {
		key = append(key, s[i])
		if s[i] == escape {
			key = append(key, escapedNul)
		}
	}
	return append(key, escape, terminator)
}

// cutText takes an escaped string off the front of key.
func cutText(key []byte) (s string, rest []byte, err error) {
	var text []byte
	for {
		i := bytes.IndexByte(key, escape)
		if i < 0 || i+1 >= len(key) {
			return "", nil, errors.New("a string in the key has no end")
		}
		text = append(text, key[:i]...)
		mark := key[i+1]
		key = key[i+2:]
		switch mark {
		case terminator:
			return string(text), key, nil
		case escapedNul:
			text = append(text, escape)
		default:
			return "", nil, fmt.Errorf("a string in the key has the escape 0x%02x", mark)
		}
	}
}

func appendInt(key []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(key, uint64(v))
}

func cutInt(key []byte) (v int64, rest []byte, err error) {
	if len(key) < 8 {
		return 0, nil, fmt.Errorf("an integer in the key has %d bytes", len(key))
	}
	return int64(binary.BigEndian.Uint64(key)), key[8:], nil
}

func appendMillis(key []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint64(key, uint64(t.UnixMilli())^(1<<63))
}

func textKey(table byte, s string) []byte { return append([]byte{table}, s...) }

func intKey(table byte, v int64) []byte { return appendInt([]byte{table}, v) }

func tokenKey(hash chat.TokenHash) []byte { return append([]byte{tableToken}, hash[:]...) }

func tokenByUserKey(userID int64, hash chat.TokenHash) []byte {
	return append(intKey(tableTokenByUser, userID), hash[:]...)
}

func tokenByExpiryKey(expires time.Time, hash chat.TokenHash) []byte {
	return append(appendMillis([]byte{tableTokenByExpiry}, expires), hash[:]...)
}

// cutHash reads the token hash that ends a key.
func cutHash(key []byte) (hash chat.TokenHash, err error) {
	if len(key) < len(hash) {
		return hash, fmt.Errorf("a token hash in the key has %d bytes", len(key))
	}
	copy(hash[:], key[len(key)-len(hash):])
	return hash, nil
}

func memberKey(uri string, userID int64) []byte {
	return appendInt(appendText([]byte{tableMember}, uri), userID)
}

func sessionOfKey(userID, roomID int64) []byte {
	return appendInt(intKey(tableSessionOf, userID), roomID)
}

func messageKey(uri string, id chat.MessageID) []byte {
	key := make([]byte, 0, 1+len(uri)+2+4+8)
	key = appendText(append(key, tableMessage), uri)
	key = binary.BigEndian.AppendUint32(key, id.Epoch)
	return appendInt(key, id.Offset)
}

// cutMessageKey is the inverse of messageKey; the id has no time.
func cutMessageKey(key []byte) (uri string, id chat.MessageID, err error) {
	if len(key) == 0 || key[0] != tableMessage {
		return "", id, errors.New("not the key of a message")
	}
	uri, rest, err := cutText(key[1:])
	if err != nil {
		return "", id, err
	}
	if len(rest) != 4+8 {
		return "", id, fmt.Errorf("the position in the key has %d bytes", len(rest))
	}
	id.Epoch = binary.BigEndian.Uint32(rest)
	id.Offset = int64(binary.BigEndian.Uint64(rest[4:]))
	return uri, id, nil
}

func watermarkKey(p chat.Partition) []byte { return partitionKey(tableWatermark, p) }

func partitionKey(table byte, p chat.Partition) []byte {
	return binary.BigEndian.AppendUint32([]byte{table, byte(p.Topic)}, uint32(p.Number))
}

func foreignKey(p chat.Partition, epoch uint32, offset int64) []byte {
	return appendInt(binary.BigEndian.AppendUint32(partitionKey(tableForeign, p), epoch), offset)
}

// foreignSpan is the range of the foreign records of a partition.
func foreignSpan(p chat.Partition) span {
	next := p
	next.Number++ // one beyond the last int32 sorts above it too
	return span{partitionKey(tableForeign, p), partitionKey(tableForeign, next)}
}

// cutForeignKey is the inverse of foreignKey for one of the partition's keys.
func cutForeignKey(key []byte) (epoch uint32, offset int64, err error) {
	const place = 1 + 1 + 4
	if len(key) != place+4+8 {
		return 0, 0, fmt.Errorf("the key of a foreign record has %d bytes", len(key))
	}
	return binary.BigEndian.Uint32(key[place:]), int64(binary.BigEndian.Uint64(key[place+4:])), nil
}

func presenceKey(uri, gateway string, userID int64) []byte {
	return appendInt(appendText(appendText([]byte{tablePresence}, uri), gateway), userID)
}

func presenceByKey(gateway, uri string, userID int64) []byte {
	return appendInt(appendText(appendText([]byte{tablePresenceBy}, gateway), uri), userID)
}

func presenceByAgeKey(updated time.Time, uri, gateway string, userID int64) []byte {
	key := appendMillis([]byte{tablePresenceByAge}, updated)
	return appendInt(appendText(appendText(key, uri), gateway), userID)
}

// cutPresence reads the two strings and the user id that end each key of the
// presence tables.
func cutPresence(key []byte) (first, second string, userID int64, err error) {
	if first, key, err = cutText(key); err != nil {
		return "", "", 0, err
	}
	if second, key, err = cutText(key); err != nil {
		return "", "", 0, err
	}
	userID, _, err = cutInt(key)
	return first, second, userID, err
}

// span is the range of keys low ≤ key < high.
type span struct{ low, high []byte }

// prefixSpan is the range of the keys that begin with prefix, whose last byte
// is not 0xFF.
func prefixSpan(prefix []byte) span {
	high := bytes.Clone(prefix)
	high[len(high)-1]++
	return span{prefix, high}
}

// textSpan is the range of the keys of one escaped string in a table.
func textSpan(table byte, s string) span {
	low := appendText([]byte{table}, s)
	high := bytes.Clone(low)
	high[len(high)-1] = pastText
	return span{low, high}
}

// intSpan is the range of the keys of one integer, which is no -1, in a table.
func intSpan(table byte, v int64) span {
	return span{intKey(table, v), intKey(table, v+1)}
}

// successor is the key that directly follows key.
func successor(key []byte) []byte { return append(bytes.Clone(key), 0) }
