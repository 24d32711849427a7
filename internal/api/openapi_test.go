package api_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/chatcluster/chatcluster/internal/api"
)

// documented is the OpenAPI document with its router, loaded once.
var documented = sync.OnceValues(func() (*openapi3.T, routers.Router) {
	doc, err := openapi3.NewLoader().LoadFromData(api.OpenAPI)
	if err != nil {
		panic(err)
	}
	openapi3filter.RegisterBodyDecoder("text/html", openapi3filter.FileBodyDecoder)
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		panic(err)
	}
	return doc, router
})

// checkDocumented fails the test if the document does not allow the answer or,
// where it says yes, the request.
func checkDocumented(t *testing.T, c call, got received) {
	t.Helper()
	_, router := documented()
	if path, query, _ := strings.Cut(c.path, "?"); !strings.HasSuffix(path, "/") {
		c.path = path + "/?" + query
	}
	r := c.request("http://chat.test")
	found, params, err := router.FindRoute(r)
	switch {
	case errors.Is(err, routers.ErrPathNotFound), errors.Is(err, routers.ErrMethodNotAllowed):
		return // the document has no such route; TestRoutesAreDocumented says that it is right
	case err != nil:
		t.Fatal(err)
	}
	asked := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: params, Route: found,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true},
	}
	if got.status < 300 {
		if err := openapi3filter.ValidateRequest(t.Context(), asked); err != nil {
			t.Errorf("%s %s was answered %d, but the document forbids it: %v", c.method, c.path, got.status, err)
		}
	}
	answered := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: asked, Status: got.status, Header: got.header,
		Body: io.NopCloser(bytes.NewReader([]byte(got.body))), Options: asked.Options,
	}
	if err := openapi3filter.ValidateResponse(t.Context(), answered); err != nil {
		t.Errorf("%s %s: the document forbids the answer %d %s: %v", c.method, c.path, got.status, got.body, err)
	}
}

func TestDocumentIsValid(t *testing.T) {
	doc, _ := documented()
	if err := doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	if !doc.IsOpenAPI31OrLater() {
		t.Errorf("got version %s, want 3.1", doc.OpenAPI)
	}
}

func TestRoutesAreDocumented(t *testing.T) {
	doc, _ := documented()
	var inDocument []string
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			inDocument = append(inDocument, method+" "+path)
		}
	}
	slices.Sort(inDocument)
	served := slices.Sorted(maps.Keys(api.Routes()))
	if !slices.Equal(inDocument, served) {
		t.Errorf("got %q in the document, want %q", inDocument, served)
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			public := op.Security != nil && len(*op.Security) == 0
			if name := method + " " + path; api.Routes()[name] != public {
				t.Errorf("%s: got public %v in the document, want %v", name, public, !public)
			}
		}
	}
}

func TestOpenAPIIsServed(t *testing.T) {
	s := start(t)
	got := s.want(t, http.StatusOK, call{method: http.MethodGet, path: "/api/openapi.json"})
	if got.body != string(api.OpenAPI) || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("got %d bytes of %s, want the document", len(got.body), got.header.Get("Content-Type"))
	}
}
