package cassandra

import (
	"context"
	"fmt"
	"slices"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"golang.org/x/sync/errgroup"

	"github.com/chatcluster/chatcluster/internal/chat"
)

const (
	// A batch is one partition's, and is written at once by its replicas; longer
	// ones only make others wait.
	batchRows  = 20
	batchBytes = 64 << 10
	// putsInFlight bounds the batches, and the rooms that are looked up, of one
	// call of PutMessages.
	putsInFlight = 32
	// messagesPerPage is how many messages one answer of Cassandra carries.
	messagesPerPage = 200
)

const messageColumns = "epoch, log_offset, appended, expires, sender_id, username, email, first_name, last_name, body"

// chunk is what is written in one request.
type chunk struct {
	bucket   bucket
	messages []chat.Message
}

// PutMessages writes the messages with the record's own time and what is left
// of their lives. Those that have expired are left out.
func (s *Store) PutMessages(ctx context.Context, messages []chat.Message) error {
	chunks, err := s.place(ctx, messages)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(putsInFlight)
	for _, c := range chunks {
		group.Go(func() error { return s.putChunk(ctx, c) })
	}
	return group.Wait()
}

// place decides where the messages go, and lists the buckets that are new.
func (s *Store) place(ctx context.Context, messages []chat.Message) ([]chunk, error) {
	now := s.now()
	byRoom := map[string][]chat.Message{}
	var uris []string
	for _, m := range messages {
		// What cannot be a key is the URI of no room that could be read.
		if !m.Expires.After(now) || !isKey(m.RoomURI) {
			continue
		}
		if byRoom[m.RoomURI] == nil {
			uris = append(uris, m.RoomURI)
		}
		byRoom[m.RoomURI] = append(byRoom[m.RoomURI], m)
	}
	placed, err := parallelN(ctx, putsInFlight, len(uris), func(ctx context.Context, i int) ([]chunk, error) {
		return s.placeRoom(ctx, uris[i], byRoom[uris[i]], now)
	})
	return slices.Concat(placed...), err
}

// placeRoom goes through the messages of one room in their order.
func (s *Store) placeRoom(ctx context.Context, room string, messages []chat.Message, now time.Time) ([]chunk, error) {
	p, known := s.places.Get(room)
	known = known && now.Sub(p.verified) < placeTrust
	var chunks []chunk
	size := 0
	for _, m := range messages {
		at := positionOf(m.ID)
		if !known || !p.covers(at) {
			found, err := s.findPlacement(ctx, room, at, now)
			if err != nil {
				return nil, fmt.Errorf("find bucket: %w", err)
			}
			if p.bucket.start == found.bucket.start && p.bucket.ends.Equal(found.bucket.ends) {
				found.known, found.bucket.rows = p.known, max(p.bucket.rows, found.bucket.rows)
			}
			p, known = found, true
		}
		next, list := p.place(m, now)
		if list {
			if err := s.listBucket(ctx, room, next.bucket); err != nil {
				return nil, fmt.Errorf("list bucket: %w", err)
			}
		}
		last := len(chunks) - 1
		if last < 0 || next.bucket.start != chunks[last].bucket.start || len(chunks[last].messages) == batchRows || size+len(m.Text) > batchBytes {
			chunks, size = append(chunks, chunk{bucket: next.bucket}), 0
			last++
		}
		chunks[last].messages = append(chunks[last].messages, m)
		size += len(m.Text)
		p = next
	}
	if p.isLast() {
		s.places.Add(room, p)
	}
	return chunks, nil
}

func (s *Store) putChunk(ctx context.Context, c chunk) error {
	stmt := `INSERT INTO ` + c.bucket.class.table() + ` (room, start_epoch, start_offset, ` + messageColumns + `)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TTL ? AND TIMESTAMP ?`
	args := func(m chat.Message) []any {
		return []any{
			m.RoomURI, c.bucket.start.epoch, c.bucket.start.offset, int64(m.ID.Epoch), m.ID.Offset, millis(m.Time), millis(m.Expires),
			m.Sender.ID, clean(m.Sender.Username), clean(m.Sender.Email), clean(m.Sender.FirstName), clean(m.Sender.LastName), clean(m.Text),
			s.ttl(m.Expires), m.Time.UnixMicro(),
		}
	}
	if len(c.messages) == 1 {
		return s.exec(ctx, stmt, args(c.messages[0])...)
	}
	batch := s.session.Batch(gocql.UnloggedBatch)
	for _, m := range c.messages {
		batch.Entries = append(batch.Entries, gocql.BatchEntry{Stmt: stmt, Args: args(m), Idempotent: true})
	}
	return translate(ctx, batch.ExecContext(ctx))
}

