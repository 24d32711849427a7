package kafka_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/log/kafka"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"
)

var (
	batchTime    = time.UnixMilli(1_700_000_000_123)
	batchRecords = []chat.Record{
		{Key: "room", Value: []byte("hello")},
		{Key: "", Value: []byte{}},
		{Key: "other", Value: bytes.Repeat([]byte("x"), 1000)},
	}
)

func encodedBatch() []byte { return kafka.EncodeBatch(42, 1, 7, batchTime, batchRecords) }

// placed is what a broker makes of a batch: it gives it an offset and, if told
// to, its own time.
func placed(batch []byte, base int64, appendTime time.Time) []byte {
	b := bytes.Clone(batch)
	binary.BigEndian.PutUint64(b, uint64(base))
	if !appendTime.IsZero() {
		binary.BigEndian.PutUint16(b[21:], binary.BigEndian.Uint16(b[21:])|1<<3)
		binary.BigEndian.PutUint64(b[35:], uint64(appendTime.UnixMilli()))
	}
	return signed(b)
}

func signed(b []byte) []byte {
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func describe(records []chat.Record) string {
	var b bytes.Buffer
	for _, r := range records {
		fmt.Fprintf(&b, "%d@%d %q=%.20q ", r.Offset, r.Time.UnixMilli(), r.Key, r.Value)
	}
	return b.String()
}

func TestDecodeBatches(t *testing.T) {
	at := batchTime.Add(time.Second)
	first := placed(encodedBatch(), 10, at)
	second := placed(encodedBatch(), 13, at)
	later := placed(encodedBatch(), 20, time.Time{})
	control := bytes.Clone(later)
	control[22] |= 1 << 5
	signed(control)
	ten, twenty := at.UnixMilli(), batchTime.UnixMilli()
	tests := []struct {
		name string
		b    []byte
		from int64
		want string
		next int64
	}{
		{"nothing", nil, 5, "", 5},
		{"one batch", first, 10, fmt.Sprintf(`10@%d "room"="hello" 11@%[1]d ""="" 12@%[1]d "other"="xxxxxxxxxxxxxxxxxxxx" `, ten), 13},
		{"its end", first, 12, fmt.Sprintf(`12@%d "other"="xxxxxxxxxxxxxxxxxxxx" `, ten), 13},
		{"beyond it", first, 15, "", 15},
		{"two batches", append(bytes.Clone(first), second...), 12,
			fmt.Sprintf(`12@%d "other"="xxxxxxxxxxxxxxxxxxxx" 13@%[1]d "room"="hello" 14@%[1]d ""="" 15@%[1]d "other"="xxxxxxxxxxxxxxxxxxxx" `, ten), 16},
		{"cut off", append(bytes.Clone(first), second[:100]...), 12, fmt.Sprintf(`12@%d "other"="xxxxxxxxxxxxxxxxxxxx" `, ten), 13},
		{"cut off in the header", append(bytes.Clone(first), second[:20]...), 12, fmt.Sprintf(`12@%d "other"="xxxxxxxxxxxxxxxxxxxx" `, ten), 13},
		{"producer's time", later, 21, fmt.Sprintf(`21@%d ""="" 22@%[1]d "other"="xxxxxxxxxxxxxxxxxxxx" `, twenty), 23},
		{"control batch", control, 20, "", 23},
		{"gap before a batch", later, 16, fmt.Sprintf(`20@%d "room"="hello" 21@%[1]d ""="" 22@%[1]d "other"="xxxxxxxxxxxxxxxxxxxx" `, twenty), 23},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			records, next, err := kafka.DecodeBatches(test.b, test.from)
			if got := describe(records); err != nil || got != test.want || next != test.next {
				t.Errorf("got %s next %d, %v\nwant %s next %d", got, next, err, test.want, test.next)
			}
		})
	}
}

func TestDecodeDamagedBatches(t *testing.T) {
	tests := []struct {
		name   string
		damage func(b []byte)
	}{
		{"checksum", func(b []byte) { b[70] ^= 1 }},
		{"old format", func(b []byte) { b[16] = 1 }},
		{"negative length", func(b []byte) { binary.BigEndian.PutUint32(b[8:], math.MaxUint32) }},
		{"too many records", func(b []byte) { binary.BigEndian.PutUint32(b[57:], 1<<30); signed(b) }},
		{"more records than there are", func(b []byte) { binary.BigEndian.PutUint32(b[57:], 4); signed(b) }},
		{"negative base", func(b []byte) { b[0] = 0x80 }},
		{"records beyond the last offset", func(b []byte) { binary.BigEndian.PutUint32(b[23:], 1); signed(b) }},
		{"unknown compression", func(b []byte) { b[22] |= 7; signed(b) }},
		{"not compressed at all", func(b []byte) { b[22] |= 3; signed(b) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := placed(encodedBatch(), 0, batchTime)
			test.damage(b)
			if records, next, err := kafka.DecodeBatches(b, 0); err == nil || next != 0 || records != nil {
				t.Errorf("decoded %d records, next %d, %v, want an error", len(records), next, err)
			}
		})
	}
}

