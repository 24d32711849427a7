package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// A segment begins with a header; all integers are little-endian.
//
//	 0  magic      8 bytes
//	 8  version    uint16
//	10  topic      uint8, then a zero
//	12  partition  uint32
//	16  epoch      uint32
//	20  base       uint64   offset of the first record, as in the file's name
//	28  marker     8 random bytes that begin each batch of the segment
//	36  previous   base, size, next, newest: 4 × int64, see sealed
//	68  crc        uint32   CRC-32C of all before it
//
// A batch is a header and its records.
//
//	 0  marker     8 bytes
//	 8  length     uint32   of the records, in bytes
//	12  crc        uint32   CRC-32C of all after it
//	16  base       uint64   offset of the first record; the others follow it
//	24  time       int64    append time of all of them, Unix milliseconds
//	32  count      uint32   of records, at least 1
//	36  records    each: uvarint length of the key, uvarint length of the
//	               value, key, value
//
// The marker is random so that nobody can send a message whose text passes for
// a batch when recovery looks for batches after a damaged one.
const (
	segmentMagic       = "chatlog\xff"
	formatVersion      = 1
	segmentHeaderBytes = 72
	batchHeaderBytes   = 36
	maxRecordOverhead  = 2 * binary.MaxVarintLen32

	markerBytes = 8
)

// ErrCorrupt: a file is not what this package wrote. The text names the file,
// the position and what is there.
var ErrCorrupt = errors.New("log is corrupt")

