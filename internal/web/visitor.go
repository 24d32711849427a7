package web

import (
	"bytes"
	"errors"
	"net/http"
	"strings"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/httpauth"
)

// visitor says who the request is from, nil for no one. Where that cannot be
// told it has answered, and ok is false.
func (w *Web) visitor(rw http.ResponseWriter, r *http.Request) (id *chat.Identity, ok bool) {
	found, err := w.auth.Identify(r)
	switch {
	case errors.Is(err, httpauth.ErrNoCredentials), errors.Is(err, chat.ErrUnauthenticated):
		return nil, true
	case err != nil:
		w.fail(rw, r, "authenticate visitor", err)
		return nil, false
	}
	return &found, true
}

// setCookie sets the log-in's cookie, or with a negative maxAge (seconds) has
// the browser drop it.
func setCookie(rw http.ResponseWriter, r *http.Request, token string, maxAge int) {
	http.SetCookie(rw, &http.Cookie{
		Name:     httpauth.CookieName,
		Value:    token,
		Path:     "/",
		MaxAge:   maxAge,
		HttpOnly: true,
		// The browser's Origin tells of TLS that ends at a proxy.
		Secure:   r.TLS != nil || strings.HasPrefix(r.Header.Get("Origin"), "https://"),
		SameSite: http.SameSiteLaxMode,
	})
}

func (w *Web) render(rw http.ResponseWriter, r *http.Request, status int, name string, data any) {
	// Into memory first: a template that fails must not leave half a page.
	var page bytes.Buffer
	if err := w.pages.ExecuteTemplate(&page, name, data); err != nil {
		w.options.Logger.ErrorContext(r.Context(), "page not rendered", "page", name, "err", err)
		http.Error(rw, "The page could not be made.", http.StatusInternalServerError)
		return
	}
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	// Pages differ by visitor, and forms carry what was entered.
	rw.Header().Set("Cache-Control", "no-store")
	rw.WriteHeader(status)
	// A visitor who has gone needs no answer.
	_, _ = rw.Write(page.Bytes())
}

// refusal is what templates/refused.html shows.
type refusal struct{ Title, Text string }

func (w *Web) refuse(rw http.ResponseWriter, r *http.Request, status int, title, text string) {
	w.render(rw, r, status, "refused.html", refusal{Title: title, Text: text})
}

// fail answers an error that is not the visitor's.
func (w *Web) fail(rw http.ResponseWriter, r *http.Request, act string, err error) {
	w.options.Logger.ErrorContext(r.Context(), "page failed", "act", act, "err", err)
	if errors.Is(err, chat.ErrUnavailable) {
		rw.Header().Set("Retry-After", "5")
	}
	w.refuse(rw, r, http.StatusServiceUnavailable, "Not available", "The server cannot do that at the moment. Please try again.")
}