// TestEncodeBatch has kafka-go read what is written here.
func TestEncodeBatch(t *testing.T) {
	b := encodedBatch()
	var set protocol.RecordSet
	if _, err := set.ReadFrom(bytes.NewReader(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))); err != nil {
		t.Fatal(err)
	}
	batch, ok := set.Records.(*protocol.RecordStream).Records[0].(*protocol.RecordBatch)
	if !ok || batch.ProducerID != 42 || batch.ProducerEpoch != 1 || batch.BaseSequence != 7 {
		t.Errorf("kafka-go reads %+v, want producer 42, epoch 1, sequence 7", batch)
	}
	var got []chat.Record
	for {
		r, err := set.Records.ReadRecord()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		key, _ := protocol.ReadAll(r.Key)
		value, _ := protocol.ReadAll(r.Value)
		got = append(got, chat.Record{Offset: r.Offset, Time: r.Time, Key: string(key), Value: value})
	}
	want, _, err := kafka.DecodeBatches(b, 0)
	if err != nil || describe(got) != describe(want) || len(got) != len(batchRecords) {
		t.Errorf("kafka-go reads %s\nwant %s (%v)", describe(got), describe(want), err)
	}
}

// TestDecodeCompressed reads what kafka-go compresses: a topic or another
// client may ask for it.
func TestDecodeCompressed(t *testing.T) {
	want := "0@1700000000123 \"room\"=\"hello\" "
	for _, c := range []compress.Compression{compress.None, compress.Gzip, compress.Snappy, compress.Lz4, compress.Zstd} {
		t.Run(c.String(), func(t *testing.T) {
			set := protocol.RecordSet{
				Version: 2, Attributes: protocol.Attributes(c),
				Records: protocol.NewRecordReader(protocol.Record{
					Time: batchTime, Key: protocol.NewBytes([]byte("room")), Value: protocol.NewBytes([]byte("hello")),
					Headers: []protocol.Header{{Key: "trace", Value: []byte("1")}},
				}),
			}
			var b bytes.Buffer
			if _, err := set.WriteTo(&b); err != nil {
				t.Fatal(err)
			}
			records, next, err := kafka.DecodeBatches(b.Bytes()[4:], 0)
			if got := describe(records); err != nil || got != want || next != 1 {
				t.Errorf("got %s next %d, %v, want %s next 1", got, next, err, want)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	tests := []struct {
		code      kafkago.Error
		n         int
		first     string
		afterward string // if an earlier attempt may have been appended
		is        error
	}{
		{0, 1, "accepted", "accepted", nil},
		{kafkago.NotEnoughReplicas, 1, "refused", "doubtful", chat.ErrUnavailable},
		{kafkago.NotEnoughReplicasAfterAppend, 1, "doubtful", "doubtful", nil},
		{kafkago.RequestTimedOut, 1, "doubtful", "doubtful", nil},
		{kafkago.NotLeaderForPartition, 1, "doubtful", "doubtful", nil},
		{kafkago.UnknownTopicID, 1, "again", "doubtful", nil},
		{kafkago.MessageSizeTooLarge, 1, "refused", "doubtful", chat.ErrRecordTooLarge},
		{kafkago.MessageSizeTooLarge, 2, "halve", "doubtful", nil},
		{kafkago.TopicAuthorizationFailed, 1, "refused", "doubtful", chat.ErrUnavailable},
		{kafkago.OutOfOrderSequenceNumber, 1, "renumber", "lost", nil},
		{kafkago.DuplicateSequenceNumber, 1, "renumber", "lost", nil},
		{kafkago.UnknownProducerId, 1, "renumber", "lost", nil},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%d of %d", test.code, test.n), func(t *testing.T) {
			got, err := kafka.Judge(int16(test.code), test.n, false)
			if got != test.first || test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("at first: %s, %v, want %s, %v", got, err, test.first, test.is)
			}
			if got, _ := kafka.Judge(int16(test.code), test.n, true); got != test.afterward {
				t.Errorf("after a doubtful attempt: %s, want %s", got, test.afterward)
			}
		})
	}
}

func TestSequenceWraps(t *testing.T) {
	for _, test := range []struct {
		sequence int32
		n        int
		want     int32
	}{{0, 1, 1}, {math.MaxInt32, 1, 0}, {math.MaxInt32 - 1, 3, 1}} {
		if got := kafka.Advance(test.sequence, test.n); got != test.want {
			t.Errorf("%d records after %d: %d, want %d", test.n, test.sequence, got, test.want)
		}
	}
}

func FuzzDecodeBatches(f *testing.F) {
	f.Add(encodedBatch(), int64(0))
	f.Add(placed(encodedBatch(), 10, batchTime), int64(11))
	f.Fuzz(func(t *testing.T, b []byte, from int64) {
		if len(b) > 61 {
			signed(b) // or no damage would get beyond the checksum
		}
		records, next, err := kafka.DecodeBatches(b, from)
		if err == nil && next < from {
			t.Errorf("next is %d, below %d", next, from)
		}
		for _, r := range records {
			if r.Offset < from || r.Offset >= next {
				t.Errorf("record at %d, want from %d to below %d", r.Offset, from, next)
			}
		}
	})
}

func FuzzDecodeAnswers(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 2, 0, 0, 0, 1, 2, 'h', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0})
	f.Add(bytes.Repeat([]byte{2}, 300))
	f.Fuzz(func(_ *testing.T, b []byte) { kafka.DecodeAll(b) })
}
