package cassandra

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// Store is a chat.Store in Cassandra.
type Store struct {
	session *gocql.Session
	now     func() time.Time
	users   idBlock
	rooms   idBlock
	// places is, for the rooms that were written to last, the bucket that their
	// next message goes to.
	places *lru.Cache[string, placement]

	mu        sync.Mutex // guards lastStamp
	lastStamp int64
}

var _ chat.Store = (*Store)(nil)

// cachedPlaces bounds the memory of Store.places to about 16 MiB.
const cachedPlaces = 65536

// Open connects to a keyspace that Migrate has made ready. It refuses a schema
// that this release cannot work with: *SchemaError. What cannot be reached is
// chat.ErrUnavailable.
func Open(ctx context.Context, o Options) (*Store, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	session, err := connect(ctx, o, "")
	if err != nil {
		return nil, err
	}
	err = checkSchema(ctx, session, o.Keyspace)
	session.Close()
	if err != nil {
		return nil, err
	}
	if session, err = connect(ctx, o, o.Keyspace); err != nil {
		return nil, err
	}
	places, err := lru.New[string, placement](cachedPlaces)
	if err != nil {
		session.Close()
		return nil, err
	}
	return &Store{session: session, now: o.Now, users: idBlock{name: userIDs}, rooms: idBlock{name: roomIDs}, places: places}, nil
}

// Close ends the connections. Calls that still run fail with
// chat.ErrUnavailable.
func (s *Store) Close() { s.session.Close() }

// query is a statement that may be repeated without harm.
func (s *Store) query(stmt string, args ...any) *gocql.Query {
	return s.session.Query(stmt, args...).Idempotent(true)
}

// exec runs a statement that may be repeated without harm.
func (s *Store) exec(ctx context.Context, stmt string, args ...any) error {
	return translate(s.query(stmt, args...).ExecContext(ctx))
}

// scan reads one row, or answers chat.ErrNotFound.
func (s *Store) scan(ctx context.Context, stmt string, args []any, dest ...any) error {
	err := s.query(stmt, args...).ScanContext(ctx, dest...)
	if errors.Is(err, gocql.ErrNotFound) {
		return chat.ErrNotFound
	}
	return translate(err)
}

// each calls f for each row, until f returns false. Pages of pageSize rows are
// read as they are needed.
func (s *Store) each(ctx context.Context, pageSize int, stmt string, args []any, f func(gocql.Scanner) (bool, error)) error {
	rows := s.query(stmt, args...).PageSize(pageSize).IterContext(ctx).Scanner()
	for rows.Next() {
		more, err := f(rows)
		if err != nil || !more {
			return errors.Join(err, translate(rows.Err()))
		}
	}
	return translate(rows.Err())
}

// A lightweight transaction that timed out may have been applied or not. All of
// ours may be repeated: they set what they set before, or find it set.
const (
	casAttempts = 4
	casBackoff  = 20 * time.Millisecond
)

// cas runs a lightweight transaction, again where its outcome is unknown. row
// is what stood in its way where it was not applied. After a repetition, that
// may be its own first attempt.
func (s *Store) cas(ctx context.Context, run func(row map[string]any) (bool, error)) (applied bool, row map[string]any, err error) {
	for attempt := range casAttempts {
		row = map[string]any{}
		applied, err = run(row)
		if err == nil || !isUnavailable(err) {
			return applied, row, err
		}
		// Rivals that wait equally long meet again.
		if err := wait(ctx, rand.N(casBackoff<<attempt)); err != nil {
			return false, nil, err
		}
	}
	return false, nil, translate(err)
}

func (s *Store) casQuery(ctx context.Context, stmt string, args ...any) (applied bool, row map[string]any, err error) {
	return s.cas(ctx, func(row map[string]any) (bool, error) {
		return s.session.Query(stmt, args...).MapScanCASContext(ctx, row)
	})
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return translate(ctx.Err())
	}
}

// stamp is a write timestamp in microseconds that is above each one before,
// also where the clock was set back: of two writes of this process to one row,
// the later one counts.
func (s *Store) stamp() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastStamp = max(s.lastStamp+1, s.now().UnixMicro())
	return s.lastStamp
}

// onceStamp is the timestamp of rows that are written once and then only
// deleted: whatever the clock of the one who deletes, the delete counts.
const onceStamp = 1

// lastExpiry is the end of time in Cassandra's default storage format; it
// refuses rows that live longer.
var lastExpiry = time.Date(2038, 1, 19, 0, 0, 0, 0, time.UTC)

// ttl is the whole number of seconds, at least 1, for which a row lives that
// nobody needs after expires.
func (s *Store) ttl(expires time.Time) int {
	now := s.now()
	if expires.After(lastExpiry) {
		expires = lastExpiry
	}
	return max(1, int((expires.Sub(now)+time.Second-1)/time.Second))
}

// maxKey is the longest partition key of Cassandra, in bytes.
const maxKey = 65535

// isKey reports whether text can be a partition key. Nothing is kept under what
// cannot.
func isKey(text string) bool {
	return text != "" && len(text) <= maxKey && utf8.ValidString(text)
}

// clean is text as Cassandra takes it. The API lets nothing else in, but a
// foreign record of the log must not stop the archiver.
func clean(text string) string { return strings.ToValidUTF8(text, "�") }

func millis(t time.Time) int64 { return t.UnixMilli() }

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// ceilMillis rounds up: of times in whole milliseconds, the same lie before it.
func ceilMillis(t time.Time) time.Time {
	if down := t.Truncate(time.Millisecond); !down.Equal(t) {
		return down.Add(time.Millisecond).UTC()
	}
	return t.UTC()
}

func notFound(what string) error { return fmt.Errorf("%s: %w", what, chat.ErrNotFound) }
