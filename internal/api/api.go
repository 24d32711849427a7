package api

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/metrics"
	"github.com/chatcluster/chatcluster/internal/readiness"
)

// Authenticator says who sent a request. Its errors are
// httpauth.ErrNoCredentials, chat.ErrUnauthenticated and those of the store.
type Authenticator interface {
	Identify(r *http.Request) (chat.Identity, error)
}

// DefaultMaxBodyBytes is the largest request body where Options says nothing.
const DefaultMaxBodyBytes = 512 << 10

// Options are the settings of an API.
type Options struct {
	// MaxBodyBytes is the largest request body, in bytes; 0 stands for
	// DefaultMaxBodyBytes.
	MaxBodyBytes int
	// ClientAddr is the network address that failed log-ins are counted by; nil
	// is the host of the connection's peer. Behind a proxy it is for whoever
	// knows which of the proxy's headers can be believed.
	ClientAddr func(*http.Request) string
	// Ready tells for /readyz what the server depends on; nil is nothing.
	Ready func(context.Context) []readiness.Check
	// Logger is told of errors that are not the caller's; nil is slog.Default.
	Logger *slog.Logger
}

// API answers the REST calls.
type API struct {
	accounts *chat.Accounts
	rooms    *chat.Rooms
	messages *chat.Messages
	auth     Authenticator
	metrics  *metrics.Metrics
	options  Options
	// docs are rendered when they are first asked for.
	docs     func() docs
	draining atomic.Bool
}

// New returns an API over the services.
func New(accounts *chat.Accounts, rooms *chat.Rooms, messages *chat.Messages, auth Authenticator, m *metrics.Metrics, o Options) *API {
	if o.MaxBodyBytes == 0 {
		o.MaxBodyBytes = DefaultMaxBodyBytes
	}
	if o.ClientAddr == nil {
		o.ClientAddr = peerHost
	}
	if o.Ready == nil {
		o.Ready = func(context.Context) []readiness.Check { return nil }
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &API{
		accounts: accounts, rooms: rooms, messages: messages, auth: auth, metrics: m, options: o,
		docs: sync.OnceValue(newDocs),
	}
}

// Drain makes /readyz fail from now on, while everything is still served: the
// load balancer is to send new requests elsewhere before the server stops.
func (a *API) Drain() { a.draining.Store(true) }

// Draining reports whether Drain was called.
func (a *API) Draining() bool { return a.draining.Load() }

func peerHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
