package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// starting answers at a role's addresses until the role does: it works, and is
// not ready.
type starting struct {
	lacks atomic.Value // string: the check that fails
}

func newStarting() *starting {
	s := &starting{}
	s.lacks.Store("serving")
	return s
}

// ServeHTTP answers the probes in the form of the API's.
func (s *starting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	if r.URL.Path == "/livez" {
		fmt.Fprint(w, `{"status":"ok","checks":[]}`)
		return
	}
	h.Set("Retry-After", "2")
	w.WriteHeader(http.StatusServiceUnavailable)
	if r.URL.Path == "/readyz" {
		fmt.Fprintf(w, `{"status":"fail","checks":[{"name":%q,"status":"fail"}]}`, s.lacks.Load())
		return
	}
	fmt.Fprint(w, `{"detail":"The server is starting. Try again later."}`)
}

// handOver is how long requests that run may take when the role takes over.
const handOver = time.Second

// serve answers at the listeners until stop is called, which leaves them open
// to whoever serves them next.
func (s *starting) serve(l listeners, logger *slog.Logger) (stop func()) {
	var (
		lent    []borrowed
		servers []*http.Server
		serving sync.WaitGroup
	)
	for _, listener := range []net.Listener{l.api, l.gateway, l.metrics} {
		tcp, ok := listener.(*net.TCPListener)
		if !ok {
			continue // there is none
		}
		b := borrowed{tcp}
		server := &http.Server{
			Handler: s, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10,
			ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		}
		lent, servers = append(lent, b), append(servers, server)
		serving.Go(func() {
			if err := server.Serve(b); !errors.Is(err, http.ErrServerClosed) {
				logger.Warn("probes are not answered", "error", err)
			}
		})
	}
	return func() {
		grace, cancel := context.WithTimeout(context.Background(), handOver)
		defer cancel()
		for _, server := range servers {
			if server.Shutdown(grace) != nil {
				server.Close()
			}
		}
		serving.Wait()
		for _, b := range lent {
			b.giveBack()
		}
	}
}

// borrowed is a listener whose Close ends its Accept, and nothing else.
type borrowed struct{ *net.TCPListener }

// Close makes Accept return; who connects meanwhile waits.
func (b borrowed) Close() error { return b.SetDeadline(time.Unix(1, 0)) }

// giveBack lets others accept again. It can only fail for a listener that is
// closed, and they will find out.
func (b borrowed) giveBack() { _ = b.SetDeadline(time.Time{}) }
