package chat

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/mail"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// AccountsOptions are the settings of Accounts.
type AccountsOptions struct {
	// TokenTTL is how long a log-in lasts; at least a second.
	TokenTTL time.Duration
	// LoginsPerAccount and LoginsPerAddress limit failed log-ins.
	LoginsPerAccount, LoginsPerAddress Rate
	// Now is the clock.
	Now func() time.Time
}

// Accounts registers users and tells who a caller is.
type Accounts struct {
	store      AccountStore
	publisher  *Publisher
	options    AccountsOptions
	passwords  *passwords
	perAccount *throttle
	perAddress *throttle
}

// NewAccounts returns Accounts over the store.
func NewAccounts(store AccountStore, publisher *Publisher, o AccountsOptions) *Accounts {
	return &Accounts{
		store:      store,
		publisher:  publisher,
		options:    o,
		passwords:  newPasswords(),
		perAccount: newThrottle(o.LoginsPerAccount),
		perAddress: newThrottle(o.LoginsPerAddress),
	}
}

// NewUser is what it takes to register.
type NewUser struct {
	Username, Password, Email, FirstName, LastName string
	// IsStaff makes an administrator; the API never sets it.
	IsStaff bool
}

// Register makes an account. It answers FieldErrors for what is missing,
// taken or not valid.
func (a *Accounts) Register(ctx context.Context, n NewUser) (User, error) {
	if err := checkNewUser(n); err != nil {
		return User{}, err
	}
	switch _, err := a.store.UserByName(ctx, n.Username); {
	case err == nil:
		return User{}, usernameTaken() // before the costly hash
	case !errors.Is(err, ErrNotFound):
		return User{}, fmt.Errorf("look up user: %w", err)
	}
	hash, err := a.passwords.hash(ctx, n.Password)
	if err != nil {
		return User{}, fmt.Errorf("hash password: %w", err)
	}
	user, err := a.store.CreateUser(ctx, User{
		Profile:      Profile{Username: n.Username, Email: n.Email, FirstName: n.FirstName, LastName: n.LastName},
		PasswordHash: hash,
		IsStaff:      n.IsStaff,
		IsActive:     true,
		Created:      a.options.Now(),
	})
	switch {
	case errors.Is(err, ErrTaken):
		return User{}, usernameTaken()
	case err != nil:
		return User{}, fmt.Errorf("create user: %w", err)
	}
	return user, nil
}

func usernameTaken() FieldErrors {
	return FieldErrors{"username": {"A user with that username already exists."}}
}

// Login answers a new token for the right password. addr is the caller's
// network address. It answers ErrBadLogin, FieldErrors for fields that are
// missing, or a BusyError for too many attempts.
func (a *Accounts) Login(ctx context.Context, username, password, addr string) (string, User, error) {
	errs := FieldErrors{}
	if username == "" {
		errs.Add("username", msgRequired)
	}
	if password == "" {
		errs.Add("password", msgRequired)
	}
	if err := errs.Err(); err != nil {
		return "", User{}, err
	}
	account := strings.ToLower(username)
	now := a.options.Now()
	if wait, ok := a.perAddress.take(addr, now); !ok {
		return "", User{}, tooManyLogins(wait)
	}
	if wait, ok := a.perAccount.take(account, now); !ok {
		a.perAddress.giveBack(addr, now)
		return "", User{}, tooManyLogins(wait)
	}
	user, err := a.checkPassword(ctx, username, password)
	if errors.Is(err, ErrBadLogin) {
		return "", User{}, err
	}
	// Only failed attempts count. They were taken in advance so that guesses
	// sent side by side count too.
	a.perAccount.giveBack(account, a.options.Now())
	a.perAddress.giveBack(addr, a.options.Now())
	if err != nil {
		return "", User{}, err
	}
	token, err := a.issueToken(ctx, user.ID)
	return token, user, err
}

func tooManyLogins(wait time.Duration) *BusyError {
	return &BusyError{Reason: "Too many failed log-ins.", RetryAfter: wait, Caller: true}
}

