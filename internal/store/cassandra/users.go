package cassandra

import (
	"context"
	"errors"
	"fmt"
	"strings"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"golang.org/x/sync/errgroup"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// usersPerPartition is how many ids share a partition of users.
const usersPerPartition = 1000

// lookups is how many rows one call looks up at the same time.
const lookups = 16

const userColumns = "username, id, email, first_name, last_name, password_hash, is_staff, is_active, created"

// CreateUser gives the user the next id of this process; see idBlock. The row
// of the name is claimed and filled in one step.
func (s *Store) CreateUser(ctx context.Context, u chat.User) (chat.User, error) {
	if !isKey(u.Username) {
		return chat.User{}, fmt.Errorf("%q cannot be a username", u.Username)
	}
	id, err := s.nextID(ctx, &s.users)
	if err != nil {
		return chat.User{}, err
	}
	u.ID, u.Created = id, fromMillis(millis(u.Created))
	err = s.exec(ctx, `INSERT INTO users (block, id, username) VALUES (?, ?, ?) USING TIMESTAMP ?`,
		id/usersPerPartition, id, u.Username, int64(onceStamp))
	if err != nil {
		return chat.User{}, fmt.Errorf("write user's entry: %w", err)
	}
	applied, row, err := s.casQuery(ctx, `INSERT INTO users_by_name (`+userColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS`,
		u.Username, id, u.Email, u.FirstName, u.LastName, u.PasswordHash, u.IsStaff, u.IsActive, millis(u.Created))
	switch {
	case err != nil:
		return chat.User{}, fmt.Errorf("claim username: %w", err)
	case applied || row["id"] == id:
		return u, nil
	}
	// The entry leads to another's row, which readers see. It is only in the
	// way, and stays so if this fails.
	_ = s.exec(ctx, `DELETE FROM users WHERE block = ? AND id = ?`, id/usersPerPartition, id)
	return chat.User{}, fmt.Errorf("username: %w", chat.ErrTaken)
}

// UserByName is the user, or chat.ErrNotFound.
func (s *Store) UserByName(ctx context.Context, username string) (chat.User, error) {
	if !isKey(username) {
		return chat.User{}, notFound("user")
	}
	var u chat.User
	var created int64
	err := s.scan(ctx, `SELECT `+userColumns+` FROM users_by_name WHERE username = ?`, []any{username},
		&u.Username, &u.ID, &u.Email, &u.FirstName, &u.LastName, &u.PasswordHash, &u.IsStaff, &u.IsActive, &created)
	if err != nil {
		return chat.User{}, err
	}
	u.Created = fromMillis(created)
	return u, nil
}

// UserByID is the user, or chat.ErrNotFound.
func (s *Store) UserByID(ctx context.Context, id int64) (chat.User, error) {
	var username string
	if err := s.scan(ctx, `SELECT username FROM users WHERE block = ? AND id = ?`, []any{id / usersPerPartition, id}, &username); err != nil {
		return chat.User{}, err
	}
	return s.userOfEntry(ctx, id, username)
}

// userOfEntry follows an entry of users, which may lead to another's name.
func (s *Store) userOfEntry(ctx context.Context, id int64, username string) (chat.User, error) {
	u, err := s.UserByName(ctx, username)
	if err == nil && u.ID != id {
		return chat.User{}, notFound("user")
	}
	return u, err
}

// Users lists users by rising id. Those of other processes may be given lower
// ids later.
func (s *Store) Users(ctx context.Context, after int64, limit int) ([]chat.User, error) {
	after = max(after, 0)
	end, err := s.highestID(ctx, userIDs)
	if err != nil {
		return nil, err
	}
	var users []chat.User
	for after < end-1 && len(users) < limit {
		block := (after + 1) / usersPerPartition
		var ids []int64
		var names []string
		wanted := limit - len(users)
		err := s.each(ctx, min(wanted, usersPerPartition), `SELECT id, username FROM users WHERE block = ? AND id > ? LIMIT ?`,
			[]any{block, after, wanted}, func(row gocql.Scanner) (bool, error) {
				var id int64
				var username string
				err := row.Scan(&id, &username)
				ids, names = append(ids, id), append(names, username)
				return true, err
			})
		if err != nil {
			return nil, err
		}
		found, err := parallel(ctx, len(ids), func(ctx context.Context, i int) (chat.User, error) {
			return s.userOfEntry(ctx, ids[i], names[i])
		})
		if err != nil {
			return nil, err
		}
		users = append(users, found...)
		after = (block+1)*usersPerPartition - 1
		if len(ids) == wanted {
			after = ids[len(ids)-1]
		}
	}
	return users, nil
}

// parallel looks n things up, lookups of them at a time, and returns those that
// there are, in their order.
func parallel[T any](ctx context.Context, n int, look func(ctx context.Context, i int) (T, error)) ([]T, error) {
	return parallelN(ctx, lookups, n, look)
}

// parallelN is parallel with a limit of its own.
func parallelN[T any](ctx context.Context, limit, n int, look func(ctx context.Context, i int) (T, error)) ([]T, error) {
	found, there := make([]T, n), make([]bool, n)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(limit)
	for i := range n {
		group.Go(func() (err error) {
			found[i], err = look(ctx, i)
			there[i] = err == nil
			if errors.Is(err, chat.ErrNotFound) {
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	kept := found[:0]
	for i, thing := range found {
		if there[i] {
			kept = append(kept, thing)
		}
	}
	return kept, nil
}

// assignments collects the columns that an UPDATE sets.
type assignments struct {
	columns []string
	args    []any
}

func assign[T any](a *assignments, column string, value *T) {
	if value != nil {
		a.columns = append(a.columns, column+" = ?")
		a.args = append(a.args, *value)
	}
}

// UpdateUser changes the user and returns what they are now.
func (s *Store) UpdateUser(ctx context.Context, id int64, change chat.UserChange) (chat.User, error) {
	u, err := s.UserByID(ctx, id)
	if err != nil {
		return chat.User{}, err
	}
	var set assignments
	assign(&set, "email", change.Email)
	assign(&set, "first_name", change.FirstName)
	assign(&set, "last_name", change.LastName)
	assign(&set, "is_staff", change.IsStaff)
	assign(&set, "is_active", change.IsActive)
	assign(&set, "password_hash", change.PasswordHash)
	if len(set.columns) == 0 {
		return u, nil
	}
	applied, _, err := s.casQuery(ctx, `UPDATE users_by_name SET `+strings.Join(set.columns, ", ")+` WHERE username = ? IF id = ?`,
		append(set.args, u.Username, id)...)
	if err != nil {
		return chat.User{}, err
	}
	if !applied {
		return chat.User{}, notFound("user")
	}
	return s.UserByName(ctx, u.Username)
}
