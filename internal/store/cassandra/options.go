package cassandra

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// Options say how to reach Cassandra. Hosts is required.
type Options struct {
	// Hosts are addresses to start from, host or host:port (9042). The others
	// are found there.
	Hosts []string
	// Keyspace is "chat" if it is empty: a small letter, then small letters, digits and
	// underscores, 48 at the most.
	Keyspace string
	// Replication is the CQL map with which Migrate makes the keyspace where
	// there is none; empty is one replica.
	Replication string
	// DC is the data centre to prefer; empty is none.
	DC string
	// Username and Password log in; an empty Username does not.
	Username, Password string
	// TLS is nil for connections without. Its ServerName, or else the host's
	// address, is checked unless it says InsecureSkipVerify.
	TLS *tls.Config
	// Timeout bounds one request; 0 is 2 s. A call may take several.
	Timeout time.Duration
	// Logger gets what the driver has to say; nil is none.
	Logger *slog.Logger
	// Now is the clock from which the remaining life of rows is computed; nil
	// is time.Now.
	Now func() time.Time
}

const (
	defaultKeyspace    = "chat"
	defaultReplication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
	defaultTimeout     = 2 * time.Second
	// connectTimeout bounds each step of a connection's beginning; a node that
	// has just started is slow to answer the first.
	connectTimeout = 5 * time.Second
	// reconnectInterval is how soon a node that is back is used again.
	reconnectInterval = 5 * time.Second
)

