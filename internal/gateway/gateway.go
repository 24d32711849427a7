package gateway

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/gateway/feed"
	"github.com/chatcluster/chatcluster/internal/gateway/wsconn"
	"github.com/chatcluster/chatcluster/internal/metrics"
)

// Options are the settings of a Gateway. ID and Authenticate are required;
// zero values of the others stand for the defaults that are named.
type Options struct {
	// ID names the gateway's lease and its sockets. Two gateways that run at
	// the same time must not share it.
	ID string
	// Authenticate says who sent a request, or chat.ErrUnauthenticated; it is
	// httpauth.Authenticator.Identify.
	Authenticate func(*http.Request) (chat.Identity, error)
	// PingInterval (25 s) is the time between two pings of a socket, and
	// PongTimeout (10 s) how long its answer may take.
	PingInterval, PongTimeout time.Duration
	// WriteTimeout (10 s) is how old a frame may get before it is written.
	WriteTimeout time.Duration
	// SendQueueBytes (1 MiB) bounds what waits to be written to one socket.
	// Half of it bounds what one resume brings.
	SendQueueBytes int
	// ReadLimit (64 KiB) is the largest frame of a client, in bytes.
	ReadLimit int
	// RingBytes (4 MiB) bounds the memory of recent messages of one partition.
	RingBytes int
	// MaxSockets (100,000) and MaxRoomsPerSocket (100) bound how many.
	MaxSockets, MaxRoomsPerSocket int
	// ResumeLimit (1,000) is the largest number of messages that one resume
	// brings.
	ResumeLimit int
	// LeaseTTL (30 s) is how long after its death a gateway's users are taken
	// for present.
	LeaseTTL time.Duration
	// DrainWindow (0) is the time over which the sockets are closed at the
	// end. The whole drain takes DrainEnd longer at most.
	DrainWindow time.Duration
	// Linger (1 min) is how long a partition that no socket needs is followed.
	Linger time.Duration
	// Memory (none) is who keeps in memory what the store says.
	Memory Memory
	// Now (time.Now) is the clock.
	Now func() time.Time
	// Logger (slog.Default) hears changes of state.
	Logger *slog.Logger
}

// Memory keeps in memory what the store says of accounts and rooms. The gateway
// tells it of changes; its methods must not block.
type Memory interface {
	// Changed is told of each event that changes an account or who may read a
	// room, and of each announcement, before the gateway acts on it.
	Changed(*chat.Event)
	// Heard is told a few times a second, by one caller at a time, that Changed
	// was told of every announcement that had been made by at. Where it is not
	// called for longer, nothing is known.
	Heard(at time.Time)
	// Missed is told that Changed may have missed some.
	Missed()
}

type noMemory struct{}

func (noMemory) Changed(*chat.Event) {}
func (noMemory) Heard(time.Time)     {}
func (noMemory) Missed()             {}

