package web

import (
	"embed"
	"html/template"
	"log/slog"
	"net"
	"net/http"

	"github.com/gorilla/mux"

	"github.com/chatcluster/chatcluster/internal/chat"
)

//go:embed templates/*.html
var templateFiles embed.FS

// Authenticator says who sent a request. Its errors are
// httpauth.ErrNoCredentials, chat.ErrUnauthenticated and those of the store.
type Authenticator interface {
	Identify(r *http.Request) (chat.Identity, error)
}

// Options are the settings of a Web.
type Options struct {
	// ClientAddr is the network address that failed log-ins are counted by; nil
	// is the host of the connection's peer.
	ClientAddr func(*http.Request) string
	// Logger is told of errors that are not the visitor's; nil is slog.Default.
	Logger *slog.Logger
}

// Web serves the pages.
type Web struct {
	accounts *chat.Accounts
	auth     Authenticator
	options  Options
	pages    *template.Template
	assets   assets
}

// New returns a Web for the accounts.
func New(accounts *chat.Accounts, auth Authenticator, o Options) *Web {
	if o.ClientAddr == nil {
		o.ClientAddr = peerHost
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Web{
		accounts: accounts,
		auth:     auth,
		options:  o,
		// What is embedded parses, or no test of this package passes.
		pages:  template.Must(template.ParseFS(templateFiles, "templates/*.html")),
		assets: newAssets(),
	}
}

func peerHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// Register adds the routes of the pages: /, /login/, /signup/, /logout/ and
// /static/. The pages ask for /api/… and /chat/stream/ on the same host.
func (w *Web) Register(router *mux.Router) {
	handle := func(path, method string, h http.HandlerFunc) {
		router.Handle(path, w.protect(h)).Methods(method)
		router.Handle(path+"/", w.protect(h)).Methods(method)
	}
	handle("/login", http.MethodGet, w.loginForm)
	handle("/login", http.MethodPost, w.login)
	handle("/signup", http.MethodGet, w.signupForm)
	handle("/signup", http.MethodPost, w.signup)
	handle("/logout", http.MethodPost, w.logout)
	router.Handle("/", w.protect(http.HandlerFunc(w.chat))).Methods(http.MethodGet, http.MethodHead)
	router.PathPrefix("/static/").Handler(w.protect(http.StripPrefix("/static/", w.assets))).Methods(http.MethodGet, http.MethodHead)
}

// chatPage is what templates/chat.html shows.
type chatPage struct{ Username, DisplayName string }

func (w *Web) chat(rw http.ResponseWriter, r *http.Request) {
	id, ok := w.visitor(rw, r)
	if !ok {
		return
	}
	if id == nil {
		http.Redirect(rw, r, "/login/?next=/", http.StatusFound)
		return
	}
	w.render(rw, r, http.StatusOK, "chat.html", chatPage{Username: id.User.Username, DisplayName: id.User.DisplayName()})
}
