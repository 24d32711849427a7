package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// readBody reads the fields of a request's body. An empty body has none,
// whatever its type.
func (a *API) readBody(w http.ResponseWriter, r *http.Request) (*fields, error) {
	limit := int64(a.options.MaxBodyBytes)
	if r.ContentLength > limit {
		return nil, bodyTooLarge(limit)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, bodyTooLarge(limit)
	case err != nil:
		return nil, &detailError{status: http.StatusBadRequest, reason: "The request body ended early."}
	}
	return decodeBody(r.Header.Get("Content-Type"), body)
}

func bodyTooLarge(limit int64) error {
	return &detailError{
		status: http.StatusRequestEntityTooLarge,
		reason: fmt.Sprintf("The request body is larger than %d bytes.", limit),
	}
}

// decodeBody reads a body of one of the three types that Django REST
// framework takes by default.
func decodeBody(contentType string, body []byte) (*fields, error) {
	if len(body) == 0 {
		return newFields(), nil
	}
	mediaType, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		mediaType = ""
	}
	switch mediaType {
	case "application/x-www-form-urlencoded":
		return decodeForm(string(body))
	case "application/json":
		return decodeJSON(body)
	case "multipart/form-data":
		return decodeMultipart(body, params["boundary"])
	default:
		return nil, &detailError{
			status: http.StatusUnsupportedMediaType,
			reason: fmt.Sprintf("Unsupported media type \"%s\" in request.", contentType),
		}
	}
}

// decodeMultipart takes the text fields; files are ignored.
func decodeMultipart(body []byte, boundary string) (*fields, error) {
	f := newFields()
	parts := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err != nil {
			return nil, badBody("Multipart form parse error - %s", err)
		}
		if part.FormName() == "" || part.FileName() != "" {
			continue
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return nil, badBody("Multipart form parse error - %s", err)
		}
		if err := f.set(part.FormName(), formValue(string(text))); err != nil {
			return nil, err
		}
	}
}

func badBody(format string, args ...any) error {
	return &detailError{status: http.StatusBadRequest, reason: fmt.Sprintf(format, args...)}
}

// decodeJSON reads an object. It goes member by member, since Unmarshal takes
// names in any case and the last of two that are the same.
func decodeJSON(body []byte) (*fields, error) {
	var whole json.RawMessage
	if err := json.Unmarshal(body, &whole); err != nil {
		return nil, badBody("JSON parse error - %s", describeSyntax(body, err))
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	start, err := decoder.Token()
	if err != nil {
		return nil, badBody("JSON parse error - %s", err)
	}
	if start != json.Delim('{') {
		return nil, chat.FieldErrors{chat.NonField: {
			"Invalid data. Expected a dictionary, but got " + pythonType(start) + ".",
		}}
	}
	f := newFields()
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, badBody("JSON parse error - %s", err)
		}
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return nil, badBody("JSON parse error - %s", err)
		}
		if err := f.set(name.(string), jsonValue(raw)); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// describeSyntax says what is wrong with the JSON, and where: line and column
// count characters from 1 on, bytes from 0 on.
func describeSyntax(body []byte, err error) string {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return err.Error()
	}
	// Offset counts the bytes that were read, the offending one included.
	at := int(syntax.Offset) - 1
	if strings.HasPrefix(syntax.Error(), "unexpected end") {
		at = len(body)
	}
	before := body[:at]
	line := bytes.Count(before, []byte("\n")) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return fmt.Sprintf("%s at line %d column %d (byte %d)", syntax, line, column, at)
}

// pythonType is what Django REST framework calls the type of a JSON value
// that begins with the token.
func pythonType(token json.Token) string {
	switch token.(type) {
	case json.Delim:
		return "list"
	case string:
		return "str"
	case float64:
		return "float"
	case bool:
		return "bool"
	default:
		return "NoneType"
	}
}
