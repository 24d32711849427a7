package web

import (
	"net/http"
	"net/url"
	"strings"
)

// maxForm is the largest form that is read, in bytes.
const maxForm = 64 << 10

// contentPolicy lets the pages load and reach nothing but this server. The
// socket counts as 'self'.
const contentPolicy = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"

// protect sets the headers that every page has, and refuses forms that another
// site has sent: it would log the visitor out, or into an account of its own.
func (w *Web) protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		h := rw.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		// Not no-referrer, with which browsers send forms from "Origin: null".
		h.Set("Referrer-Policy", "same-origin")
		if r.Method == http.MethodPost && !sentByOwnPage(r) {
			w.refuse(rw, r, http.StatusForbidden, "Not from this site", "This form was not sent by a page of this server. Open the page again and retry.")
			return
		}
		r.Body = http.MaxBytesReader(rw, r.Body, maxForm)
		next.ServeHTTP(rw, r)
	})
}

// sentByOwnPage reports whether the browser says that a page of this host, or
// the visitor directly, sent the request. A request that says nothing of its
// origin is refused: every browser tells it of a form.
//
// Sec-Fetch-Site goes first: unlike the Origin it needs no knowledge of the
// scheme and host that the browser sees before a proxy.
func sentByOwnPage(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin" || site == "none"
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		origin = r.Header.Get("Referer")
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// localPath is next if it is a path of this server, else "/": a link to the
// log-in must not send the visitor on to another site.
func localPath(next string) string {
	// Browsers read a backslash as a slash, and drop tabs and line breaks, so
	// that each of these could turn a path into "//host".
	isControl := func(c rune) bool { return c < ' ' || c == 0x7f || c == '\\' }
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsFunc(next, isControl) {
		return "/"
	}
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" {
		return "/"
	}
	return next
}