func (a *Accounts) checkPassword(ctx context.Context, username, password string) (User, error) {
	user, err := a.store.UserByName(ctx, username)
	known := err == nil
	if err != nil && !errors.Is(err, ErrNotFound) {
		return User{}, fmt.Errorf("look up user: %w", err)
	}
	hash := user.PasswordHash
	if !known {
		hash = a.passwords.dummy
	}
	matches, err := a.passwords.matches(ctx, hash, password)
	if err != nil {
		return User{}, fmt.Errorf("check password: %w", err)
	}
	if !known || !matches || !user.IsActive {
		return User{}, ErrBadLogin
	}
	return user, nil
}

func (a *Accounts) issueToken(ctx context.Context, userID int64) (string, error) {
	var secret [20]byte
	rand.Read(secret[:])
	token := hex.EncodeToString(secret[:])
	now := a.options.Now()
	err := a.store.CreateToken(ctx, Token{Hash: hashToken(token), UserID: userID, Created: now, Expires: now.Add(a.options.TokenTTL)})
	if err != nil {
		return "", fmt.Errorf("create token: %w", err)
	}
	return token, nil
}

func hashToken(token string) TokenHash { return sha256.Sum256([]byte(token)) }

// Authenticate says whose token it is, or ErrUnauthenticated.
func (a *Accounts) Authenticate(ctx context.Context, token string) (Identity, error) {
	t, err := a.store.TokenByHash(ctx, hashToken(token), a.options.Now())
	if err != nil {
		return Identity{}, unauthenticated(err, "look up token")
	}
	user, err := a.store.UserByID(ctx, t.UserID)
	if err != nil {
		return Identity{}, unauthenticated(err, "look up user")
	}
	if !user.IsActive {
		return Identity{}, ErrUnauthenticated
	}
	return Identity{User: user, Token: t}, nil
}

func unauthenticated(err error, act string) error {
	if errors.Is(err, ErrNotFound) {
		return ErrUnauthenticated
	}
	return fmt.Errorf("%s: %w", act, err)
}

// Logout ends the token: no call and no socket goes on with it.
func (a *Accounts) Logout(ctx context.Context, id Identity) error {
	if err := a.store.DeleteToken(ctx, id.Token.Hash); err != nil {
		return fmt.Errorf("delete token: %w", err)
	}
	return a.signalUser(ctx, Event{Kind: EventTokensRevoked, Subject: id.User.ID, Token: id.Token.Hash})
}

// ChangePassword sets a new password and ends the user's other tokens.
func (a *Accounts) ChangePassword(ctx context.Context, id Identity, current, replacement string) error {
	errs := FieldErrors{}
	if current == "" {
		errs.Add("current_password", msgRequired)
	}
	checkPasswordRules(errs, "new_password", replacement)
	if err := errs.Err(); err != nil {
		return err
	}
	account, now := strings.ToLower(id.User.Username), a.options.Now()
	if wait, ok := a.perAccount.take(account, now); !ok {
		return tooManyLogins(wait)
	}
	switch _, err := a.checkPassword(ctx, id.User.Username, current); {
	case errors.Is(err, ErrBadLogin):
		return FieldErrors{"current_password": {"Invalid password."}}
	case err != nil:
		return err
	}
	a.perAccount.giveBack(account, a.options.Now())
	hash, err := a.passwords.hash(ctx, replacement)
	if err != nil {
		return fmt.Errorf("hash password: %w", err)
	}
	if _, err := a.store.UpdateUser(ctx, id.User.ID, UserChange{PasswordHash: &hash}); err != nil {
		return fmt.Errorf("update user: %w", err)
	}
	return a.endTokens(ctx, id.User.ID, id.Token.Hash)
}

func (a *Accounts) endTokens(ctx context.Context, userID int64, keep TokenHash) error {
	if err := a.store.DeleteTokensOfUser(ctx, userID, keep); err != nil {
		return fmt.Errorf("delete tokens: %w", err)
	}
	return a.signalUser(ctx, Event{Kind: EventTokensRevoked, Subject: userID, Token: keep, Others: true})
}

