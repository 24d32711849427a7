package kafka

import (
	"fmt"

	"github.com/segmentio/kafka-go/protocol"
)

// The versions of the requests that are framed here. Fields are in the order of
// Kafka's own schemas (clients/src/main/resources/common/message).
const (
	// metadataVersion is the first whose topics are found by id or name; 3.0.
	metadataVersion = 12
	// fetchVersion is the first that goes by topic id; 3.1.
	fetchVersion = 13
	// listOffsetsVersion is the first flexible one.
	listOffsetsVersion = 6
	// produceVersion is the first flexible one; from produceByID on it goes by
	// topic id (4.1).
	produceVersion, produceByID = 9, 13
)

type metadata struct {
	brokers map[int32]string // id: host:port
	topics  []topicMetadata
}

type topicMetadata struct {
	code int16
	name string
	id   uuid
	// partitions are by number.
	partitions []PartitionState
}

// leaders are by partition.
func (t topicMetadata) leaders() []leader {
	leaders := make([]leader, len(t.partitions))
	for i, p := range t.partitions {
		leaders[i] = leader{broker: p.Leader, epoch: p.leaderEpoch}
	}
	return leaders
}

// leader is who leads a partition. Each election has an epoch of its own, so
// the greater one is the newer one.
type leader struct {
	broker int32 // -1 if there is none
	epoch  int32
}

func encodeMetadataRequest(e *encoder, topics []string) {
	e.length(len(topics))
	for _, name := range topics {
		e.uuid(uuid{})
		e.string(name)
		e.tags()
	}
	e.int8(0) // allow auto topic creation
	e.int8(0) // include authorized operations
	e.tags()
}

func decodeMetadata(d *decoder) metadata {
	m := metadata{brokers: map[int32]string{}}
	d.int32() // throttle time
	for n := d.length(); n > 0 && d.err == nil; n-- {
		id, host, port := d.int32(), d.string(), d.int32()
		d.bytes() // rack
		d.tags()
		m.brokers[id] = joinHostPort(host, port)
	}
	d.bytes() // cluster id
	d.int32() // controller
	for n := d.length(); n > 0 && d.err == nil; n-- {
		m.topics = append(m.topics, decodeTopicMetadata(d))
	}
	d.tags()
	return m
}

func decodeTopicMetadata(d *decoder) topicMetadata {
	t := topicMetadata{code: d.int16(), name: d.string(), id: d.uuid()}
	d.int8() // internal
	partitions := map[int32]PartitionState{}
	for n := d.length(); n > 0 && d.err == nil; n-- {
		d.int16() // a partition without a leader has -1 for it, whatever the error
		number := d.int32()
		partitions[number] = PartitionState{Leader: d.int32(), leaderEpoch: d.int32(), Replicas: d.int32s(), InSync: d.int32s()}
		d.take(4 * d.length()) // offline replicas
		d.tags()
	}
	d.int32() // authorized operations
	d.tags()
	t.partitions = make([]PartitionState, len(partitions))
	for i := range t.partitions {
		p, ok := partitions[int32(i)]
		if !ok {
			d.err = fmt.Errorf("partitions of %s are not numbered from 0: %w", t.name, errMalformed)
			break
		}
		t.partitions[i] = p
	}
	return t
}

// topicKey names a topic in a request: by id where the version has ids.
type topicKey struct {
	name string
	id   uuid
}

type produceTopic struct {
	topicKey
	partitions []producePartition
}

type producePartition struct {
	number int32
	batch  []byte
}

func encodeProduceRequest(e *encoder, version int16, timeoutMillis int32, topics []produceTopic) {
	e.null()    // transactional id
	e.int16(-1) // acknowledged by all in-sync replicas
	e.int32(timeoutMillis)
	e.length(len(topics))
	for _, t := range topics {
		if version >= produceByID {
			e.uuid(t.id)
		} else {
			e.string(t.name)
		}
		e.length(len(t.partitions))
		for _, p := range t.partitions {
			e.int32(p.number)
			e.length(len(p.batch))
			e.b = append(e.b, p.batch...)
			e.tags()
		}
		e.tags()
	}
	e.tags()
}

type produced struct {
	topic  topicKey
	number int32
	code   int16
	base   int64
	// time is the append time in Unix milliseconds; -1 if the topic keeps the
	// producer's.
	time    int64
	message string
}

