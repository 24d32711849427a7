package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/chatcluster/chatcluster/internal/api"
	"github.com/chatcluster/chatcluster/internal/config"
	"github.com/chatcluster/chatcluster/internal/control"
	"github.com/chatcluster/chatcluster/internal/gateway"
	"github.com/chatcluster/chatcluster/internal/httpauth"
	"github.com/chatcluster/chatcluster/internal/lifecycle"
	loglocal "github.com/chatcluster/chatcluster/internal/log/local"
	"github.com/chatcluster/chatcluster/internal/web"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func newLogger(c config.Config, out io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level()}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(out, options))
	}
	return slog.New(slog.NewTextHandler(out, options))
}

// runStandalone runs the whole server in this process until ctx ends.
func runStandalone(ctx context.Context, c config.Config, s streams) error {
	logger := newLogger(c, s.err)
	e, err := openEmbedded(c, logger)
	if errors.Is(err, loglocal.ErrLocked) {
		return fmt.Errorf("another chatd runs on %s: %w", c.DataDir, err)
	}
	if err != nil {
		return err
	}
	l, err := listen(c)
	if err != nil {
		return errors.Join(err, e.close())
	}
	err = lifecycle.Run(ctx, e.stages(l, func() { e.greet(l, s.out) })...)
	return errors.Join(err, e.close())
}

// greet tells where the server can be reached, once it can.
func (e *embedded) greet(l listeners, out io.Writer) {
	var text strings.Builder
	fmt.Fprintf(&text, "ChatCluster %s\n  API and pages  http://%s\n  delivery       ws://%s/{uri}\n", version, l.api.Addr(), l.gateway.Addr())
	if l.metrics != nil {
		fmt.Fprintf(&text, "  metrics        http://%s/metrics\n", l.metrics.Addr())
	}
	fmt.Fprintf(&text, "  data           %s\n", e.config.DataDir)
	// A server whose output nobody reads serves all the same.
	_, _ = io.WriteString(out, text.String())
}

// stages are the parts of the server in the order in which they stop: first
// nothing new is let in and the sockets go away, then what is in the log is
// still archived. ready is called once everything is served.
func (e *embedded) stages(l listeners, ready func()) [][]lifecycle.Part {
	c := e.config
	auth := httpauth.New(e.accounts, c.AllowedOrigins)
	sockets := gateway.New(e.log, e.store, e.accounts, e.rooms, e.messages, e.metrics, gateway.Options{
		ID: "standalone", Authenticate: auth.Identify,
		PingInterval: c.PingInterval, PongTimeout: c.PongTimeout, WriteTimeout: c.WriteTimeout,
		SendQueueBytes: c.SendQueueBytes, ReadLimit: c.MaxFrameBytes, RingBytes: c.RingBytes,
		MaxSockets: c.MaxSockets, MaxRoomsPerSocket: c.MaxSocketRooms, LeaseTTL: c.LeaseTTL,
		Now: time.Now, Logger: e.logger,
	})
	rest := api.New(e.accounts, e.rooms, e.messages, auth, e.metrics, api.Options{
		MaxBodyBytes: c.MaxBodyBytes, Logger: e.logger, Ready: func(context.Context) []api.Check {
			return []api.Check{{Name: "gateway", Err: sockets.Ready()}}
		},
	})
	pages := web.New(e.accounts, auth, web.Options{Logger: e.logger})

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
		{Name: "readiness", Run: func(ctx context.Context) error {
			select {
			case <-sockets.Serving():
				ready()
				<-ctx.Done()
			case <-ctx.Done():
			}
			rest.Drain()
			return nil
		}},
		e.serve("api", l.api, front),
		e.serve("gateway address", l.gateway, delivery),
		{Name: "control", Run: func(ctx context.Context) error { return control.Serve(ctx, c.DataDir, e) }},
	}
	foundation := []lifecycle.Part{{Name: "archiver", Run: e.archiver.Run}, {Name: "upkeep", Run: e.upkeep}, {Name: "store", Run: e.watchDisk}}
	if l.metrics != nil {
		handler := http.NewServeMux()
		handler.Handle("/metrics", promhttp.HandlerFor(e.metrics.Registry, promhttp.HandlerOpts{}))
		foundation = append(foundation, e.serve("metrics", l.metrics, handler))
	}
	return [][]lifecycle.Part{entrances, {{Name: "gateway", Run: sockets.Run}}, foundation}
}