var keyspaceName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,47}$`)

// withDefaults fills in what is empty and checks the rest.
func (o Options) withDefaults() (Options, error) {
	o.Keyspace = cmp.Or(o.Keyspace, defaultKeyspace)
	o.Replication = cmp.Or(o.Replication, defaultReplication)
	o.Timeout = cmp.Or(o.Timeout, defaultTimeout)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	var errs []error
	if len(o.Hosts) == 0 {
		errs = append(errs, errors.New("no Cassandra hosts"))
	}
	if !keyspaceName.MatchString(o.Keyspace) {
		errs = append(errs, fmt.Errorf("keyspace %q is not a small letter followed by at most 47 small letters, digits and underscores", o.Keyspace))
	}
	return o, errors.Join(errs...)
}

// connect opens a session; keyspace may be empty. It tries each host once:
// what is wrong with a password or a certificate stays wrong.
func connect(ctx context.Context, o Options, keyspace string) (*gocql.Session, error) {
	return connectTo(ctx, o, keyspace, false)
}

// connectTo is connect; with only, nodes that are not among the hosts stay out
// of use.
func connectTo(ctx context.Context, o Options, keyspace string, only bool) (*gocql.Session, error) {
	c := gocql.NewCluster(o.Hosts...)
	c.DisableInitialHostLookup = only
	c.Keyspace = keyspace
	// The driver's search for a version hides the reason of a refusal.
	c.ProtoVersion = 5
	c.Consistency = gocql.LocalQuorum
	c.SerialConsistency = gocql.LocalSerial
	c.Timeout = o.Timeout
	c.ConnectTimeout = max(connectTimeout, o.Timeout)
	c.ReconnectInterval = reconnectInterval
	c.RetryPolicy = &gocql.SimpleRetryPolicy{NumRetries: 1} // only of what is marked idempotent
	c.NextPagePrefetch = 0                                  // pages are read as they are needed
	c.Metadata.CacheMode = gocql.KeyspaceOnly
	log := driverLog{logger: o.Logger, opened: new(atomic.Bool)}
	c.Logger = log
	dialer := newDialer(ctx, c.ConnectTimeout)
	c.Dialer = dialer
	local := gocql.RoundRobinHostPolicy()
	if o.DC != "" {
		local = gocql.DCAwareRoundRobinPolicy(o.DC)
	}
	c.PoolConfig.HostSelectionPolicy = gocql.TokenAwareHostPolicy(local, gocql.ShuffleReplicas(), gocql.NonLocalReplicasFallback())
	if o.Username != "" {
		c.Authenticator = gocql.PasswordAuthenticator{Username: o.Username, Password: o.Password}
	}
	if o.TLS != nil {
		c.SslOpts = &gocql.SslOptions{Config: o.TLS, EnableHostVerification: !o.TLS.InsecureSkipVerify}
	}
	var attempts connectErrors
	c.ConnectObserver = &attempts
	session, err := c.CreateSession()
	dialer.release()
	if ctx.Err() != nil {
		if err == nil {
			session.Close()
		}
		return nil, fmt.Errorf("connect to Cassandra at %v: %w", o.Hosts, translate(ctx.Err()))
	}
	log.opened.Store(true)
	if err != nil {
		return nil, fmt.Errorf("connect to Cassandra at %v: %w", o.Hosts, attempts.translate(err))
	}
	return session, nil
}

// connectErrors remembers why the last connection failed: of that, the driver's
// own error has only the text.
type connectErrors struct{ last atomic.Pointer[error] }

// ObserveConnect is what the driver calls after each attempt.
func (e *connectErrors) ObserveConnect(attempt gocql.ObservedConnect) {
	if attempt.Err != nil {
		e.last.Store(&attempt.Err)
	}
}

func (e *connectErrors) translate(err error) error {
	if cause := e.last.Load(); cause != nil && isUnavailable(*cause) || isUnavailable(err) {
		return fmt.Errorf("%w: %w", chat.ErrUnavailable, err)
	}
	return translate(err)
}

// unavailable are the driver's errors after which the same call may succeed.
var unavailable = []error{
	gocql.ErrUnavailable, gocql.ErrNoConnections, gocql.ErrNoConnectionsStarted, gocql.ErrSessionClosed,
	gocql.ErrTimeoutNoResponse, gocql.ErrConnectionClosed, gocql.ErrNoStreams,
	context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
}

// unavailableTexts are the same where the driver has only a text: a node that
// hangs, and names that lead nowhere, as those of a service without ready nodes.
var unavailableTexts = []string{
	"no response to connection startup within timeout",
	"failed to resolve any of the provided hostnames",
}

// translate turns the driver's errors into the port's.
func translate(err error) error {
	if err == nil || errors.Is(err, chat.ErrUnavailable) {
		return err
	}
	if isUnavailable(err) {
		return fmt.Errorf("%w: %w", chat.ErrUnavailable, err)
	}
	return err
}

func isUnavailable(err error) bool {
	var refused gocql.RequestError
	if errors.As(err, &refused) {
		switch refused.Code() {
		case gocql.ErrCodeUnavailable, gocql.ErrCodeOverloaded, gocql.ErrCodeBootstrapping, gocql.ErrCodeServer,
			gocql.ErrCodeWriteTimeout, gocql.ErrCodeReadTimeout, gocql.ErrCodeReadFailure, gocql.ErrCodeWriteFailure,
			gocql.ErrCodeCASWriteUnknown:
			return true
		case gocql.ErrCodeCredentials:
			// A node that cannot read who there is, since others are down.
			return strings.Contains(refused.Message(), "Unable to perform authentication")
		}
		return false
	}
	for _, target := range unavailable {
		if errors.Is(err, target) {
			return true
		}
	}
	for _, text := range unavailableTexts {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	// An alert of TLS is a refusal, which the same call will meet again.
	var network *net.OpError
	return errors.As(err, &network) && network.Op != "remote error"
}

// driverLog passes the driver's log on. What the driver calls info is per
// connection.
type driverLog struct {
	logger *slog.Logger
	// opened is set once the session is there: until then an error says what
	// the driver would, once for each attempt.
	opened *atomic.Bool
}

func (l driverLog) Error(msg string, fields ...gocql.LogField)   { l.log(slog.LevelError, msg, fields) }
func (l driverLog) Warning(msg string, fields ...gocql.LogField) { l.log(slog.LevelWarn, msg, fields) }
func (l driverLog) Info(msg string, fields ...gocql.LogField)    { l.log(slog.LevelDebug, msg, fields) }
func (l driverLog) Debug(msg string, fields ...gocql.LogField)   { l.log(slog.LevelDebug, msg, fields) }

func (l driverLog) log(level slog.Level, msg string, fields []gocql.LogField) {
	ctx := context.Background()
	if !l.opened.Load() {
		level = slog.LevelDebug
	}
	if !l.logger.Enabled(ctx, level) {
		return
	}
	args := make([]any, 0, 2*len(fields))
	for _, f := range fields {
		args = append(args, f.Name, f.Value.String())
	}
	l.logger.Log(ctx, level, "cassandra driver: "+msg, args...)
}