func corrupt(path string, position int64, format string, args ...any) error {
	return fmt.Errorf("%w: %s at byte %d: %s", ErrCorrupt, path, position, fmt.Sprintf(format, args...))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sealed sums up a segment that gets no more records. It is kept in the header
// of the next segment, so that Open need not scan this one.
type sealed struct {
	base int64 // -1: there was no segment
	size int64 // in bytes
	next int64 // the offset after the last record
	// newest is the time of the last record, in Unix milliseconds; of an empty
	// segment, what the one before it had.
	newest int64
}

type segmentHeader struct {
	partition chat.Partition
	epoch     uint32
	base      int64
	marker    [markerBytes]byte
	previous  sealed
}

func (h segmentHeader) encode() []byte {
	b := make([]byte, 0, segmentHeaderBytes)
	b = append(b, segmentMagic...)
	b = binary.LittleEndian.AppendUint16(b, formatVersion)
	b = append(b, byte(h.partition.Topic), 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(h.partition.Number))
	b = binary.LittleEndian.AppendUint32(b, h.epoch)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.base))
	b = append(b, h.marker[:]...)
	for _, v := range []int64{h.previous.base, h.previous.size, h.previous.next, h.previous.newest} {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeSegmentHeader(b []byte) (segmentHeader, error) {
	if len(b) < segmentHeaderBytes {
		return segmentHeader{}, fmt.Errorf("%d bytes, which is less than a segment header", len(b))
	}
	if magic := string(b[:8]); magic != segmentMagic {
		return segmentHeader{}, fmt.Errorf("magic %q, want %q", magic, segmentMagic)
	}
	// The version comes before the checksum: another version may keep its
	// checksum elsewhere, and its name is the better answer.
	if version := binary.LittleEndian.Uint16(b[8:]); version != formatVersion {
		return segmentHeader{}, fmt.Errorf("format version %d, this build reads version %d", version, formatVersion)
	}
	const end = segmentHeaderBytes - 4
	if crc := binary.LittleEndian.Uint32(b[end:]); crc != crc32.Checksum(b[:end], castagnoli) {
		return segmentHeader{}, errors.New("a segment header that fails its checksum")
	}
	int64At := func(i int) int64 { return int64(binary.LittleEndian.Uint64(b[i:])) }
	return segmentHeader{
		partition: chat.Partition{Topic: chat.Topic(b[10]), Number: int32(binary.LittleEndian.Uint32(b[12:]))},
		epoch:     binary.LittleEndian.Uint32(b[16:]),
		base:      int64At(20),
		marker:    [markerBytes]byte(b[28:36]),
		previous:  sealed{base: int64At(36), size: int64At(44), next: int64At(52), newest: int64At(60)},
	}, nil
}

// batch is a batch as it lies in memory, header included.
type batch struct {
	base  int64
	time  int64 // Unix milliseconds
	count int
	data  []byte
}

// next is the offset after the last record.
func (b batch) next() int64 { return b.base + int64(b.count) }

// sealBatch fills in the header of a batch whose records are in data already.
func sealBatch(data []byte, marker [markerBytes]byte, base, unixMilli int64, count int) batch {
	copy(data, marker[:])
	binary.LittleEndian.PutUint32(data[8:], uint32(len(data)-batchHeaderBytes))
	binary.LittleEndian.PutUint64(data[16:], uint64(base))
	binary.LittleEndian.PutUint64(data[24:], uint64(unixMilli))
	binary.LittleEndian.PutUint32(data[32:], uint32(count))
	binary.LittleEndian.PutUint32(data[12:], crc32.Checksum(data[16:], castagnoli))
	return batch{base: base, time: unixMilli, count: count, data: data}
}

// shortError says that a batch needs more bytes than there are.
type shortError struct{ need int64 }

func (e *shortError) Error() string { return fmt.Sprintf("a batch that needs %d bytes", e.need) }

// decodeBatch reads the batch that data begins with. It checks the checksum,
// not the records. The error is a *shortError if data ends too early.
func decodeBatch(data []byte, marker [markerBytes]byte) (batch, error) {
	if len(data) < batchHeaderBytes {
		return batch{}, &shortError{need: batchHeaderBytes}
	}
	if [markerBytes]byte(data) != marker {
		return batch{}, errors.New("no batch begins here")
	}
	size := batchHeaderBytes + int64(binary.LittleEndian.Uint32(data[8:]))
	if int64(len(data)) < size {
		return batch{}, &shortError{need: size}
	}
	data = data[:size:size]
	if crc := binary.LittleEndian.Uint32(data[12:]); crc != crc32.Checksum(data[16:], castagnoli) {
		return batch{}, errors.New("a batch that fails its checksum")
	}
	b := batch{
		base:  int64(binary.LittleEndian.Uint64(data[16:])),
		time:  int64(binary.LittleEndian.Uint64(data[24:])),
		count: int(binary.LittleEndian.Uint32(data[32:])),
		data:  data,
	}
	// A record takes two bytes at least, which bounds what a reader allocates.
	if b.base < 0 || b.count < 1 || int64(b.count) > (size-batchHeaderBytes)/2 {
		return batch{}, fmt.Errorf("a batch of %d records from offset %d in %d bytes", b.count, b.base, size)
	}
	return b, nil
}

// appendRecord adds a record to data and says where its value begins.
func appendRecord(data []byte, key string, value []byte) (_ []byte, valueAt int) {
	data = binary.AppendUvarint(data, uint64(len(key)))
	data = binary.AppendUvarint(data, uint64(len(value)))
	data = append(data, key...)
	valueAt = len(data)
	return append(data, value...), valueAt
}

// records decodes the records of a batch. Their values alias its bytes; keys
// are copied, because readers keep them in maps, where each would hold its
// whole batch in memory.
func (b batch) records() ([]chat.Record, error) {
	records := make([]chat.Record, 0, b.count)
	at := time.UnixMilli(b.time)
	data := b.data[batchHeaderBytes:]
	var lastKey string
	for i := range b.count {
		keyLen, n := binary.Uvarint(data)
		if n <= 0 {
			return nil, fmt.Errorf("record %d of %d has no length", i+1, b.count)
		}
		data = data[n:]
		valueLen, n := binary.Uvarint(data)
		if n <= 0 {
			return nil, fmt.Errorf("record %d of %d has no length", i+1, b.count)
		}
		data = data[n:]
		if rest := uint64(len(data)); keyLen > rest || valueLen > rest-keyLen {
			return nil, fmt.Errorf("record %d of %d runs past its batch", i+1, b.count)
		}
		if lastKey != string(data[:keyLen]) {
			lastKey = string(data[:keyLen])
		}
		end := keyLen + valueLen
		records = append(records, chat.Record{
			Offset: b.base + int64(i),
			Time:   at,
			Key:    lastKey,
			Value:  data[keyLen:end:end],
		})
		data = data[end:]
	}
	if len(data) > 0 {
		return nil, fmt.Errorf("%d bytes follow the last record of a batch", len(data))
	}
	return records, nil
}
