package cassandra

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"golang.org/x/sync/errgroup"

	"github.com/chatcluster/chatcluster/internal/chat"
)

const (
	// tokenGrace is how long a token outlives its expiry, for
	// DeleteExpiredTokens to count it. Then its rows are gone by themselves.
	tokenGrace = 7 * 24 * time.Hour
	// tokenShards spreads the tokens that expire on one day.
	tokenShards = 64
	day         = 24 * time.Hour
)

func dayOf(t time.Time) int64 { return t.Unix() / int64(day/time.Second) }

func shardOf(hash chat.TokenHash) int { return int(hash[0]) % tokenShards }

// CreateToken writes the token, and before it what finds it.
func (s *Store) CreateToken(ctx context.Context, t chat.Token) error {
	ttl := s.ttl(t.Expires.Add(tokenGrace))
	hash := t.Hash[:]
	expires := millis(t.Expires)
	var entries errgroup.Group
	entries.Go(func() error {
		return s.exec(ctx, `INSERT INTO tokens_by_user (user_id, hash) VALUES (?, ?) USING TTL ? AND TIMESTAMP ?`,
			t.UserID, hash, ttl, int64(onceStamp))
	})
	entries.Go(func() error {
		return s.exec(ctx, `INSERT INTO tokens_by_day (day, shard, expires, hash, user_id) VALUES (?, ?, ?, ?, ?) USING TTL ? AND TIMESTAMP ?`,
			dayOf(t.Expires), shardOf(t.Hash), expires, hash, t.UserID, ttl, int64(onceStamp))
	})
	if err := entries.Wait(); err != nil {
		return fmt.Errorf("write token's entries: %w", err)
	}
	return s.exec(ctx, `INSERT INTO tokens (hash, user_id, created, expires) VALUES (?, ?, ?, ?) USING TTL ? AND TIMESTAMP ?`,
		hash, t.UserID, millis(t.Created), expires, ttl, int64(onceStamp))
}

// TokenByHash is the token, or chat.ErrNotFound; also for one that has expired.
func (s *Store) TokenByHash(ctx context.Context, hash chat.TokenHash, now time.Time) (chat.Token, error) {
	t, err := s.token(ctx, hash)
	if err == nil && !t.Expires.After(now) {
		return chat.Token{}, notFound("token")
	}
	return t, err
}

func (s *Store) token(ctx context.Context, hash chat.TokenHash) (chat.Token, error) {
	t := chat.Token{Hash: hash}
	var created, expires int64
	err := s.scan(ctx, `SELECT user_id, created, expires FROM tokens WHERE hash = ?`, []any{hash[:]}, &t.UserID, &created, &expires)
	if err != nil {
		return chat.Token{}, err
	}
	t.Created, t.Expires = fromMillis(created), fromMillis(expires)
	return t, nil
}

// DeleteToken deletes the token; that there is none is no error.
func (s *Store) DeleteToken(ctx context.Context, hash chat.TokenHash) error {
	t, err := s.token(ctx, hash)
	if errors.Is(err, chat.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.deleteToken(ctx, t)
}

// deleteToken deletes the token itself before what finds it: cut short, it can
// be done again.
func (s *Store) deleteToken(ctx context.Context, t chat.Token) error {
	hash := t.Hash[:]
	if err := s.exec(ctx, `DELETE FROM tokens WHERE hash = ?`, hash); err != nil {
		return err
	}
	err := s.exec(ctx, `DELETE FROM tokens_by_user WHERE user_id = ? AND hash = ?`, t.UserID, hash)
	if err != nil || t.Expires.IsZero() {
		return err
	}
	return s.exec(ctx, `DELETE FROM tokens_by_day WHERE day = ? AND shard = ? AND expires = ? AND hash = ?`,
		dayOf(t.Expires), shardOf(t.Hash), millis(t.Expires), hash)
}

// DeleteTokensOfUser deletes all of the user's tokens but keep.
func (s *Store) DeleteTokensOfUser(ctx context.Context, userID int64, keep chat.TokenHash) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(lookups)
	err := s.each(ctx, 1000, `SELECT hash FROM tokens_by_user WHERE user_id = ?`, []any{userID}, func(row gocql.Scanner) (bool, error) {
		hash, err := scanHash(row)
		if err == nil && hash != keep {
			group.Go(func() error {
				t, err := s.token(groupCtx, hash)
				if errors.Is(err, chat.ErrNotFound) {
					t = chat.Token{Hash: hash, UserID: userID} // an entry that leads nowhere
				} else if err != nil {
					return err
				}
				return s.deleteToken(groupCtx, t)
			})
		}
		return true, err
	})
	return errors.Join(err, group.Wait())
}

func scanHash(row gocql.Scanner, more ...any) (hash chat.TokenHash, err error) {
	var b []byte
	if err := row.Scan(append([]any{&b}, more...)...); err != nil {
		return hash, err
	}
	if copy(hash[:], b) != len(hash) {
		return hash, fmt.Errorf("a token's hash has %d bytes, not %d", len(b), len(hash))
	}
	return hash, nil
}

// DeleteExpiredTokens deletes the tokens that expired before now and says how
// many there were. It looks through the days for which they are kept.
func (s *Store) DeleteExpiredTokens(ctx context.Context, now time.Time) (int, error) {
	var deleted atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(lookups)
	for d := dayOf(now.Add(-tokenGrace)); d <= dayOf(now); d++ {
		for shard := range tokenShards {
			group.Go(func() error {
				n, err := s.deleteExpired(ctx, d, shard, now)
				deleted.Add(int64(n))
				return err
			})
		}
	}
	err := group.Wait()
	return int(deleted.Load()), err
}

func (s *Store) deleteExpired(ctx context.Context, d int64, shard int, now time.Time) (deleted int, err error) {
	// Rounded up: what expires in the same millisecond, but before now, counts.
	bound := millis(ceilMillis(now))
	err = s.each(ctx, 500, `SELECT hash, user_id, expires FROM tokens_by_day WHERE day = ? AND shard = ? AND expires < ?`,
		[]any{d, shard, bound}, func(row gocql.Scanner) (bool, error) {
			var userID, expires int64
			hash, err := scanHash(row, &userID, &expires)
			if err != nil {
				return false, err
			}
			deleted++
			return true, s.deleteToken(ctx, chat.Token{Hash: hash, UserID: userID, Expires: fromMillis(expires)})
		})
	return deleted, err
}
