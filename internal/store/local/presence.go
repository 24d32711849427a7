package local

import (
	"context"
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// PutLease makes or renews the gateway's lease.
func (s *Store) PutLease(ctx context.Context, gateway string, until time.Time) error {
	return s.change(ctx, 0, func(b *pebble.Batch) error {
		return b.Set(textKey(tableLease, gateway), encodeTime(until), nil)
	})
}

// Leases are all leases that were not dropped.
func (s *Store) Leases(ctx context.Context) (map[string]time.Time, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	leases := make(map[string]time.Time)
	err := s.scan(prefixSpan([]byte{tableLease}), func(key, value []byte) (bool, error) {
		until, err := decodeTime(value)
		leases[string(key[1:])] = until
		return true, err
	})
	return leases, err
}

// DropLease forgets the lease, not its rows.
func (s *Store) DropLease(ctx context.Context, gateway string) error {
	return s.change(ctx, freeing, func(b *pebble.Batch) error {
		return b.Delete(textKey(tableLease, gateway), nil)
	})
}

// presencePrunedPerRow is how many outdated rows each written one takes with
// it at the most: more than one, so that pruning keeps up, and few, so that no
// write waits for it.
const presencePrunedPerRow = 4

// PutPresence writes rows, and forgets some that were updated more than
// chat.PresenceWindow before the newest of them.
func (s *Store) PutPresence(ctx context.Context, rows []chat.PresenceRow) error {
	if len(rows) == 0 {
		return ctx.Err()
	}
	rows = append([]chat.PresenceRow(nil), rows...) // read after a cancelled call
	var newest time.Time
	for _, row := range rows {
		if row.Updated.After(newest) {
			newest = row.Updated
		}
	}
	return s.change(ctx, 0, func(b *pebble.Batch) error {
		// Pruned first: a row that was outdated and is now written stays.
		err := s.prunePresence(b, newest.Add(-chat.PresenceWindow), presencePrunedPerRow*len(rows))
		if err != nil {
			return err
		}
		// The rows of this change that stand in the batch already, and so
		// cannot be looked up: their place in the index by age.
		written := make(map[string][]byte, len(rows))
		for _, row := range rows {
			key := presenceKey(row.RoomURI, row.Gateway, row.User.ID)
			age := presenceByAgeKey(row.Updated, row.RoomURI, row.Gateway, row.User.ID)
			former, repeated := written[string(key)]
			if !repeated {
				if former, err = s.presenceAge(key, row); err != nil {
					return err
				}
			}
			if former != nil {
				err = b.Delete(former, nil)
			}
			written[string(key)] = age
			err = errors.Join(err,
				b.Set(key, encodePresence(row), nil),
				b.Set(presenceByKey(row.Gateway, row.RoomURI, row.User.ID), nil, nil),
				b.Set(age, nil, nil))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// presenceAge is the key in the index by age of the stored row that the new one
// will replace, or nil.
func (s *Store) presenceAge(key []byte, row chat.PresenceRow) ([]byte, error) {
	stored, err := s.presence(key, row.RoomURI, row.Gateway)
	if errors.Is(err, chat.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return presenceByAgeKey(stored.Updated, row.RoomURI, row.Gateway, row.User.ID), nil
}

func (s *Store) presence(key []byte, uri, gateway string) (chat.PresenceRow, error) {
	return lookup(s, key, func(value []byte) (chat.PresenceRow, error) {
		return decodePresence(uri, gateway, value)
	})
}

// prunePresence deletes at most limit of the rows that were updated before
// horizon. It runs in a change.
func (s *Store) prunePresence(b *pebble.Batch, horizon time.Time, limit int) error {
	outdated := span{[]byte{tablePresenceByAge}, appendMillis([]byte{tablePresenceByAge}, horizon)}
	return s.scan(outdated, func(key, _ []byte) (bool, error) {
		uri, gateway, userID, err := cutPresence(key[min(1+8, len(key)):])
		if err != nil {
			return false, err
		}
		limit--
		return limit > 0, errors.Join(
			b.Delete(key, nil),
			b.Delete(presenceKey(uri, gateway, userID), nil),
			b.Delete(presenceByKey(gateway, uri, userID), nil))
	})
}

// PresenceOfRoom are the rows of the room.
func (s *Store) PresenceOfRoom(ctx context.Context, uri string) ([]chat.PresenceRow, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	var rows []chat.PresenceRow
	err := s.scan(textSpan(tablePresence, uri), func(key, value []byte) (bool, error) {
		_, gateway, _, err := cutPresence(key[1:])
		if err != nil {
			return false, err
		}
		row, err := decodePresence(uri, gateway, value)
		rows = append(rows, row)
		return true, err
	})
	return rows, err
}

// PresenceOfGateway are the rows under the gateway's lease.
func (s *Store) PresenceOfGateway(ctx context.Context, gateway string) ([]chat.PresenceRow, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	var rows []chat.PresenceRow
	err := s.scan(textSpan(tablePresenceBy, gateway), func(key, _ []byte) (bool, error) {
		_, uri, userID, err := cutPresence(key[1:])
		if err != nil {
			return false, err
		}
		row, err := s.presence(presenceKey(uri, gateway, userID), uri, gateway)
		if errors.Is(err, chat.ErrNotFound) {
			return true, nil // pruned in between
		}
		rows = append(rows, row)
		return true, err
	})
	return rows, err
}