func decodeProduceResponse(d *decoder, version int16) []produced {
	var all []produced
	for n := d.length(); n > 0 && d.err == nil; n-- {
		topic := decodeTopicKey(d, version >= produceByID)
		for n := d.length(); n > 0 && d.err == nil; n-- {
			p := produced{topic: topic, number: d.int32(), code: d.int16(), base: d.int64(), time: d.int64()}
			d.int64() // log start offset
			for n := d.length(); n > 0 && d.err == nil; n-- {
				d.int32() // index in the batch
				if text := d.string(); p.message == "" {
					p.message = text
				}
				d.tags()
			}
			if text := d.string(); text != "" {
				p.message = text
			}
			d.tags()
			all = append(all, p)
		}
		d.tags()
	}
	d.int32() // throttle time
	d.tags()
	return all
}

func decodeTopicKey(d *decoder, byID bool) topicKey {
	if byID {
		return topicKey{id: d.uuid()}
	}
	return topicKey{name: d.string()}
}

type fetchRequest struct {
	// The broker answers once it has minBytes, or after maxWaitMillis.
	maxWaitMillis, minBytes int32
	maxBytes                int32
	topic                   uuid
	partitions              []fetchPartition
}

type fetchPartition struct {
	number int32
	// leaderEpoch is that of the leader who is asked, or anyEpoch.
	leaderEpoch int32
	offset      int64
	maxBytes    int32
}

// anyEpoch asks a broker whether or not it still leads the partition. Asked
// with an epoch, it refuses if it knows of a newer one, or not yet of this one
// (KIP-320). Without, it serves what it has of the partition as a follower,
// which may be less than its leader has acknowledged (KIP-392).
const anyEpoch = -1

func encodeFetchRequest(e *encoder, r fetchRequest) {
	e.int32(-1) // replica id
	e.int32(r.maxWaitMillis)
	e.int32(r.minBytes)
	e.int32(r.maxBytes)
	e.int8(0)   // read uncommitted: nothing here is transactional
	e.int32(0)  // no fetch session
	e.int32(-1) // session epoch
	e.length(1)
	e.uuid(r.topic)
	e.length(len(r.partitions))
	for _, p := range r.partitions {
		e.int32(p.number)
		e.int32(p.leaderEpoch)
		e.int64(p.offset)
		e.int32(-1) // last fetched epoch
		e.int64(-1) // log start offset
		e.int32(p.maxBytes)
		e.tags()
	}
	e.tags()
	e.length(0)  // forgotten topics
	e.string("") // rack
	e.tags()
}

type fetched struct {
	number int32
	code   int16
	// high is the high watermark: records below it are on all in-sync replicas.
	high int64
	// first is the partition's first offset.
	first int64
	// records are whole batches, and maybe a part of one at the end. They
	// belong to the connection.
	records []byte
}

func decodeFetchResponse(d *decoder) (code int16, all []fetched) {
	d.int32() // throttle time
	code = d.int16()
	d.int32() // session id
	for n := d.length(); n > 0 && d.err == nil; n-- {
		d.uuid()
		for n := d.length(); n > 0 && d.err == nil; n-- {
			f := fetched{number: d.int32(), code: d.int16(), high: d.int64()}
			d.int64() // last stable offset
			f.first = d.int64()
			for n := d.length(); n > 0 && d.err == nil; n-- {
				d.take(16) // an aborted transaction
				d.tags()
			}
			d.int32() // preferred replica
			f.records = d.bytes()
			d.tags()
			all = append(all, f)
		}
		d.tags()
	}
	d.tags()
	return code, all
}

// latestOffset asks for the high watermark. A new leader answers it with an
// error until it knows the watermark of the old one, which it does not do in a
// fetch: so only this is sure to be beyond all acknowledged records.
const latestOffset = -1

// earliestOffset asks for the first offset that is kept.
const earliestOffset = -2

func encodeListOffsetsRequest(e *encoder, topic string, number, leaderEpoch int32, timestamp int64) {
	e.int32(-1) // replica id
	e.int8(0)   // read uncommitted
	e.length(1)
	e.string(topic)
	e.length(1)
	e.int32(number)
	e.int32(leaderEpoch)
	e.int64(timestamp)
	e.tags()
	e.tags()
	e.tags()
}

// decodeListOffsetsResponse reads the answer about one partition.
func decodeListOffsetsResponse(d *decoder) (code int16, offset int64) {
	d.int32() // throttle time
	if d.length() != 1 {
		d.err = errMalformed
	}
	d.string() // topic
	if d.length() != 1 {
		d.err = errMalformed
	}
	d.int32() // partition
	code = d.int16()
	d.int64() // timestamp
	offset = d.int64()
	d.int32() // leader epoch
	d.tags()
	d.tags()
	d.tags()
	return code, offset
}

// requiredVersions are those that a broker must offer.
var requiredVersions = map[protocol.ApiKey]int16{
	protocol.Metadata:    metadataVersion,
	protocol.Fetch:       fetchVersion,
	protocol.Produce:     produceVersion,
	protocol.ListOffsets: listOffsetsVersion,
}
