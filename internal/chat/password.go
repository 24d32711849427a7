package chat

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"
)

// The argon2id parameters that OWASP recommends for password storage.
const (
	argonTime    = 2
	argonMemory  = 19 * 1024 // KiB
	argonThreads = 1
	argonSalt    = 16 // bytes
	argonHash    = 32 // bytes
)

// hashWait is how long a log-in waits for its turn to hash.
const hashWait = 2 * time.Second

// passwords hashes and checks passwords, as many at once as there are
// processors: each hash takes 19 MiB and tens of milliseconds, so that
// unbounded log-ins would starve everything else.
type passwords struct {
	turns chan struct{}
	// dummy is checked where the user is unknown, so that the time of an
	// answer does not tell whether a user exists.
	dummy string
}

func newPasswords() *passwords {
	return &passwords{
		turns: make(chan struct{}, runtime.GOMAXPROCS(0)),
		dummy: encodePHC(make([]byte, argonSalt), make([]byte, argonHash)),
	}
}

// hash returns the PHC string of the password.
func (p *passwords) hash(ctx context.Context, password string) (string, error) {
	if err := p.acquire(ctx); err != nil {
		return "", err
	}
	defer p.release()
	salt := make([]byte, argonSalt)
	rand.Read(salt)
	return encodePHC(salt, argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, argonHash)), nil
}

// matches reports whether password is the one of the PHC string.
func (p *passwords) matches(ctx context.Context, phc, password string) (bool, error) {
	params, err := decodePHC(phc)
	if err != nil {
		return false, err
	}
	if err := p.acquire(ctx); err != nil {
		return false, err
	}
	defer p.release()
	got := argon2.IDKey([]byte(password), params.salt, params.time, params.memory, params.threads, uint32(len(params.hash)))
	return subtle.ConstantTimeCompare(got, params.hash) == 1, nil
}

func (p *passwords) acquire(ctx context.Context) error {
	timeout := time.NewTimer(hashWait)
	defer timeout.Stop()
	select {
	case p.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timeout.C:
		return &BusyError{Reason: "Too many log-ins at once.", RetryAfter: hashWait}
	}
}

func (p *passwords) release() { <-p.turns }

// phcParams is what a PHC string says.
type phcParams struct {
	memory, time uint32
	threads      uint8
	salt, hash   []byte
}

// encodePHC writes the PHC string format
// (github.com/P-H-C/phc-string-format), with the current parameters.
func encodePHC(salt, hash []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, argonMemory, argonTime, argonThreads, b64.EncodeToString(salt), b64.EncodeToString(hash))
}

// errNotPHC does not show the string: it is a secret.
var errNotPHC = errors.New("stored password is not an argon2id PHC string")

func decodePHC(s string) (phcParams, error) {
	var (
		p       phcParams
		version int
		rest    string
	)
	if _, err := fmt.Sscanf(s, "$argon2id$v=%d$m=%d,t=%d,p=%d$%s", &version, &p.memory, &p.time, &p.threads, &rest); err != nil || version != argon2.Version {
		return phcParams{}, errNotPHC
	}
	// argon2.IDKey panics on a zero time or parallelism, and would allocate
	// whatever memory it is told to.
	if p.time == 0 || p.threads == 0 || p.memory > 1<<20 || p.time > 64 {
		return phcParams{}, errNotPHC
	}
	salt, hash, found := strings.Cut(rest, "$")
	var saltErr, hashErr error
	p.salt, saltErr = base64.RawStdEncoding.DecodeString(salt)
	p.hash, hashErr = base64.RawStdEncoding.DecodeString(hash)
	if !found || saltErr != nil || hashErr != nil || len(p.hash) == 0 {
		return phcParams{}, errNotPHC
	}
	return p, nil
}
