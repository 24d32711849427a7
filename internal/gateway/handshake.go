package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/chatcluster/chatcluster/internal/chat"
)

const (
	// readBuffer is small because most sockets are silent most of the time.
	readBuffer = 512
	// handshakeTimeout bounds the write of the upgrade's answer.
	handshakeTimeout = 5 * time.Second
	// refusedRetryAfter is what a refused client is told to wait, in seconds.
	refusedRetryAfter = 2
)

// writeBuffers is what the library needs to write with; the gateway writes its
// frames itself, so that the buffers are hardly ever in use.
var writeBuffers sync.Pool

// refusal is the HTTP answer to a handshake that fails.
type refusal struct {
	status int
	detail string
	// field is set for what is wrong with one parameter.
	field string
}

var (
	errNotServing = &refusal{status: http.StatusServiceUnavailable, detail: "This gateway is starting or stopping."}
	errFull       = &refusal{status: http.StatusServiceUnavailable, detail: "This gateway has as many sockets as it can take."}
	errNotUpgrade = &refusal{status: http.StatusUpgradeRequired, detail: "This address is a WebSocket."}
	errNotFound   = &refusal{status: http.StatusNotFound, detail: "Not found."}
)

func (e *refusal) Error() string { return e.detail }

// refuse answers a handshake as Django REST framework would.
func (g *Gateway) refuse(w http.ResponseWriter, r *http.Request, err error) {
	e := g.refusalFor(r, err)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	switch e.status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Token")
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(refusedRetryAfter))
	case http.StatusUpgradeRequired:
		h.Set("Connection", "Upgrade")
		h.Set("Upgrade", "websocket")
	case http.StatusMethodNotAllowed:
		h.Set("Allow", http.MethodGet)
	}
	w.WriteHeader(e.status)
	var body any = map[string]string{"detail": e.detail}
	if e.field != "" {
		body = map[string][]string{e.field: {e.detail}}
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body) // strings encode
	w.Write(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

func (g *Gateway) refusalFor(r *http.Request, err error) *refusal {
	var e *refusal
	var denied *chat.DeniedError
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, chat.ErrUnauthenticated):
		detail := "Authentication credentials were not provided."
		if r.Header.Get("Authorization") != "" {
			detail = "Invalid token."
		}
		return &refusal{status: http.StatusUnauthorized, detail: detail}
	case errors.As(err, &denied):
		return &refusal{status: http.StatusForbidden, detail: denied.Reason}
	case errors.Is(err, chat.ErrNotFound):
		return errNotFound
	default:
		if r.Context().Err() == nil { // else it is the client who has left
			g.options.Logger.Warn("handshake refused", "error", err)
		}
		return &refusal{status: http.StatusServiceUnavailable, detail: "The server cannot do this now. Try again later."}
	}
}

// handler answers the handshakes that serve returns an error for, which it may do
// as long as there is no WebSocket, and those that may not go on at all.
func (g *Gateway) handler(serve func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		done, err := g.admit(r)
		if err == nil {
			defer done()
			err = serve(w, r)
		}
		if err != nil {
			g.refuse(w, r, err)
		}
	})
}

// admit says whether a handshake may go on at all. If so, it takes the place of
// a socket until done is called, by when the socket is there or will not be.
func (g *Gateway) admit(r *http.Request) (done func(), err error) {
	switch {
	case r.Method != http.MethodGet:
		return nil, &refusal{status: http.StatusMethodNotAllowed, detail: "Method \"" + r.Method + "\" not allowed."}
	case !websocket.IsWebSocketUpgrade(r):
		return nil, errNotUpgrade
	case !g.serving.Load():
		return nil, errNotServing
	}
	done = func() { g.handshakes.Add(-1) }
	if int(g.handshakes.Add(1))+g.conns.Len() > g.options.MaxSockets {
		done()
		return nil, errFull
	}
	return done, nil
}

// upgrade makes the request a WebSocket. Where it fails it has answered. Every
// origin may connect: with a token it has to have one, and the cookie is
// accepted by origin where it is read.
func (g *Gateway) upgrade(w http.ResponseWriter, r *http.Request) (*websocket.Conn, error) {
	upgrader := websocket.Upgrader{
		HandshakeTimeout: handshakeTimeout,
		ReadBufferSize:   readBuffer,
		WriteBufferPool:  &writeBuffers,
		CheckOrigin:      func(*http.Request) bool { return true },
		Error: func(w http.ResponseWriter, r *http.Request, status int, reason error) {
			g.refuse(w, r, &refusal{status: status, detail: reason.Error()})
		},
	}
	return upgrader.Upgrade(w, r, nil)
}

// tooLate ends a WebSocket that was made just when the drain began.
func tooLate(ws *websocket.Conn) {
	goodbye := websocket.FormatCloseMessage(codeServiceRestart, restartReason)
	_ = ws.WriteControl(websocket.CloseMessage, goodbye, time.Now().Add(closeTimeout)) // one that has left needs none
	ws.Close()
}

// backend bounds what a socket waits for. It does not end with the request,
// which for a socket is over when it is upgraded.
func backend(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(r.Context()), backendTimeout)
}

// resumeQuery reads the parameters of a session's socket.
func resumeQuery(r *http.Request) (after *chat.MessageID, ids bool, err error) {
	q := r.URL.Query()
	ids, _ = strconv.ParseBool(q.Get("ids"))
	if !q.Has("after") {
		return nil, ids, nil
	}
	id, err := chat.ParseMessageID(q.Get("after"))
	if err != nil {
		return nil, false, &refusal{status: http.StatusBadRequest, field: "after", detail: "Enter the id of a message or a position: " + err.Error() + "."}
	}
	return &id, true, nil
}

// refOf is what the path names, with or without a trailing slash.
func refOf(r *http.Request) string { return strings.Trim(r.URL.Path, "/") }
