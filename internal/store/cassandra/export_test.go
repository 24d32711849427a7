package cassandra

import "time"

// The pure decisions, and what tests must reach behind the store to arrange.
var (
	ReadableBy = readableBy
	TableID    = tableID
)

// EndBucket makes the writer of the room end its bucket for its size with the
// next message: as if it were full, and had been known for long enough.
func (s *Store) EndBucket(room string) {
	p, ok := s.places.Get(room)
	if !ok {
		panic("the room has no bucket")
	}
	p.bucket.rows = bucketRows
	p.known = p.known.Add(-minKnownFor - time.Second)
	s.places.Add(room, p)
}
