package gateway

import (
	"container/heap"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/metrics"
)

const (
	// expiryTick is how often tokens are looked at for their end.
	expiryTick = 250 * time.Millisecond
	// revocationMemory is how long a handshake may take and still notice that
	// its token was revoked meanwhile.
	revocationMemory = time.Minute
)

// loginOwner is a socket that was authenticated by a token.
type loginOwner interface {
	// loggedOut tells that the token is dead. It must not block.
	loggedOut()
	// userChanged tells that the account has changed.
	userChanged(chat.User)
	disconnect(code int, reason string, why metrics.Close)
}

// login is a token in use by one socket.
type login struct {
	owner     loginOwner
	userID    int64
	token     chat.TokenHash
	expires   time.Time
	heapIndex int // -1 once it has expired or ended
}

type revocation struct {
	at    time.Time
	event chat.Event
}

// logins tells sockets when the token that they were authenticated by dies.
type logins struct {
	now func() time.Time

	mu       sync.Mutex // guards the rest
	byUser   map[int64][]*login
	expiries expiryHeap
	// recent are the revocations of the last revocationMemory, oldest first,
	// for handshakes that have looked the token up before and are not
	// registered yet.
	recent []revocation
}

func newLogins(now func() time.Time) *logins {
	return &logins{now: now, byUser: map[int64][]*login{}}
}

// add registers a socket whose token was looked up at since. It reports false
// if the token has been revoked since then.
func (l *logins) add(owner loginOwner, id chat.Identity, since time.Time) (*login, bool) {
	entry := &login{owner: owner, userID: id.User.ID, token: id.Token.Hash, expires: id.Token.Expires}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.recent {
		if !r.at.Before(since) && entry.revokedBy(&r.event) {
			return nil, false
		}
	}
	l.byUser[entry.userID] = append(l.byUser[entry.userID], entry)
	heap.Push(&l.expiries, entry)
	return entry, true
}

func (l *logins) remove(entry *login) {
	l.mu.Lock()
	defer l.mu.Unlock()
	rest := slices.DeleteFunc(l.byUser[entry.userID], func(e *login) bool { return e == entry })
	if len(rest) == 0 {
		delete(l.byUser, entry.userID)
	} else {
		l.byUser[entry.userID] = rest
	}
	if entry.heapIndex >= 0 {
		heap.Remove(&l.expiries, entry.heapIndex)
	}
}

func (e *login) revokedBy(ev *chat.Event) bool {
	return e.userID == ev.Subject && (e.token == ev.Token) != ev.Others
}

func (l *logins) revoke(ev *chat.Event) {
	now := l.now()
	l.mu.Lock()
	l.recent = slices.DeleteFunc(l.recent, func(r revocation) bool { return now.Sub(r.at) > revocationMemory })
	l.recent = append(l.recent, revocation{now, *ev})
	l.mu.Unlock()
	for _, entry := range l.of(ev.Subject) {
		if entry.revokedBy(ev) {
			entry.owner.loggedOut()
		}
	}
}

// of is the logins of a user.
func (l *logins) of(userID int64) []*login {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.byUser[userID])
}

func (l *logins) all() []*login {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.expiries)
}

// expire tells the sockets whose tokens expire, until ctx ends.
func (l *logins) expire(ctx context.Context) {
	ticker := time.NewTicker(expiryTick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, entry := range l.expired() {
			entry.owner.loggedOut()
		}
	}
}

func (l *logins) expired() []*login {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	var expired []*login
	for len(l.expiries) > 0 && !l.expiries[0].expires.After(now) {
		expired = append(expired, heap.Pop(&l.expiries).(*login))
	}
	return expired
}

// expiryHeap implements heap.Interface: the token that expires first is first.
type expiryHeap []*login

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].expires.Before(h[j].expires) }
func (h expiryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = i, j
}

func (h *expiryHeap) Push(x any) {
	entry := x.(*login)
	entry.heapIndex = len(*h)
	*h = append(*h, entry)
}

func (h *expiryHeap) Pop() any {
	last := len(*h) - 1
	entry := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	entry.heapIndex = -1
	return entry
}
