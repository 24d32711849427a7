package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gorilla/websocket"

	"github.com/chatcluster/chatcluster/internal/gateway/wsconn"
	"github.com/chatcluster/chatcluster/internal/metrics"
)

// ErrShedding is Shed's error while an earlier one is not over.
var ErrShedding = errors.New("sockets are being shed already")

const (
	shedWindow    = 30 * time.Second
	maxShedWindow = 10 * time.Minute
)

// shedding is a Shed that was asked for.
type shedding struct {
	conns  []*wsconn.Conn
	window time.Duration
}

// Shed sends up to n sockets away, which are chosen by chance, so that they
// connect again where a load balancer sends them: to gateways that are new, most
// of all. They are told when to reconnect, if they want to know, and closed over
// the window. It answers how many there are, and does not wait for them. Errors:
// Ready's, and ErrShedding, since two at once would be neither paced nor
// counted.
func (g *Gateway) Shed(n int, window time.Duration) (int, error) {
	if err := g.Ready(); err != nil {
		return 0, err
	}
	if !g.shedding.CompareAndSwap(false, true) {
		return 0, ErrShedding
	}
	conns := g.conns.Choose(n)
	g.sheds <- shedding{conns, window} // has room, since there is one at a time
	return len(conns), nil
}

// shed does what Shed asks for until ctx ends; the drain then goes on with the
// sockets that are left.
func (g *Gateway) shed(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-g.sheds:
			g.options.Logger.Info("gateway sheds sockets", "sockets", len(s.conns), "window", s.window)
			g.conns.Shed(ctx, s.conns, wsconn.Dismissal{
				Window: s.window,
				Code:   websocket.CloseGoingAway, Reason: "moves to another server, reconnect with after", Why: metrics.CloseShed,
			})
			g.shedding.Store(false)
		}
	}
}

// ShedHandler is Shed for operators: POST with the query parameters sockets, and
// window (30s by default, 10m at most). It answers 202 with
// {"sockets":n,"window":"30s"}, how many will go; 400 for other parameters, 409
// while an earlier one is not over, and 503 while the gateway starts or stops.
// It asks for no credentials: it is for an address that clients cannot reach.
// Pages of other origins that a browser on the inside shows are refused.
func (g *Gateway) ShedHandler() http.Handler {
	return http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, window, err := shedQuery(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		n, err = g.Shed(n, window)
		switch {
		case errors.Is(err, ErrShedding):
			http.Error(w, err.Error(), http.StatusConflict)
		case err != nil:
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		default:
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusAccepted)
			_ = json.NewEncoder(w).Encode(map[string]any{"sockets": n, "window": window.String()})
		}
	}))
}

func shedQuery(r *http.Request) (n int, window time.Duration, err error) {
	q := r.URL.Query()
	n, err = strconv.Atoi(q.Get("sockets"))
	if err != nil || n < 1 {
		return 0, 0, fmt.Errorf("sockets must be a number of at least 1, not %q", q.Get("sockets"))
	}
	window, err = time.ParseDuration(cmp.Or(q.Get("window"), shedWindow.String()))
	if err != nil || window < 0 || window > maxShedWindow {
		return 0, 0, fmt.Errorf("window must be a duration up to %s, not %q", maxShedWindow, q.Get("window"))
	}
	return n, window, nil
}
