package local

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// The names of the id counters.
const (
	userIDs = "user"
	roomIDs = "room"
)

// nextID counts up in the same batch that uses the id. It runs in a change.
func (s *Store) nextID(b *pebble.Batch, counter string) (int64, error) {
	key := textKey(tableIDs, counter)
	last, err := lookup(s, key, decodeInt)
	if err != nil && !errors.Is(err, chat.ErrNotFound) {
		return 0, err
	}
	return last + 1, b.Set(key, encodeInt(last+1), nil)
}

// CreateUser gives the user the next free id.
func (s *Store) CreateUser(ctx context.Context, u chat.User) (chat.User, error) {
	err := s.change(ctx, durable, func(b *pebble.Batch) error {
		name := textKey(tableUsername, u.Username)
		if taken, err := s.has(name); err != nil {
			return err
		} else if taken {
			return fmt.Errorf("username: %w", chat.ErrTaken)
		}
		id, err := s.nextID(b, userIDs)
		if err != nil {
			return err
		}
		u.ID = id
		return errors.Join(
			b.Set(name, encodeInt(id), nil),
			b.Set(intKey(tableUser, id), encodeUser(u), nil))
	})
	if err != nil {
		return chat.User{}, err
	}
	return inMillis(u), nil
}

// inMillis is u as it will be read.
func inMillis(u chat.User) chat.User {
	u.Created = millis(u.Created)
	return u
}

// UserByID is the user, or chat.ErrNotFound.
func (s *Store) UserByID(ctx context.Context, id int64) (chat.User, error) {
	if err := s.enter(ctx); err != nil {
		return chat.User{}, err
	}
	defer s.leave()
	return lookup(s, intKey(tableUser, id), decodeUser)
}

// UserByName is the user of that name, byte by byte, or chat.ErrNotFound.
func (s *Store) UserByName(ctx context.Context, username string) (chat.User, error) {
	if err := s.enter(ctx); err != nil {
		return chat.User{}, err
	}
	defer s.leave()
	id, err := lookup(s, textKey(tableUsername, username), decodeInt)
	if err != nil {
		return chat.User{}, err
	}
	return lookup(s, intKey(tableUser, id), decodeUser)
}

// Users lists at most limit users by rising id, those above after.
func (s *Store) Users(ctx context.Context, after int64, limit int) ([]chat.User, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	var users []chat.User
	all := prefixSpan([]byte{tableUser})
	all.low = intKey(tableUser, max(after, 0)+1)
	err := s.scan(all, func(_, value []byte) (bool, error) {
		if len(users) >= limit {
			return false, nil
		}
		u, err := decodeUser(value)
		users = append(users, u)
		return true, err
	})
	return users, err
}

// UpdateUser changes the user and returns what they are now.
func (s *Store) UpdateUser(ctx context.Context, id int64, change chat.UserChange) (chat.User, error) {
	var u chat.User
	err := s.change(ctx, durable, func(b *pebble.Batch) (err error) {
		key := intKey(tableUser, id)
		if u, err = lookup(s, key, decodeUser); err != nil {
			return err
		}
		change.Apply(&u)
		return b.Set(key, encodeUser(u), nil)
	})
	if err != nil {
		return chat.User{}, err
	}
	return u, nil
}

// CreateToken keeps the token, in the place of an earlier one of the same hash.
func (s *Store) CreateToken(ctx context.Context, t chat.Token) error {
	return s.change(ctx, durable, func(b *pebble.Batch) error {
		if err := s.deleteToken(b, t.Hash); err != nil {
			return err
		}
		return errors.Join(
			b.Set(tokenKey(t.Hash), encodeToken(t), nil),
			b.Set(tokenByUserKey(t.UserID, t.Hash), nil, nil),
			b.Set(tokenByExpiryKey(t.Expires, t.Hash), nil, nil))
	})
}

// token is the token, even if it has expired.
func (s *Store) token(hash chat.TokenHash) (chat.Token, error) {
	return lookup(s, tokenKey(hash), func(value []byte) (chat.Token, error) {
		return decodeToken(hash, value)
	})
}

// deleteToken deletes the token, if there is one. It runs in a change.
func (s *Store) deleteToken(b *pebble.Batch, hash chat.TokenHash) error {
	t, err := s.token(hash)
	if errors.Is(err, chat.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(
		b.Delete(tokenKey(hash), nil),
		b.Delete(tokenByUserKey(t.UserID, hash), nil),
		b.Delete(tokenByExpiryKey(t.Expires, hash), nil))
}

// TokenByHash is the token, or chat.ErrNotFound from its Expires on.
func (s *Store) TokenByHash(ctx context.Context, hash chat.TokenHash, now time.Time) (chat.Token, error) {
	if err := s.enter(ctx); err != nil {
		return chat.Token{}, err
	}
	defer s.leave()
	t, err := s.token(hash)
	if err != nil {
		return chat.Token{}, err
	}
	if !t.Expires.After(now) {
		return chat.Token{}, fmt.Errorf("token has expired: %w", chat.ErrNotFound)
	}
	return t, nil
}

// DeleteToken deletes the token; that there is none is no error.
func (s *Store) DeleteToken(ctx context.Context, hash chat.TokenHash) error {
	return s.change(ctx, durable|freeing, func(b *pebble.Batch) error {
		return s.deleteToken(b, hash)
	})
}

// DeleteTokensOfUser deletes all of the user's tokens but keep.
func (s *Store) DeleteTokensOfUser(ctx context.Context, userID int64, keep chat.TokenHash) error {
	return s.change(ctx, durable|freeing, func(b *pebble.Batch) error {
		return s.scan(intSpan(tableTokenByUser, userID), func(key, _ []byte) (bool, error) {
			hash, err := cutHash(key)
			if err != nil || hash == keep {
				return true, err
			}
			return true, s.deleteToken(b, hash)
		})
	})
}

// expiredTokensPerChange bounds the batch of one step of DeleteExpiredTokens.
const expiredTokensPerChange = 1000

// DeleteExpiredTokens deletes the tokens that expired before now.
func (s *Store) DeleteExpiredTokens(ctx context.Context, now time.Time) (int, error) {
	expired := span{[]byte{tableTokenByExpiry}, appendMillis([]byte{tableTokenByExpiry}, now)}
	total := 0
	for {
		deleted := 0
		err := s.change(ctx, durable|freeing, func(b *pebble.Batch) error {
			return s.scan(expired, func(key, _ []byte) (bool, error) {
				if deleted == expiredTokensPerChange {
					return false, nil
				}
				deleted++
				hash, err := cutHash(key)
				if err != nil {
					return false, err
				}
				return true, s.deleteToken(b, hash)
			})
		})
		if err != nil {
			return total, err
		}
		total += deleted
		if deleted < expiredTokensPerChange {
			return total, nil
		}
	}
}
