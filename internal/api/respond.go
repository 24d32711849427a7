package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gorilla/mux"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// request is what a handler is asked.
type request struct {
	// caller is zero where the route is for anyone.
	caller chat.Identity
	// body are the fields of a POST or PATCH, query those of the URL.
	body, query *fields
	http        *http.Request
}

// variable is the variable of the path, decoded. One that is not text names
// nothing: chat.ErrNotFound.
func (q *request) variable(name string) (string, error) {
	value, err := url.PathUnescape(mux.Vars(q.http)[name])
	if err != nil || !utf8.ValidString(value) {
		return "", chat.ErrNotFound
	}
	return value, nil
}

// answer is what goes back.
type answer struct {
	status int
	// body is encoded as JSON unless it is a content; nil is none.
	body   any
	header http.Header
}

// content is a body that is not to be encoded.
type content struct {
	mediaType string
	bytes     []byte
}

func reply(body any) (answer, error) { return answer{status: http.StatusOK, body: body}, nil }

func noContent() (answer, error) { return answer{status: http.StatusNoContent}, nil }

// call does what stands before every handler: who asks, and what.
func (a *API) call(w http.ResponseWriter, r *http.Request, rt route) (answer, error) {
	req := &request{http: r}
	if rt.audience != anyone {
		var err error
		req.caller, err = a.auth.Identify(r)
		switch {
		case errors.Is(err, chat.ErrUnauthenticated) && rt.audience == visitors && acceptsHTML(r):
			return answer{status: http.StatusFound, header: http.Header{"Location": {"/login/?next=/docs/"}}}, nil
		case err != nil:
			return answer{}, err
		case rt.audience == staff && !req.caller.User.IsStaff:
			return answer{}, chat.ErrForbidden
		}
	}
	var err error
	if req.query, err = decodeForm(r.URL.RawQuery); err != nil {
		return answer{}, err
	}
	if rt.method == http.MethodPost || rt.method == http.MethodPatch {
		if req.body, err = a.readBody(w, r); err != nil {
			return answer{}, err
		}
	}
	return rt.handle(r.Context(), req)
}

func acceptsHTML(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

func (a *API) unknownPath(w http.ResponseWriter, r *http.Request) {
	a.respond(w, r, "none", func() (answer, error) { return answer{}, chat.ErrNotFound })
}

// respond writes what act answers, or the answer to its error. path is the
// template that the request is measured under.
func (a *API) respond(w http.ResponseWriter, r *http.Request, path string, act func() (answer, error)) {
	start := time.Now()
	ans, err := recovered(act)
	if err != nil {
		ans = a.refuse(r, path, err)
	}
	ans.write(w)
	a.metrics.RequestDuration.
		WithLabelValues(path, methodLabel(r.Method), strconv.Itoa(ans.status)).
		Observe(time.Since(start).Seconds())
}

// panicked is a panic of a handler.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v\n%s", p.value, p.stack) }

// recovered calls act and makes an error of its panic, so that one request
// that goes wrong still gets its answer.
func recovered(act func() (answer, error)) (ans answer, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &panicked{value: value, stack: debug.Stack()}
		}
	}()
	return act()
}

// contentPolicy keeps a browser from doing anything with an answer that is
// taken for a page.
const contentPolicy = "default-src 'none'; frame-ancestors 'none'"

func (ans answer) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("Referrer-Policy", "same-origin")
	// Answers differ by caller, and some are secrets.
	h.Set("Cache-Control", "no-store")
	for name, values := range ans.header {
		h[name] = values
	}
	body := ans.encode(h)
	w.WriteHeader(ans.status)
	// A caller who has gone needs no answer.
	_, _ = w.Write(body)
}

// encode is the body; its type and length are set in h.
func (ans answer) encode(h http.Header) []byte {
	var body []byte
	switch b := ans.body.(type) {
	case nil:
		return nil
	case content:
		h.Set("Content-Type", b.mediaType)
		body = b.bytes
	default:
		h.Set("Content-Type", "application/json")
		body = encodeJSON(b)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	return body
}

// encodeJSON writes <, > and & as they are and ends without a line break,
// unlike json.Marshal and json.Encoder. What handlers answer can always be
// encoded.
func encodeJSON(v any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(fmt.Errorf("encode answer: %w", err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// methodLabel bounds the methods that callers can make series of.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodPut:
		return method
	default:
		return "other"
	}
}