func (o Options) withDefaults() Options {
	o.PingInterval = cmp.Or(o.PingInterval, 25*time.Second)
	o.PongTimeout = cmp.Or(o.PongTimeout, 10*time.Second)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, 10*time.Second)
	o.SendQueueBytes = cmp.Or(o.SendQueueBytes, 1<<20)
	o.ReadLimit = cmp.Or(o.ReadLimit, 64<<10)
	o.RingBytes = cmp.Or(o.RingBytes, 4<<20)
	o.MaxSockets = cmp.Or(o.MaxSockets, 100_000)
	o.MaxRoomsPerSocket = cmp.Or(o.MaxRoomsPerSocket, 100)
	o.ResumeLimit = cmp.Or(o.ResumeLimit, 1000)
	o.LeaseTTL = cmp.Or(o.LeaseTTL, 30*time.Second)
	o.Linger = cmp.Or(o.Linger, time.Minute)
	if o.Memory == nil {
		o.Memory = noMemory{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// Close codes of the gateway's own, next to wsconn.CodeSlow. After 4009 a
// client comes back at once; after the others it does not.
const (
	codeResume         = 4009
	codeTokenDead      = 4401
	codeRemoved        = 4403
	codeRoomDeleted    = 4504
	codeServiceRestart = 1012
	codeTryAgainLater  = 1013
)

const restartReason = "server restarts, reconnect with after"

const (
	// backendTimeout bounds every look-up, append and resume for a socket.
	backendTimeout = 10 * time.Second
	// finishTimeout bounds the last announcements and writes when the sockets
	// have closed.
	finishTimeout = 8 * time.Second
	// closeTimeout is how long sockets get to say goodbye after the window.
	closeTimeout = 3 * time.Second
)

// DrainEnd is how long after the drain window Run returns, at most.
const DrainEnd = closeTimeout + finishTimeout

// Gateway serves sockets.
type Gateway struct {
	log      chat.Log
	store    chat.PresenceStore
	accounts *chat.Accounts
	rooms    *chat.Rooms
	messages *chat.Messages
	metrics  *metrics.Metrics
	options  Options

	feed      *feed.Feed
	conns     *wsconn.Set
	logins    *logins
	presence  *presence
	announcer *announcer
	rechecks  *rechecks

	// serving is set while handshakes are accepted: from when no signal is
	// missed until the drain.
	serving atomic.Bool
	// started is closed when serving is first set.
	started chan struct{}
	// shedding is set from a Shed on until it is done, and sheds hands it over.
	shedding atomic.Bool
	sheds    chan shedding
	// handshakes is how many are under way.
	handshakes atomic.Int64
	// lastSocket numbers the sockets.
	lastSocket atomic.Int64
}

// New returns a Gateway. It must be Run.
func New(log chat.Log, store chat.PresenceStore, accounts *chat.Accounts, rooms *chat.Rooms, messages *chat.Messages, m *metrics.Metrics, o Options) *Gateway {
	o = o.withDefaults()
	g := &Gateway{
		log: log, store: store, accounts: accounts, rooms: rooms, messages: messages, metrics: m, options: o,
		logins:   newLogins(o.Now),
		presence: newPresence(o.ID, store, o.Now),
		rechecks: newRechecks(),
		started:  make(chan struct{}),
		sheds:    make(chan shedding, 1),
	}
	g.announcer = newAnnouncer(messages, g.presence, o.Logger)
	g.conns = wsconn.NewSet(m, wsconn.Options{
		PingInterval: o.PingInterval, PongTimeout: o.PongTimeout, WriteTimeout: o.WriteTimeout,
		QueueBytes: o.SendQueueBytes, ReadLimit: int64(o.ReadLimit),
	})
	g.feed = feed.New(log, feed.Options{
		RingBytes: o.RingBytes, Linger: o.Linger, Observe: g.presence.observe, Cutoff: messages.Cutoff, Changed: o.Memory.Changed, Now: o.Now, Logger: o.Logger,
	})
	return g
}

// errNotReady is Ready's error.
var errNotReady = errors.New("starting or stopping")

// Ready says why handshakes are not accepted; nil if they are.
func (g *Gateway) Ready() error {
	if !g.serving.Load() {
		return errNotReady
	}
	return nil
}

// Serving is closed once handshakes are accepted for the first time.
func (g *Gateway) Serving() <-chan struct{} { return g.started }

// Run serves until ctx ends, and then drains: it refuses handshakes, tells the
// clients that want to know when to reconnect, closes the sockets over the drain
// window while they still receive, announces that their users have left, and
// gives up the lease.
func (g *Gateway) Run(ctx context.Context) error {
	// What serves the sockets outlives ctx, until they are closed.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, work := errgroup.WithContext(work)
	run := func(f func(context.Context)) {
		group.Go(func() error {
			f(work)
			return nil
		})
	}
	run(func(ctx context.Context) { g.feed.Run(ctx) })
	run(func(ctx context.Context) {
		feed.Signals(ctx, g.log, feed.SignalOptions{
			Ready:  func() { g.serving.Store(true); close(g.started) },
			Handle: g.signal, Heard: g.options.Memory.Heard, Lost: g.signalsLost, Now: g.options.Now,
		})
	})
	run(g.conns.Run)
	run(g.logins.expire)
	run(func(ctx context.Context) { g.rechecks.run(ctx, g.options.Logger) })
	run(func(ctx context.Context) { g.presence.run(ctx, g.options.Logger) })
	run(g.keepLease)
	run(func(context.Context) { g.shed(ctx) }) // ends with ctx: the drain takes over

	<-ctx.Done()
	g.options.Logger.Info("gateway drains", "sockets", g.conns.Len())
	g.drain(context.WithoutCancel(ctx))
	stop()
	err := group.Wait()
	g.options.Logger.Info("gateway stopped")
	return err
}

func (g *Gateway) drain(ctx context.Context) {
	g.serving.Store(false)
	closing, cancel := context.WithTimeout(ctx, g.options.DrainWindow+closeTimeout)
	defer cancel()
	g.conns.Close(closing, wsconn.Dismissal{
		Window: g.options.DrainWindow,
		Code:   codeServiceRestart, Reason: restartReason, Why: metrics.CloseDrain,
	})

	finishing, cancel := context.WithTimeout(ctx, finishTimeout)
	defer cancel()
	g.announcer.finish(finishing)
	err := g.presence.flush(finishing)
	if err == nil {
		err = g.store.DropLease(finishing, g.options.ID)
	}
	if err != nil {
		g.options.Logger.Warn("lease is left to end, other gateways announce who has left", "error", err)
	}
}

// signal is told of each signal, one after the other.
func (g *Gateway) signal(ev *chat.Event) {
	g.options.Memory.Changed(ev)
	switch ev.Kind {
	case chat.EventTokensRevoked:
		g.logins.revoke(ev)
	case chat.EventUserChanged:
		g.userChanged(ev.Subject)
	case chat.EventCutoff:
		// Not here: a partition that is being warmed up takes its time, and a
		// token that is revoked meanwhile has none.
		g.rechecks.add(cutoffRecheck{g})
	}
}

// signalsLost makes up for signals that were missed: any token may be dead and
// any message cleaned away.
func (g *Gateway) signalsLost() {
	g.options.Logger.Warn("signals were lost, sockets reconnect")
	g.options.Memory.Missed()
	g.rechecks.add(cutoffRecheck{g})
	for _, l := range g.logins.all() {
		l.owner.disconnect(codeResume, "resume", metrics.CloseLog)
	}
}

// userChanged brings what the sockets of a user may do up to date.
func (g *Gateway) userChanged(userID int64) {
	if len(g.logins.of(userID)) == 0 {
		return
	}
	g.rechecks.add(userRecheck{g, userID})
}

// cutoffRecheck forgets the messages that may have been cleaned away.
type cutoffRecheck struct{ gateway *Gateway }

func (c cutoffRecheck) recheck(context.Context) error {
	c.gateway.feed.ForgetMessages()
	return nil
}

// userRecheck looks an account up again.
type userRecheck struct {
	gateway *Gateway
	userID  int64
}

func (u userRecheck) recheck(ctx context.Context) error {
	user, err := u.gateway.accounts.UserByID(ctx, u.userID)
	if err != nil && !errors.Is(err, chat.ErrNotFound) {
		return err
	}
	for _, l := range u.gateway.logins.of(u.userID) {
		if !user.IsActive {
			l.owner.loggedOut()
			continue
		}
		l.owner.userChanged(user)
	}
	return nil
}
