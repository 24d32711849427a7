package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/chatcluster/chatcluster/internal/api"
	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/clean"
	"github.com/chatcluster/chatcluster/internal/config"
	"github.com/chatcluster/chatcluster/internal/control"
	"github.com/chatcluster/chatcluster/internal/gateway"
	"github.com/chatcluster/chatcluster/internal/httpauth"
	"github.com/chatcluster/chatcluster/internal/lifecycle"
	loglocal "github.com/chatcluster/chatcluster/internal/log/local"
	"github.com/chatcluster/chatcluster/internal/web"
	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func newLogger(c config.Config, out io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level()}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(out, options))
	}
	return slog.New(slog.NewTextHandler(out, options))
}

// listeners are the addresses of the server. They are opened before anything
// starts, so that one that is in use is reported at once.
type listeners struct{ api, gateway, metrics net.Listener }

func listen(c config.Config) (listeners, error) {
	var (
		l    listeners
		errs []error
	)
	open := func(name, addr string, target *net.Listener) {
		if addr == "" {
			return
		}
		listener, err := net.Listen("tcp", addr)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
			return
		}
		*target = listener
	}
	open("api-addr", c.APIAddr, &l.api)
	open("gateway-addr", c.GatewayAddr, &l.gateway)
	open("metrics-addr", c.MetricsAddr, &l.metrics)
	if len(errs) > 0 {
		return l, errors.Join(append(errs, l.close())...)
	}
	return l, nil
}

func (l listeners) close() error {
	var errs []error
	for _, listener := range []net.Listener{l.api, l.gateway, l.metrics} {
		if listener != nil {
			errs = append(errs, listener.Close())
		}
	}
	return errors.Join(errs...)
}

// runStandalone runs the whole server in this process until ctx ends.
func runStandalone(ctx context.Context, c config.Config, s streams) error {
	logger := newLogger(c, s.err)
	k, err := openCore(c, logger)
	if errors.Is(err, loglocal.ErrLocked) {
		return fmt.Errorf("another chatd runs on %s: %w", c.DataDir, err)
	}
	if err != nil {
		return err
	}
	l, err := listen(c)
	if err != nil {
		return errors.Join(err, k.close())
	}
	fmt.Fprintf(s.out, "ChatCluster %s\n  API and pages  http://%s\n  delivery       ws://%s/{uri}\n", version, l.api.Addr(), l.gateway.Addr())
	if l.metrics != nil {
		fmt.Fprintf(s.out, "  metrics        http://%s/metrics\n", l.metrics.Addr())
	}
	fmt.Fprintf(s.out, "  data           %s\n", c.DataDir)
	err = lifecycle.Run(ctx, k.stages(l)...)
	return errors.Join(err, k.close())
}

// stages are the parts of the server in the order in which they stop: first
// nothing new is let in and the sockets go away, then what is in the log is
// still archived.
func (k *core) stages(l listeners) [][]lifecycle.Part {
	c := k.config
	auth := httpauth.New(k.accounts, c.AllowedOrigins)
	sockets := gateway.New(k.log, k.store, k.accounts, k.rooms, k.messages, k.metrics, gateway.Options{
		ID: "standalone", Authenticator: auth,
		PingInterval: c.PingInterval, PongTimeout: c.PongTimeout, WriteTimeout: c.WriteTimeout,
		SendQueueBytes: c.SendQueueBytes, ReadLimit: c.MaxFrameBytes, RingBytes: c.RingBytes,
		MaxSockets: c.MaxSockets, MaxRoomsPerSocket: c.MaxSocketRooms, LeaseTTL: c.LeaseTTL,
		Now: time.Now, Logger: k.logger,
	})
	rest := api.New(k.accounts, k.rooms, k.messages, auth, k.metrics, api.Options{
		MaxBodyBytes: c.MaxBodyBytes, Logger: k.logger,
	})
	pages := web.New(k.accounts, auth, web.Options{Logger: k.logger})

	front := newRouter()
	front.Path("/chat/stream").Handler(sockets.StreamHandler())
	front.Path("/chat/stream/").Handler(sockets.StreamHandler())
	pages.Register(front)
	front.PathPrefix("/").Handler(rest.Handler())

	delivery := newRouter()
	delivery.Path("/chat/stream").Handler(sockets.StreamHandler())
	delivery.Path("/chat/stream/").Handler(sockets.StreamHandler())
	delivery.PathPrefix("/").Handler(sockets.SessionHandler())

	entrances := []lifecycle.Part{
		{Name: "drain", Run: func(ctx context.Context) error { <-ctx.Done(); rest.Drain(); return nil }},
		k.serve("api", l.api, front),
		k.serve("gateway address", l.gateway, delivery),
		{Name: "control", Run: func(ctx context.Context) error { return control.Serve(ctx, c.DataDir, k) }},
	}
	foundation := []lifecycle.Part{{Name: "archiver", Run: k.archiver.Run}, {Name: "upkeep", Run: k.upkeep}}
	if l.metrics != nil {
		handler := http.NewServeMux()
		handler.Handle("/metrics", promhttp.HandlerFor(k.metrics.Registry, promhttp.HandlerOpts{}))
		foundation = append(foundation, k.serve("metrics", l.metrics, handler))
	}
	return [][]lifecycle.Part{entrances, {{Name: "gateway", Run: sockets.Run}}, foundation}
}

