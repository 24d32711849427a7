package cassandra

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// The names of the counters.
const (
	userIDs = "users"
	roomIDs = "rooms"
)

// idsPerBlock is how many ids a process reserves at a time. Those that it does
// not use are lost.
const idsPerBlock = 100

// idBlock hands out ids of one counter. Those of one process rise; between
// processes they are only unique.
type idBlock struct {
	name string
	mu   sync.Mutex // guards next and end; held while a block is reserved
	// The ids next ≤ id < end are reserved.
	next, end int64
}

func (s *Store) nextID(ctx context.Context, b *idBlock) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == b.end {
		first, err := s.reserve(ctx, b.name)
		if err != nil {
			return 0, fmt.Errorf("reserve ids of %s: %w", b.name, err)
		}
		b.next, b.end = first, first+idsPerBlock
	}
	b.next++
	return b.next - 1, nil
}

// reserve takes the next block. One that was taken by an attempt whose outcome
// is unknown is lost.
func (s *Store) reserve(ctx context.Context, name string) (int64, error) {
	first, err := s.highestID(ctx, name)
	for err == nil {
		applied, row, casErr := s.casQuery(ctx, `UPDATE id_blocks SET next = ? WHERE name = ? IF next = ?`, first+idsPerBlock, name, first)
		switch {
		case casErr != nil:
			return 0, casErr
		case applied:
			return first, nil
		}
		next, ok := row["next"].(int64)
		if !ok {
			return 0, errors.New("the counter is gone")
		}
		first = next
	}
	return 0, err
}

// highestID is above all ids that were handed out.
func (s *Store) highestID(ctx context.Context, name string) (int64, error) {
	var next int64
	err := s.scan(ctx, `SELECT next FROM id_blocks WHERE name = ?`, []any{name}, &next)
	if errors.Is(err, chat.ErrNotFound) {
		return 0, errors.New("the counter is gone")
	}
	return next, err
}