// UserByName looks a user up, or answers ErrNotFound.
func (a *Accounts) UserByName(ctx context.Context, username string) (User, error) {
	return a.store.UserByName(ctx, username)
}

// UserByID looks a user up, or answers ErrNotFound.
func (a *Accounts) UserByID(ctx context.Context, id int64) (User, error) {
	return a.store.UserByID(ctx, id)
}

// List is the users with ids above after, limit at the most. Staff only.
func (a *Accounts) List(ctx context.Context, actor User, after int64, limit int) ([]User, error) {
	if err := requireStaff(actor); err != nil {
		return nil, err
	}
	return a.store.Users(ctx, after, limit)
}

// Update changes a user. Users may change their own names and email; the rest,
// and others, is for staff. An account that is no longer active loses its
// tokens.
func (a *Accounts) Update(ctx context.Context, actor User, id int64, change UserChange) (User, error) {
	privileged := change.IsStaff != nil || change.IsActive != nil
	if privileged || actor.ID != id {
		if err := requireStaff(actor); err != nil {
			return User{}, err
		}
	}
	if err := checkUserChange(actor, id, change); err != nil {
		return User{}, err
	}
	user, err := a.store.UpdateUser(ctx, id, change)
	if err != nil {
		return User{}, fmt.Errorf("update user: %w", err)
	}
	if !user.IsActive {
		err = a.endTokens(ctx, id, TokenHash{})
	} else {
		err = a.signalUser(ctx, Event{Kind: EventUserChanged, Subject: id})
	}
	return user, err
}

func (a *Accounts) signalUser(ctx context.Context, ev Event) error {
	return a.publisher.Signal(ctx, "user-"+strconv.FormatInt(ev.Subject, 10), ev)
}

func requireStaff(actor User) error {
	if !actor.IsStaff {
		return &DeniedError{Reason: "You do not have permission to perform this action."}
	}
	return nil
}

func checkNewUser(n NewUser) error {
	errs := FieldErrors{}
	switch {
	case n.Username == "":
		errs.Add("username", msgRequired)
	case checkText(errs, "username", n.Username, maxUsername) && strings.ContainsFunc(n.Username, notInUsername):
		errs.Add("username", "Enter a valid username. This value may contain only letters, numbers, and @/./+/-/_ characters.")
	}
	checkPasswordRules(errs, "password", n.Password)
	checkEmail(errs, n.Email)
	checkText(errs, "first_name", n.FirstName, maxName)
	checkText(errs, "last_name", n.LastName, maxName)
	return errs.Err()
}

// notInUsername is the complement of Django's [\w.@+-].
func notInUsername(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !strings.ContainsRune("_.@+-", r)
}

func checkPasswordRules(errs FieldErrors, field, password string) {
	switch {
	case password == "":
		errs.Add(field, msgRequired)
	case !checkText(errs, field, password, maxPassword):
	case len([]rune(password)) < minPassword:
		errs.Add(field, "This password is too short. It must contain at least %d characters.", minPassword)
	}
}

func checkEmail(errs FieldErrors, email string) {
	if email == "" || !checkText(errs, "email", email, maxEmail) {
		return
	}
	if addr, err := mail.ParseAddress(email); err != nil || addr.Address != email || !strings.Contains(email[strings.LastIndexByte(email, '@')+1:], ".") {
		errs.Add("email", "Enter a valid email address.")
	}
}

func checkUserChange(actor User, id int64, c UserChange) error {
	errs := FieldErrors{}
	if c.Email != nil {
		checkEmail(errs, *c.Email)
	}
	if c.FirstName != nil {
		checkText(errs, "first_name", *c.FirstName, maxName)
	}
	if c.LastName != nil {
		checkText(errs, "last_name", *c.LastName, maxName)
	}
	// Or the last administrator could lock everyone out.
	if actor.ID == id && c.IsStaff != nil && !*c.IsStaff {
		errs.Add("is_staff", "You cannot take your own staff rights away; ask another administrator.")
	}
	if actor.ID == id && c.IsActive != nil && !*c.IsActive {
		errs.Add("is_active", "You cannot deactivate your own account; ask another administrator.")
	}
	return errs.Err()
}