// newRouter returns a router that redirects nobody: a POST would be lost.
func newRouter() *mux.Router { return mux.NewRouter().SkipClean(true).UseEncodedPath() }

// serve answers HTTP until its ctx ends; requests that are running then have
// the shutdown timeout to end.
func (k *core) serve(name string, listener net.Listener, handler http.Handler) lifecycle.Part {
	return lifecycle.Part{Name: name, Run: func(ctx context.Context) error {
		server := &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: 10 * time.Second,
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    64 << 10,
			ErrorLog:          slog.NewLogLogger(k.logger.Handler(), slog.LevelDebug),
		}
		stopped := make(chan error, 1)
		stop := context.AfterFunc(ctx, func() {
			grace, cancel := context.WithTimeout(context.Background(), k.config.ShutdownTimeout)
			defer cancel()
			err := server.Shutdown(grace)
			if err != nil {
				err = errors.Join(err, server.Close())
			}
			stopped <- err
		})
		defer stop()
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return <-stopped
	}}
}

const (
	// upkeepInterval is how often the log is trimmed.
	upkeepInterval = time.Minute
	// logRetention is how long archived records stay in the log, for resumes.
	logRetention = time.Hour
	// expiryInterval is how often expired messages and log-ins are deleted from
	// the disk; they cannot be read any more long before.
	expiryInterval = time.Hour
)

// upkeep trims the log behind the archiver and deletes what has expired.
func (k *core) upkeep(ctx context.Context) error {
	trim, expire := time.NewTicker(upkeepInterval), time.NewTicker(expiryInterval)
	defer trim.Stop()
	defer expire.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-trim.C:
			err = k.trimLog(ctx)
		case <-expire.C:
			_, err = k.cleaner.Clean(ctx, clean.Options{Days: int(k.config.MessageTTL/(24*time.Hour)) + 1}, func(clean.Report) {})
		}
		if err != nil && ctx.Err() == nil {
			k.logger.Warn("upkeep failed", "error", err)
		}
	}
}

// trimLog deletes what is archived and old. The store is flushed between the
// reading of the watermark and the trimming: until then the log is all that
// would survive a crash of the machine.
func (k *core) trimLog(ctx context.Context) error {
	archived := make([]int64, k.config.LogPartitions)
	for n := range archived {
		watermark, err := k.store.Watermark(ctx, messagesPartition(n))
		if err != nil {
			return fmt.Errorf("read watermark: %w", err)
		}
		archived[n] = watermark.Next
	}
	if err := k.disk.Flush(ctx); err != nil {
		return fmt.Errorf("flush store: %w", err)
	}
	for n, next := range archived {
		// Readers of the log need the window to know a repeat.
		if err := k.log.Trim(ctx, messagesPartition(n), next-chat.FoldWindow, time.Now().Add(-logRetention)); err != nil {
			return fmt.Errorf("trim log: %w", err)
		}
	}
	return nil
}

func messagesPartition(n int) chat.Partition {
	return chat.Partition{Topic: chat.TopicMessages, Number: int32(n)}
}
