package cassandra

import (
	"context"
	"slices"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"golang.org/x/sync/errgroup"

	"github.com/chatcluster/chatcluster/internal/chat"
)

const (
	// leaseShard is the one partition of leases: there are as many as gateways.
	leaseShard = 0
	// leftGrace is how much longer than the window a row of one who left is
	// kept: clocks differ.
	leftGrace = 5 * time.Minute
)

// PutLease makes or renews the lease. It stays until it is dropped, so that
// others see that it has ended.
func (s *Store) PutLease(ctx context.Context, gateway string, until time.Time) error {
	return s.exec(ctx, `INSERT INTO leases (shard, gateway, until) VALUES (?, ?, ?) USING TIMESTAMP ?`, leaseShard, gateway, millis(until), s.stamp())
}

// Leases are all leases that were not dropped.
func (s *Store) Leases(ctx context.Context) (map[string]time.Time, error) {
	leases := map[string]time.Time{}
	err := s.each(ctx, 1000, `SELECT gateway, until FROM leases WHERE shard = ?`, []any{leaseShard}, func(row gocql.Scanner) (bool, error) {
		var gateway string
		var until int64
		err := row.Scan(&gateway, &until)
		leases[gateway] = fromMillis(until)
		return true, err
	})
	return leases, err
}

// DropLease forgets the lease; that there is none is no error.
func (s *Store) DropLease(ctx context.Context, gateway string) error {
	return s.exec(ctx, `DELETE FROM leases USING TIMESTAMP ? WHERE shard = ? AND gateway = ?`, s.stamp(), leaseShard, gateway)
}

// presenceTable is one of the two tables of the rows, which differ in their key.
type presenceTable struct {
	name string
	key  func(chat.PresenceRow) string
}

var (
	presenceByRoom    = presenceTable{"presence_by_room", func(r chat.PresenceRow) string { return r.RoomURI }}
	presenceByGateway = presenceTable{"presence_by_gateway", func(r chat.PresenceRow) string { return r.Gateway }}
)

// PutPresence writes rows. Whoever clears up after a dead gateway starts from
// presence_by_gateway: a join stands there first and a leave last, so that
// none who is seen in a room is missing there.
func (s *Store) PutPresence(ctx context.Context, rows []chat.PresenceRow) error {
	joins, leaves := split(lastOfEach(rows))
	stamp := s.stamp()
	for _, step := range []struct {
		table presenceTable
		rows  []chat.PresenceRow
	}{
		{presenceByGateway, joins}, {presenceByRoom, joins}, {presenceByRoom, leaves}, {presenceByGateway, leaves},
	} {
		if err := s.putPresence(ctx, step.table, step.rows, stamp); err != nil {
			return err
		}
	}
	return nil
}

// lastOfEach drops rows that a later one takes the place of.
func lastOfEach(rows []chat.PresenceRow) []chat.PresenceRow {
	type key struct {
		room, gateway string
		user          int64
	}
	last := map[key]int{}
	for i, r := range rows {
		last[key{r.RoomURI, r.Gateway, r.User.ID}] = i
	}
	var kept []chat.PresenceRow
	for i, r := range rows {
		if last[key{r.RoomURI, r.Gateway, r.User.ID}] == i {
			kept = append(kept, r)
		}
	}
	return kept
}

func split(rows []chat.PresenceRow) (joins, leaves []chat.PresenceRow) {
	for _, r := range rows {
		if r.Left {
			leaves = append(leaves, r)
		} else {
			joins = append(joins, r)
		}
	}
	return joins, leaves
}

func (s *Store) putPresence(ctx context.Context, table presenceTable, rows []chat.PresenceRow, stamp int64) error {
	byKey := map[string][]chat.PresenceRow{}
	for _, r := range rows {
		byKey[table.key(r)] = append(byKey[table.key(r)], r)
	}
	stmt := `INSERT INTO ` + table.name + ` (room, gateway, user_id, username, email, first_name, last_name, gone, updated)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) USING TTL ? AND TIMESTAMP ?`
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(putsInFlight)
	for _, sameKey := range byKey {
		for part := range slices.Chunk(sameKey, batchRows) {
			batch := s.session.Batch(gocql.UnloggedBatch)
			for _, r := range part {
				ttl := 0 // one who is there stays, however long they are silent
				if r.Left {
					ttl = s.ttl(r.Updated.Add(chat.PresenceWindow + leftGrace))
				}
				batch.Entries = append(batch.Entries, gocql.BatchEntry{Stmt: stmt, Idempotent: true, Args: []any{
					r.RoomURI, r.Gateway, r.User.ID, r.User.Username, r.User.Email, r.User.FirstName, r.User.LastName,
					r.Left, millis(r.Updated), ttl, stamp,
				}})
			}
			group.Go(func() error { return translate(ctx, batch.ExecContext(ctx)) })
		}
	}
	return group.Wait()
}

// PresenceOfRoom are the rows of the room.
func (s *Store) PresenceOfRoom(ctx context.Context, uri string) ([]chat.PresenceRow, error) {
	return s.presence(ctx, `presence_by_room WHERE room = ?`, uri)
}

// PresenceOfGateway are the rows under the gateway's lease.
func (s *Store) PresenceOfGateway(ctx context.Context, gateway string) ([]chat.PresenceRow, error) {
	return s.presence(ctx, `presence_by_gateway WHERE gateway = ?`, gateway)
}

func (s *Store) presence(ctx context.Context, from, key string) ([]chat.PresenceRow, error) {
	if !isKey(key) {
		return nil, nil
	}
	var rows []chat.PresenceRow
	err := s.each(ctx, 1000, `SELECT room, gateway, user_id, username, email, first_name, last_name, gone, updated FROM `+from, []any{key}, func(row gocql.Scanner) (bool, error) {
		var r chat.PresenceRow
		var updated int64
		err := row.Scan(&r.RoomURI, &r.Gateway, &r.User.ID, &r.User.Username, &r.User.Email, &r.User.FirstName, &r.User.LastName, &r.Left, &updated)
		r.Updated = fromMillis(updated)
		rows = append(rows, r)
		return true, err
	})
	return rows, err
}
