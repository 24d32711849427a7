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

	"github.com/chatcluster/chatcluster/internal/config"
	"github.com/chatcluster/chatcluster/internal/lifecycle"
	"github.com/gorilla/mux"
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