// Messages answers a query in rising order of ids. It reads the buckets one by
// one, and no more of them than it needs.
func (s *Store) Messages(ctx context.Context, q chat.MessageQuery) ([]chat.Message, error) {
	var found []chat.Message
	low, high := bounds(q)
	err := s.eachBucket(ctx, q.RoomURI, low, high, q.Newest, func(b bucket, low, high position) (bool, error) {
		part, err := s.read(ctx, q, b, low, high, q.Limit-len(found))
		found = append(found, part...)
		return len(found) < q.Limit, err
	})
	if err != nil {
		return nil, err
	}
	if q.Newest {
		slices.Reverse(found)
	}
	return found, nil
}

// bounds is the range low ≤ position < high that the query asks for.
func bounds(q chat.MessageQuery) (low, high position) {
	high = lastPosition
	if !q.After.IsZero() {
		low = positionOf(q.After)
		low.offset++
	}
	if !q.Before.IsZero() {
		high = positionOf(q.Before)
	}
	return low, high
}

// read reads up to limit messages of a bucket, in the order that q asks for.
func (s *Store) read(ctx context.Context, q chat.MessageQuery, b bucket, low, high position, limit int) ([]chat.Message, error) {
	found, err := s.readPartition(ctx, q, b.class, b.start, low, high, limit)
	if err != nil || b.before == nil {
		return found, err
	}
	late, err := s.readPartition(ctx, q, b.class, *b.before, low, high, limit)
	if err != nil || len(late) == 0 {
		return found, err
	}
	found = append(found, late...)
	slices.SortFunc(found, func(x, y chat.Message) int {
		if q.Newest {
			x, y = y, x
		}
		return x.ID.Compare(y.ID)
	})
	found = slices.CompactFunc(found, func(x, y chat.Message) bool { return x.ID.Compare(y.ID) == 0 })
	return found[:min(limit, len(found))], nil
}

func (s *Store) readPartition(ctx context.Context, q chat.MessageQuery, c class, start, low, high position, limit int) ([]chat.Message, error) {
	var found []chat.Message
	err := s.eachRow(ctx, messageColumns, q.RoomURI, c, start, low, high, q.Newest, min(limit, messagesPerPage), func(row gocql.Scanner) (bool, error) {
		m, err := scanMessage(row, q.RoomURI)
		if err == nil && m.Expires.After(q.Now) {
			found = append(found, m)
		}
		return len(found) < limit, err
	})
	return found, err
}

// eachRow calls f with the rows at low ≤ position < high of one partition.
func (s *Store) eachRow(ctx context.Context, columns, room string, c class, start, low, high position, falling bool, pageSize int, f func(gocql.Scanner) (bool, error)) error {
	order := ""
	if !falling {
		order = " ORDER BY epoch ASC, log_offset ASC"
	}
	return s.each(ctx, pageSize, `SELECT `+columns+` FROM `+c.table()+` WHERE room = ? AND start_epoch = ? AND start_offset = ?
		AND (epoch, log_offset) >= (?, ?) AND (epoch, log_offset) < (?, ?)`+order,
		[]any{room, start.epoch, start.offset, low.epoch, low.offset, high.epoch, high.offset}, f)
}

func scanMessage(row gocql.Scanner, room string) (chat.Message, error) {
	m := chat.Message{RoomURI: room}
	var at position
	var appended, expires int64
	err := row.Scan(&at.epoch, &at.offset, &appended, &expires,
		&m.Sender.ID, &m.Sender.Username, &m.Sender.Email, &m.Sender.FirstName, &m.Sender.LastName, &m.Text)
	m.Time, m.Expires = fromMillis(appended), fromMillis(expires)
	m.ID = chat.NewMessageID(uint32(at.epoch), at.offset, m.Time)
	return m, err
}
