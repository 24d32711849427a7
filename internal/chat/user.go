package chat

import "time"

// Profile is what others may know of a user. It travels in each event of that
// user, so that no reader has to look its author up.
type Profile struct {
	ID        int64
	Username  string
	Email     string
	FirstName string
	LastName  string
}

// DisplayName is the user's full name, or else their username.
func (p Profile) DisplayName() string {
	switch {
	case p.FirstName != "" && p.LastName != "":
		return p.FirstName + " " + p.LastName
	case p.FirstName+p.LastName != "":
		return p.FirstName + p.LastName
	default:
		return p.Username
	}
}

// User is an account.
type User struct {
	Profile
	// PasswordHash is an argon2id hash in PHC string form.
	PasswordHash string
	// IsStaff lets the user administer rooms and users and enter staff-only rooms.
	IsStaff bool
	// IsActive is false for an account that may no longer log in.
	IsActive bool
	Created  time.Time
}

// UserChange names the fields of a user that change; nil leaves one as it is.
type UserChange struct {
	Email        *string
	FirstName    *string
	LastName     *string
	IsStaff      *bool
	IsActive     *bool
	PasswordHash *string
}

// Apply sets the fields of u that the change names.
func (c UserChange) Apply(u *User) {
	set(&u.Email, c.Email)
	set(&u.FirstName, c.FirstName)
	set(&u.LastName, c.LastName)
	set(&u.IsStaff, c.IsStaff)
	set(&u.IsActive, c.IsActive)
	set(&u.PasswordHash, c.PasswordHash)
}

func set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

// TokenHash is the SHA-256 of a token; the token itself is stored nowhere.
type TokenHash [32]byte

// Token is a log-in.
type Token struct {
	Hash    TokenHash
	UserID  int64
	Created time.Time
	Expires time.Time
}

// Identity is an authenticated caller: the user and the token that proved it.
type Identity struct {
	User  User
	Token Token
}
