package kafka

import (
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// What the tests of the protocol need from inside.

// EncodeBatch encodes records under a producer's numbers.
func EncodeBatch(id int64, epoch int16, sequence int32, now time.Time, records []chat.Record) []byte {
	return appendBatch(nil, producerState{id, epoch, sequence}, now, records)
}

// DecodeBatches is decodeBatches.
func DecodeBatches(b []byte, from int64) ([]chat.Record, int64, error) {
	return decodeBatches(b, from)
}

// DecodeAll decodes b as each kind of answer.
func DecodeAll(b []byte) []error {
	var errs []error
	d := &decoder{b: b}
	decodeMetadata(d)
	errs = append(errs, d.err)
	for _, version := range []int16{produceVersion, produceByID} {
		d = &decoder{b: b}
		decodeProduceResponse(d, version)
		errs = append(errs, d.err)
	}
	d = &decoder{b: b}
	decodeFetchResponse(d)
	errs = append(errs, d.err)
	d = &decoder{b: b}
	decodeListOffsetsResponse(d)
	return append(errs, d.err)
}

// Newest is newest, of leaders as pairs of broker and epoch.
func Newest(known, told [][2]int32) [][2]int32 {
	leaders := func(pairs [][2]int32) (all []leader) {
		for _, p := range pairs {
			all = append(all, leader{broker: p[0], epoch: p[1]})
		}
		return all
	}
	var pairs [][2]int32
	for _, l := range newest(leaders(known), leaders(told)) {
		pairs = append(pairs, [2]int32{l.broker, l.epoch})
	}
	return pairs
}

// Judge names the verdict of judge.
func Judge(code int16, n int, maybe bool) (string, error) {
	v := judge(code, "", n, maybe)
	return map[verdictKind]string{
		accepted: "accepted", refused: "refused", again: "again", doubtful: "doubtful",
		renumber: "renumber", halve: "halve", lost: "lost",
	}[v.kind], v.err
}

// Advance is what follows a sequence after n records.
func Advance(sequence int32, n int) int32 {
	s := producerState{sequence: sequence}
	s.advance(n)
	return s.sequence
}
