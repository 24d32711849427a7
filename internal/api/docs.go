package api

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
)

//go:embed openapi.json
var openAPI []byte

//go:embed docs.html
var docsTemplate string

//go:embed docs.css
var docsStyle string

// docs is the OpenAPI document's page.
type docs struct {
	page []byte
	// policy lets the page have its own style, which is within it, and nothing
	// else.
	policy string
}

// newDocs renders the page. What is embedded can be rendered, or no test of
// this package passes.
func newDocs() docs {
	functions := template.FuncMap{"text": markCode}
	page := template.Must(template.New("docs").Funcs(functions).Parse(docsTemplate))
	var b bytes.Buffer
	err := page.Execute(&b, map[string]any{"Document": parseDocument(openAPI), "Style": template.CSS(docsStyle)})
	if err != nil {
		panic(fmt.Errorf("render documentation: %w", err))
	}
	digest := sha256.Sum256([]byte(docsStyle))
	return docs{
		page:   b.Bytes(),
		policy: contentPolicy + "; style-src 'sha256-" + base64.StdEncoding.EncodeToString(digest[:]) + "'",
	}
}

func (a *API) showDocs(context.Context, *request) (answer, error) {
	shown := a.docs()
	return answer{
		status: http.StatusOK,
		body:   content{"text/html; charset=utf-8", shown.page},
		header: http.Header{"Content-Security-Policy": {shown.policy}},
	}, nil
}

func (a *API) showOpenAPI(context.Context, *request) (answer, error) {
	return reply(content{"application/json", openAPI})
}

// markCode makes code of what stands between backticks.
func markCode(text string) template.HTML {
	var b strings.Builder
	for i, part := range strings.Split(text, "`") {
		escaped := template.HTMLEscapeString(part)
		if i%2 == 1 {
			escaped = "<code>" + escaped + "</code>"
		}
		b.WriteString(escaped)
	}
	return template.HTML(b.String())
}

// document is what the page shows of the OpenAPI document, with every
// reference replaced by what it refers to.
type document struct {
	Info  struct{ Title, Description string }
	Tags  []*documentTag
	Paths map[string]map[string]*operation
}

type documentTag struct {
	Name, Description string
	Operations        []*operation `json:"-"`
}

type operation struct {
	Method      string `json:"-"`
	Path        string `json:"-"`
	OperationID string
	Tags        []string
	Summary     string
	Description string
	// Security is nil where the document's own holds, empty where none is
	// needed.
	Security   *[]any
	Parameters []struct {
		Name, In, Description string
		Required              bool
		Schema                schema
	}
	RequestBody *struct {
		Description string
		Content     map[string]struct{ Schema schema }
	}
	Responses map[string]struct {
		Description string
		Content     map[string]struct{ Example json.RawMessage }
	}
}

type schema struct {
	Type        string
	Description string
	Enum        []string
	Examples    []any
	Required    []string
	Properties  map[string]schema
}

func parseDocument(source []byte) document {
	var components resolver
	mustParse(source, &components)
	var doc document
	mustParse(encodeJSON(components.resolve(source)), &doc)
	for path, methods := range doc.Paths {
		for method, op := range methods {
			op.Method, op.Path = strings.ToUpper(method), path
			for _, tag := range doc.Tags {
				if slices.Contains(op.Tags, tag.Name) {
					tag.Operations = append(tag.Operations, op)
				}
			}
		}
	}
	for _, tag := range doc.Tags {
		slices.SortFunc(tag.Operations, func(a, b *operation) int {
			return cmp.Compare(positionOf(source, a), positionOf(source, b))
		})
	}
	return doc
}

// positionOf says where the source tells of the call: it is in the order of
// reading, which decoding it loses.
func positionOf(source []byte, op *operation) int {
	return bytes.Index(source, []byte(`"operationId": "`+op.OperationID+`"`))
}

// resolver replaces each {"$ref": "#/components/kind/name"} by what it refers
// to. The document has no circle of references.
type resolver struct {
	Components map[string]map[string]json.RawMessage
}

// resolve is node with its references replaced. Examples stay as they are
// written: the order of their members is that of the answers.
func (r *resolver) resolve(node json.RawMessage) any {
	switch node[0] {
	case '{':
		var object map[string]json.RawMessage
		mustParse(node, &object)
		if ref, isRef := object["$ref"]; isRef {
			steps := strings.Split(strings.Trim(string(ref), `"`), "/")
			return r.resolve(r.Components[steps[2]][steps[3]])
		}
		resolved := make(map[string]any, len(object))
		for key, child := range object {
			if key == "example" {
				resolved[key] = child
			} else {
				resolved[key] = r.resolve(child)
			}
		}
		return resolved
	case '[':
		var list []json.RawMessage
		mustParse(node, &list)
		resolved := make([]any, len(list))
		for i, child := range list {
			resolved[i] = r.resolve(child)
		}
		return resolved
	default:
		return node
	}
}

// mustParse is for the embedded document, which no caller can change.
func mustParse(source []byte, into any) {
	if err := json.Unmarshal(source, into); err != nil {
		panic(fmt.Errorf("parse OpenAPI document: %w", err))
	}
}

// Public reports whether the call needs no token.
func (op *operation) Public() bool { return op.Security != nil && len(*op.Security) == 0 }

// field is a row of the table of a body's fields.
type field struct {
	Name, Type, Description string
	Required                bool
}

// Body are the fields of the body by name, those that are required first.
func (op *operation) Body() []field {
	var rows []field
	for name, property := range op.bodySchema().Properties {
		kind := property.Type
		if len(property.Enum) > 0 {
			kind = strings.Join(property.Enum, " or ")
		}
		rows = append(rows, field{name, kind, property.Description, slices.Contains(op.bodySchema().Required, name)})
	}
	slices.SortFunc(rows, func(a, b field) int {
		if a.Required != b.Required {
			if a.Required {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Name, b.Name)
	})
	return rows
}

const formType = "application/x-www-form-urlencoded"

func (op *operation) bodySchema() schema {
	if op.RequestBody == nil {
		return schema{}
	}
	return op.RequestBody.Content[formType].Schema
}

// Curl is a command that makes the call, with the examples of the document.
func (op *operation) Curl() string {
	path := op.Path
	for _, p := range op.Parameters {
		if p.In == "path" {
			path = strings.ReplaceAll(path, "{"+p.Name+"}", fmt.Sprint(p.Schema.Examples[0]))
		}
	}
	command := []string{"curl"}
	if op.Method != http.MethodGet {
		command = append(command, "-X "+op.Method)
	}
	if !op.Public() {
		command = append(command, `-H "Authorization: Token $TOKEN"`)
	}
	for _, row := range op.Body() {
		if examples := op.bodySchema().Properties[row.Name].Examples; len(examples) > 0 {
			command = append(command, fmt.Sprintf("--data-urlencode '%s=%v'", row.Name, examples[0]))
		}
	}
	return strings.Join(append(command, `"$SERVER`+path+`"`), " \\\n  ")
}

// Example is the body of the answer that says yes, indented, or empty.
func (op *operation) Example() string {
	for code, response := range op.Responses {
		example := response.Content["application/json"].Example
		if !strings.HasPrefix(code, "2") || example == nil {
			continue
		}
		var b bytes.Buffer
		if json.Indent(&b, example, "", "  ") == nil {
			return b.String()
		}
	}
	return ""
}
