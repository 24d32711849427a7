package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/chatcluster/chatcluster/internal/api"
	"github.com/chatcluster/chatcluster/internal/clientaddr"
	"github.com/chatcluster/chatcluster/internal/gateway"
	"github.com/chatcluster/chatcluster/internal/httpauth"
	"github.com/chatcluster/chatcluster/internal/lifecycle"
	"github.com/chatcluster/chatcluster/internal/readiness"
	"github.com/chatcluster/chatcluster/internal/web"
	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// frontends are what the world touches.
type frontends struct {
	core    *core
	sockets *gateway.Gateway
	rest    *api.API
	pages   *web.Web
}

// newFrontends builds them; gatewayID names this process's lease, and depends is
// how what the process depends on is.
func (k *core) newFrontends(gatewayID string, depends func() []readiness.Check) *frontends {
	c := k.config
	auth := httpauth.New(k.accounts, c.AllowedOrigins)
	clients := clientaddr.New(c.Proxies())
	f := &frontends{core: k}
	f.sockets = gateway.New(k.log, k.store, k.accounts, k.rooms, k.messages, k.metrics, gateway.Options{
		ID: gatewayID, Authenticate: auth.Identify,
		PingInterval: c.PingInterval, PongTimeout: c.PongTimeout, WriteTimeout: c.WriteTimeout,
		SendQueueBytes: c.SendQueueBytes, ReadLimit: c.MaxFrameBytes, RingBytes: c.RingBytes,
		MaxSockets: c.MaxSockets, MaxRoomsPerSocket: c.MaxSocketRooms, LeaseTTL: c.LeaseTTL,
		DrainWindow: c.DrainWindow,
		Memory:      k.store, Now: time.Now, Logger: k.logger,
	})
	f.rest = api.New(k.accounts, k.rooms, k.messages, auth, k.metrics, api.Options{
		MaxBodyBytes: c.MaxBodyBytes, ClientAddr: clients.Of, Logger: k.logger, Ready: func(context.Context) []readiness.Check {
			return append([]readiness.Check{{Name: "gateway", Err: f.sockets.Ready()}}, depends()...)
		},
	})
	f.pages = web.New(k.accounts, auth, web.Options{ClientAddr: clients.Of, Logger: k.logger})
	return f
}

// front is the API's address: REST, the pages, and their socket.
func (f *frontends) front() http.Handler {
	router := newRouter()
	f.routeStream(router)
	f.pages.Register(router)
	router.PathPrefix("/").Handler(f.rest.Handler())
	return f.lettingGo(router)
}

// delivery is the gateway's address: both sockets, and the probes.
func (f *frontends) delivery() http.Handler {
	router := newRouter()
	f.routeStream(router)
	for _, probe := range []string{"/livez", "/readyz"} {
		router.Handle(probe, f.rest.Handler())
	}
	router.PathPrefix("/").Handler(f.sockets.SessionHandler())
	return f.lettingGo(router)
}

// lettingGo ends the connections of requests once the server drains: a client that
// kept one would lose the request that it sends just when the server closes it.
func (f *frontends) lettingGo(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.rest.Draining() {
			w.Header().Set("Connection", "close")
		}
		handler.ServeHTTP(w, r)
	})
}

func (f *frontends) routeStream(router *mux.Router) {
	for _, path := range []string{"/chat/stream", "/chat/stream/"} {
		router.Handle(path, f.sockets.StreamHandler())
	}
}

// stages are the parts in the order in which they stop: for the drain delay
// only /readyz tells of it, then nothing new is let in by the entrances while
// requests end and the sockets are sent away. ready is called once everything
// is served.
func (f *frontends) stages(ready func(), entrances ...lifecycle.Part) [][]lifecycle.Part {
	readiness := lifecycle.Part{Name: "readiness", Run: func(ctx context.Context) error {
		select {
		case <-f.sockets.Serving():
			ready()
			<-ctx.Done()
		case <-ctx.Done():
		}
		f.rest.Drain()
		f.core.logger.Info("draining", "delay", f.core.config.DrainDelay, "window", f.core.config.DrainWindow)
		time.Sleep(f.core.config.DrainDelay)
		return nil
	}}
	sockets := lifecycle.Part{Name: "gateway", Run: f.sockets.Run}
	return [][]lifecycle.Part{{readiness}, append(entrances, sockets)}
}

// inside is what operators find at the metrics address besides the metrics.
func (f *frontends) inside() map[string]http.Handler {
	return map[string]http.Handler{"/readyz": f.rest.Handler(), "POST /admin/shed": f.sockets.ShedHandler()}
}

// observe serves the metrics, /livez and what else is on the inside, for as long
// as anything else runs.
func (k *core) observe(l listeners, inside map[string]http.Handler) []lifecycle.Part {
	if l.metrics == nil {
		return nil
	}
	handler := http.NewServeMux()
	handler.Handle("/metrics", promhttp.HandlerFor(k.metrics.Registry, promhttp.HandlerOpts{}))
	for pattern, h := range inside {
		handler.Handle(pattern, h)
	}
	handler.HandleFunc("/livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	return []lifecycle.Part{k.serve("metrics", l.metrics, handler)}
}

// greet tells where the server can be reached, once it can; data is where its
// data is.
func (k *core) greet(l listeners, data string, out io.Writer) {
	var text strings.Builder
	fmt.Fprintf(&text, "ChatCluster %s\n", version)
	if l.api != nil {
		fmt.Fprintf(&text, "  API and pages  http://%s\n", l.api.Addr())
	}
	if l.gateway != nil {
		fmt.Fprintf(&text, "  delivery       ws://%s/{uri}\n", l.gateway.Addr())
	}
	if l.metrics != nil {
		fmt.Fprintf(&text, "  metrics        http://%s/metrics\n", l.metrics.Addr())
	}
	fmt.Fprintf(&text, "  data           %s\n", data)
	// A server whose output nobody reads serves all the same.
	_, _ = io.WriteString(out, text.String())
}
