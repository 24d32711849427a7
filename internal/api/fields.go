package api

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/chatcluster/chatcluster/internal/chat"
)

const (
	msgRequired   = "This field is required."
	msgNull       = "This field may not be null."
	msgNotText    = "Not a valid string."
	msgNotFlag    = "Must be a valid boolean."
	msgNotInteger = "A valid integer is required."
	msgTwice      = "This field was given more than once."
	msgNotUTF8    = "This field must be valid UTF-8."
	msgNotEncoded = "This field is not validly percent-encoded."
)

// valueKind says what a value may be read as.
type valueKind uint8

const (
	kindForm  valueKind = iota // text that may stand for a number or a flag
	kindText                   // a string of JSON
	kindOther                  // any other JSON
	kindBad                    // cannot be read: the text says why
)

type value struct {
	kind valueKind
	text string
}

// maxFields bounds what a body of many tiny fields costs.
const maxFields = 1000

// fields are the named values of a body or of a URL's query. Each reading
// method notes what is wrong with its field, for err to tell all at once;
// fields that nobody reads are ignored, whatever they hold.
type fields struct {
	values map[string]value
	errs   chat.FieldErrors
}

func newFields() *fields {
	return &fields{values: map[string]value{}, errs: chat.FieldErrors{}}
}

// set adds a value; two of one name are neither.
func (f *fields) set(name string, v value) error {
	if _, twice := f.values[name]; twice {
		v = value{kindBad, msgTwice}
	} else if len(f.values) == maxFields {
		return chat.FieldErrors{chat.NonField: {"There are more than " + strconv.Itoa(maxFields) + " fields."}}
	}
	f.values[name] = v
	return nil
}

// err is what was wrong with the fields that were read.
func (f *fields) err() error { return f.errs.Err() }

func (f *fields) has(name string) bool {
	_, given := f.values[name]
	return given
}

// read is the value of a field, unless it is missing or cannot be read.
func (f *fields) read(name string) (value, bool) {
	v, given := f.values[name]
	switch {
	case !given:
		return value{}, false
	case v.kind == kindBad:
		f.errs.Add(name, "%s", v.text)
		return value{}, false
	case v.kind == kindOther && v.text == "null":
		f.errs.Add(name, msgNull)
		return value{}, false
	}
	return v, true
}

// text is the field's string, or nil if it is missing.
func (f *fields) text(name string) *string {
	v, given := f.read(name)
	switch {
	case !given:
		return nil
	case v.kind == kindOther:
		f.errs.Add(name, msgNotText)
		return nil
	}
	return &v.text
}

// textOr is the field's string, or fallback if it is missing.
func (f *fields) textOr(name, fallback string) string {
	if text := f.text(name); text != nil {
		return *text
	}
	return fallback
}

// required is the field's string, which must be there.
func (f *fields) required(name string) string {
	if !f.has(name) {
		f.errs.Add(name, msgRequired)
	}
	return f.textOr(name, "")
}

// flag is the field's boolean, or nil if it is missing.
func (f *fields) flag(name string) *bool {
	v, given := f.read(name)
	if !given {
		return nil
	}
	yes := v.text == "true" || v.kind == kindForm && (v.text == "1" || v.text == "on")
	no := v.text == "false" || v.kind == kindForm && (v.text == "0" || v.text == "off")
	if v.kind == kindText || yes == no {
		f.errs.Add(name, msgNotFlag)
		return nil
	}
	return &yes
}

// integer is the field's number, between low and high, or nil if it is
// missing.
func (f *fields) integer(name string, low, high int64) *int64 {
	v, given := f.read(name)
	if !given {
		return nil
	}
	n, err := strconv.ParseInt(v.text, 10, 64)
	switch {
	case err != nil || v.kind == kindText:
		f.errs.Add(name, msgNotInteger)
		return nil
	case n < low || n > high:
		f.errs.Add(name, "Ensure this value is between %d and %d.", low, high)
		return nil
	}
	return &n
}

// decodeForm reads a form or a query. Unlike net/url it takes a semicolon for
// what it is in a text, and tells by field what it cannot read.
func decodeForm(form string) (*fields, error) {
	f := newFields()
	for pair := range strings.SplitSeq(form, "&") {
		encodedName, encodedText, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(encodedName)
		if err != nil || name == "" {
			continue // names none of our fields
		}
		text, err := url.QueryUnescape(encodedText)
		v := formValue(text)
		if err != nil {
			v = value{kindBad, msgNotEncoded}
		}
		if err := f.set(name, v); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func formValue(text string) value {
	if !utf8.ValidString(text) {
		return value{kindBad, msgNotUTF8}
	}
	return value{kindForm, text}
}

// jsonValue is the value that raw, valid JSON, stands for.
func jsonValue(raw json.RawMessage) value {
	if raw[0] != '"' {
		return value{kindOther, string(raw)}
	}
	// The decoder would put U+FFFD in the place of what is no character, and
	// the message would say something else than its sender did.
	if !utf8.Valid(raw) || hasLoneSurrogate(raw) {
		return value{kindBad, msgNotUTF8}
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return value{kindBad, msgNotText}
	}
	return value{kindText, text}
}

// hasLoneSurrogate reports whether a JSON string has an escape \uD800 to
// \uDFFF outside of a pair.
func hasLoneSurrogate(raw []byte) bool {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		unit := escapedUnit(raw[i:])
		switch {
		case unit >= 0xD800 && unit < 0xDC00:
			if low := escapedUnit(raw[i+6:]); low < 0xDC00 || low > 0xDFFF {
				return true
			}
			i += 11 // past the pair
		case unit >= 0xDC00 && unit <= 0xDFFF:
			return true
		default:
			i++ // past the escaped character, which may be a backslash
		}
	}
	return false
}

// escapedUnit is the UTF-16 unit of the \uXXXX that raw begins with, or -1.
func escapedUnit(raw []byte) int64 {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return -1
	}
	unit, err := strconv.ParseInt(string(raw[2:6]), 16, 32)
	if err != nil {
		return -1
	}
	return unit
}
