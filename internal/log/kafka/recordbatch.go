package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/segmentio/kafka-go/compress"
)

// The record batch, magic 2 (https://kafka.apache.org/documentation/#recordbatch):
//
//	 0 base offset 8          27 base timestamp 8
//	 8 batch length 4         35 max timestamp 8
//	12 leader epoch 4         43 producer id 8
//	16 magic 1                51 producer epoch 2
//	17 crc-32c of the rest 4  53 base sequence 4
//	21 attributes 2           57 records 4
//	23 last offset delta 4    61 …
const (
	batchHeaderBytes = 61
	// batchPrefixBytes are not counted by the batch length.
	batchPrefixBytes = 12
	// minRecordBytes is the shortest record: an empty one without a key.
	minRecordBytes = 7
	// decompressedLimit bounds what one compressed batch may become.
	decompressedLimit = 64 << 20
)

const (
	attrCompression = 0b111
	// attrAppendTime: all records have the max timestamp, which the broker set.
	attrAppendTime = 1 << 3
	attrControl    = 1 << 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// producerState is what makes a batch recognisable: the broker remembers the
// last batches of each producer id by their sequence, and does not append one
// twice.
type producerState struct {
	id    int64
	epoch int16
	// sequence is that of the next record.
	sequence int32
}

// advance moves the sequence over n records; it wraps to 0.
func (s *producerState) advance(n int) {
	s.sequence = int32((int64(s.sequence) + int64(n)) & 0x7fffffff)
}

// appendBatch appends a batch of the records, which have neither offset nor
// time yet, to b.
func appendBatch(b []byte, s producerState, now time.Time, records []chat.Record) []byte {
	start := len(b)
	e := encoder{b}
	e.int64(0)
	e.int32(0)  // batch length, below
	e.int32(-1) // leader epoch
	e.int8(2)
	e.int32(0) // crc, below
	e.int16(0)
	e.int32(int32(len(records) - 1))
	e.int64(now.UnixMilli())
	e.int64(now.UnixMilli())
	e.int64(s.id)
	e.int16(s.epoch)
	e.int32(s.sequence)
	e.int32(int32(len(records)))
	for i, r := range records {
		e.b = appendRecord(e.b, int64(i), r)
	}
	batch := e.b[start:]
	binary.BigEndian.PutUint32(batch[8:], uint32(len(batch)-batchPrefixBytes))
	binary.BigEndian.PutUint32(batch[17:], crc32.Checksum(batch[21:], castagnoli))
	return e.b
}

func appendRecord(b []byte, delta int64, r chat.Record) []byte {
	size := 3 + varintLen(delta) + varintLen(int64(len(r.Key))) + len(r.Key) + varintLen(int64(len(r.Value))) + len(r.Value)
	b = binary.AppendVarint(b, int64(size))
	b = append(b, 0, 0) // attributes, timestamp delta
	b = binary.AppendVarint(b, delta)
	b = binary.AppendVarint(b, int64(len(r.Key)))
	b = append(b, r.Key...)
	b = binary.AppendVarint(b, int64(len(r.Value)))
	b = append(b, r.Value...)
	return append(b, 0) // headers
}

func varintLen(v int64) int {
	var b [binary.MaxVarintLen64]byte
	return binary.PutVarint(b[:], v)
}

// decodeBatches returns the records of the batches in b from offset from on,
// and where reading goes on: beyond the last whole batch, which may be further
// than the last record (control batches carry none for readers). A batch that
// is cut off at the end is left out. The values are parts of b.
func decodeBatches(b []byte, from int64) (records []chat.Record, next int64, err error) {
	next = from
	for len(b) >= batchHeaderBytes {
		size := int64(batchPrefixBytes) + int64(int32(binary.BigEndian.Uint32(b[8:])))
		if size < batchHeaderBytes {
			return nil, from, fmt.Errorf("batch of %d bytes: %w", size, errMalformed)
		}
		if size > int64(len(b)) {
			break
		}
		records, next, err = decodeBatch(b[:size:size], next, records)
		if err != nil {
			return nil, from, err
		}
		b = b[size:]
	}
	return records, next, nil
}

func decodeBatch(b []byte, from int64, records []chat.Record) ([]chat.Record, int64, error) {
	base := int64(binary.BigEndian.Uint64(b))
	if magic := b[16]; magic != 2 {
		return nil, 0, fmt.Errorf("batch at %d has format %d, want 2: %w", base, magic, errMalformed)
	}
	if got, want := crc32.Checksum(b[21:], castagnoli), binary.BigEndian.Uint32(b[17:]); got != want {
		return nil, 0, fmt.Errorf("batch at %d has checksum %08x, want %08x: %w", base, got, want, errMalformed)
	}
	attributes := binary.BigEndian.Uint16(b[21:])
	last := base + int64(int32(binary.BigEndian.Uint32(b[23:])))
	if base < 0 || last < base {
		return nil, 0, fmt.Errorf("batch from %d to %d: %w", base, last, errMalformed)
	}
	next := max(from, last+1)
	if last < from || attributes&attrControl != 0 {
		return records, next, nil
	}
	body, err := decompress(compress.Compression(attributes&attrCompression), b[batchHeaderBytes:])
	if err != nil {
		return nil, 0, fmt.Errorf("batch at %d: %w", base, err)
	}
	times := batchTimes{
		base:       int64(binary.BigEndian.Uint64(b[27:])),
		max:        int64(binary.BigEndian.Uint64(b[35:])),
		appendTime: attributes&attrAppendTime != 0,
	}
	count := int(int32(binary.BigEndian.Uint32(b[57:])))
	if count < 0 || count > len(body)/minRecordBytes {
		return nil, 0, fmt.Errorf("batch at %d has %d records in %d bytes: %w", base, count, len(body), errMalformed)
	}
	if records == nil {
		records = make([]chat.Record, 0, count)
	}
	d := &decoder{b: body}
	for range count {
		r := decodeRecord(d, base, times)
		if d.err != nil || r.Offset < base || r.Offset > last {
			return nil, 0, fmt.Errorf("record of batch at %d: %w", base, errMalformed)
		}
		if r.Offset >= from {
			records = append(records, r)
		}
	}
	return records, next, nil
}

type batchTimes struct {
	base, max  int64
	appendTime bool
}

func (t batchTimes) of(delta int64) time.Time {
	if t.appendTime {
		return time.UnixMilli(t.max)
	}
	return time.UnixMilli(t.base + delta)
}

func decodeRecord(d *decoder, base int64, times batchTimes) chat.Record {
	body := &decoder{b: d.take(int(d.varint()))}
	body.int8() // attributes
	t := times.of(body.varint())
	r := chat.Record{Offset: base + body.varint(), Time: t}
	r.Key = string(body.varbytes())
	r.Value = body.varbytes()
	if body.err != nil {
		d.err = body.err
	}
	return r // the headers, of which this package writes none, are left
}

// varbytes are a key or a value; -1 is null.
func (d *decoder) varbytes() []byte {
	n := d.varint()
	if n == -1 {
		return nil
	}
	if n > int64(len(d.b)) {
		d.err = errMalformed
		return nil
	}
	return d.take(int(n))
}

func decompress(c compress.Compression, b []byte) ([]byte, error) {
	if c == compress.None {
		return b, nil
	}
	codec := c.Codec()
	if codec == nil {
		return nil, fmt.Errorf("compression %d: %w", c, errors.ErrUnsupported)
	}
	r := codec.NewReader(bytes.NewReader(b))
	defer r.Close()
	body, err := io.ReadAll(io.LimitReader(r, decompressedLimit+1))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w: %w", errMalformed, err)
	}
	if len(body) > decompressedLimit {
		return nil, fmt.Errorf("decompresses to more than %d bytes: %w", decompressedLimit, errMalformed)
	}
	return body, nil
}

// batchTime is the producer's time of an encoded batch.
func batchTime(b []byte) time.Time { return time.UnixMilli(int64(binary.BigEndian.Uint64(b[27:]))) }
