package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/chatcluster/chatcluster/internal/api"
)

func TestBadBodies(t *testing.T) {
	s := start(t, func(s *settings) { s.api.MaxBodyBytes = 2048 })
	a := s.user(t, "user_a")
	send := "/api/chats/" + s.session(t, 0, a).URI + "/messages/"
	const (
		form  = "application/x-www-form-urlencoded"
		jsonT = "application/json"
	)
	tests := []struct {
		name        string
		path        string
		method      string
		contentType string
		body        string
		status      int
		want        string
	}{
		{name: "other type", contentType: "text/xml", body: "<a/>", status: 415, want: `{"detail":"Unsupported media type \"text/xml\" in request."}`},
		{name: "no type", body: "message=a", status: 415, want: `{"detail":"Unsupported media type \"\" in request."}`},
		{name: "broken type", contentType: "application/json/a", body: "{}", status: 415, want: `{"detail":"Unsupported media type \"application/json/a\" in request."}`},
		{name: "nothing at all", status: 400, want: `{"message":["This field is required."]}`},
		{name: "empty JSON body", contentType: jsonT, status: 400, want: `{"message":["This field is required."]}`},
		{name: "type with charset", contentType: jsonT + "; charset=utf-8", body: `{}`, status: 400, want: `{"message":["This field is required."]}`},
		{name: "body at the limit", contentType: form, body: "message=" + strings.Repeat("a", 2040), status: 200},
		{name: "body beyond the limit", contentType: form, body: "message=" + strings.Repeat("a", 2041), status: 413, want: `{"detail":"The request body is larger than 2048 bytes."}`},
		{name: "too many fields", contentType: form, body: manyFields(), status: 413},

		{name: "JSON cut off", contentType: jsonT, body: `{"message":`, status: 400, want: `{"detail":"JSON parse error - unexpected end of JSON input at line 1 column 12 (byte 11)"}`},
		{name: "JSON with a bad character", contentType: jsonT, body: "{\n \"é\": x}", status: 400, want: `{"detail":"JSON parse error - invalid character 'x' looking for beginning of value at line 2 column 7 (byte 9)"}`},
		{name: "JSON with something after it", contentType: jsonT, body: `{} {}`, status: 400, want: `{"detail":"JSON parse error - invalid character '{' after top-level value at line 1 column 4 (byte 3)"}`},
		{name: "JSON list", contentType: jsonT, body: `["a"]`, status: 400, want: `{"non_field_errors":["Invalid data. Expected a dictionary, but got list."]}`},
		{name: "JSON null", contentType: jsonT, body: `null`, status: 400, want: `{"non_field_errors":["Invalid data. Expected a dictionary, but got NoneType."]}`},
		{name: "JSON string", contentType: jsonT, body: `"a"`, status: 400, want: `{"non_field_errors":["Invalid data. Expected a dictionary, but got str."]}`},
		{name: "JSON too deep", contentType: jsonT, body: `{"a":` + strings.Repeat("[", 2000), status: 400},
		{name: "number for a text", contentType: jsonT, body: `{"message":5}`, status: 400, want: `{"message":["Not a valid string."]}`},
		{name: "object for a text", contentType: jsonT, body: `{"message":{"a":1}}`, status: 400, want: `{"message":["Not a valid string."]}`},
		{name: "null for a text", contentType: jsonT, body: `{"message":null}`, status: 400, want: `{"message":["This field may not be null."]}`},
		{name: "name in another case", contentType: jsonT, body: `{"Message":"a"}`, status: 400, want: `{"message":["This field is required."]}`},
		{name: "JSON member twice", contentType: jsonT, body: `{"message":"a","message":"b"}`, status: 400, want: `{"message":["This field was given more than once."]}`},
		{name: "JSON that is not UTF-8", contentType: jsonT, body: "{\"message\":\"\xff\"}", status: 400, want: `{"message":["This field must be valid UTF-8."]}`},
		{name: "half a surrogate pair", contentType: jsonT, body: `{"message":"a\ud83d"}`, status: 400, want: `{"message":["This field must be valid UTF-8."]}`},
		{name: "second half of a pair", contentType: jsonT, body: `{"message":"\ude00\ud83d"}`, status: 400, want: `{"message":["This field must be valid UTF-8."]}`},
		{name: "whole pair", contentType: jsonT, body: `{"message":"\\ud83d \ud83d\ude00"}`, status: 200},
		{name: "JSON with spaces", path: "/api/chats/", contentType: jsonT, body: " {\n\"title\" : \"a\" , \"message_ttl\" :\t60 } ", status: 200},
		{name: "unknown fields", contentType: jsonT, body: `{"message":"a","x":1,"x":null}`, status: 200},

		{name: "form field twice", contentType: form, body: "message=a&message=b", status: 400, want: `{"message":["This field was given more than once."]}`},
		{name: "form that is not UTF-8", contentType: form, body: "message=%ff", status: 400, want: `{"message":["This field must be valid UTF-8."]}`},
		{name: "form with a broken escape", contentType: form, body: "message=100%", status: 400, want: `{"message":["This field is not validly percent-encoded."]}`},
		{name: "blank", contentType: form, body: "message=+", status: 400, want: `{"message":["This field may not be blank."]}`},
		{name: "multipart without boundary", contentType: "multipart/form-data", body: "a", status: 400},
		{name: "multipart cut off", contentType: "multipart/form-data; boundary=b", body: "--b\r\nContent-Disposition: form-data; name=\"message\"\r\n\r\na", status: 400},
		{name: "multipart with a file", contentType: "multipart/form-data; boundary=b", body: "--b\r\nContent-Disposition: form-data; name=\"message\"; filename=\"a\"\r\n\r\na\r\n--b--\r\n", status: 400, want: `{"message":["This field is required."]}`},

		{name: "text for a number", path: "/api/chats/", contentType: jsonT, body: `{"message_ttl":"60"}`, status: 400, want: `{"message_ttl":["A valid integer is required."]}`},
		{name: "fraction for a number", path: "/api/chats/", contentType: jsonT, body: `{"message_ttl":60.5}`, status: 400, want: `{"message_ttl":["A valid integer is required."]}`},
		{name: "number beyond all bounds", path: "/api/chats/", contentType: form, body: `message_ttl=99999999999999999999`, status: 400, want: `{"message_ttl":["A valid integer is required."]}`},
		{name: "number beyond a duration", path: "/api/chats/", contentType: form, body: `message_ttl=9223372037`, status: 400, want: `{"message_ttl":["Ensure this value is between 0 and 9223372036."]}`},
		{name: "number beyond the limit", path: "/api/chats/", contentType: form, body: `message_ttl=5`, status: 400, want: `{"message_ttl":["Ensure this value is between 60 and 86400 seconds (it is 5), or 0 for the server's setting."]}`},
		{name: "unknown choice and a bad title", path: "/api/chats/", contentType: jsonT, body: `{"access":"all","title":[]}`, status: 400, want: `{"access":["\"all\" is not a valid choice: members or link."],"title":["Not a valid string."]}`},
		{name: "long title", path: "/api/chats/", contentType: form, body: "title=" + strings.Repeat("a", 256), status: 400},
		{name: "join and change at once", method: "PATCH", path: strings.TrimSuffix(send, "messages/"), contentType: form, body: "username=user_a&title=a", status: 400, want: `{"non_field_errors":["Join a user and change the settings in two requests."]}`},
		{name: "join whom nobody knows", method: "PATCH", path: strings.TrimSuffix(send, "messages/"), contentType: form, body: "username=nobody", status: 400, want: `{"username":["No user has that username."]}`},

		{name: "register nobody", path: "/auth/users/create/", status: 400, want: `{"password":["This field is required."],"username":["This field is required."]}`},
		{name: "register a name that is taken", path: "/auth/users/create/", contentType: form, body: "username=user_a&password=long-enough", status: 400, want: `{"username":["A user with that username already exists."]}`},
		{name: "register with nonsense", path: "/auth/users/create/", contentType: form, body: "username=a+b&password=short&email=x", status: 400},
		{name: "log in as nobody", path: "/auth/token/login/", contentType: form, body: "username=nobody&password=x", status: 400, want: `{"non_field_errors":["Unable to log in with provided credentials."]}`},
		{name: "log in with a wrong password", path: "/auth/token/login/", contentType: form, body: "username=user_a&password=x", status: 400, want: `{"non_field_errors":["Unable to log in with provided credentials."]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.path == "" {
				tt.path = send
			}
			if tt.method == "" {
				tt.method = http.MethodPost
			}
			got := s.want(t, tt.status, call{method: tt.method, path: tt.path, token: a.token, contentType: tt.contentType, body: tt.body})
			if tt.want != "" && got.body != tt.want {
				t.Errorf("got %s, want %s", got.body, tt.want)
			}
		})
	}
	t.Run("too many fields", func(t *testing.T) {
		s := start(t)
		got := s.want(t, http.StatusBadRequest, call{method: "POST", path: "/auth/token/login/", contentType: form, body: manyFields()})
		if want := `{"non_field_errors":["There are more than 1000 fields."]}`; got.body != want {
			t.Errorf("got %s, want %s", got.body, want)
		}
	})
}

func manyFields() string {
	var b strings.Builder
	for i := range 1001 {
		fmt.Fprintf(&b, "f%d&", i)
	}
	return b.String()
}

func TestBadQueries(t *testing.T) {
	s := start(t)
	a := s.user(t, "user_a")
	history := "/api/chats/" + s.session(t, 0, a).URI + "/messages/"
	tests := []struct{ name, query, want string }{
		{"no page", "limit=0", `{"limit":["Ensure this value is between 1 and 1000."]}`},
		{"large page", "limit=1001", `{"limit":["Ensure this value is between 1 and 1000."]}`},
		{"no number", "limit=a", `{"limit":["A valid integer is required."]}`},
		{"twice", "limit=1&limit=2", `{"limit":["This field was given more than once."]}`},
		{"broken escape", "limit=%", `{"limit":["This field is not validly percent-encoded."]}`},
		{"short position", "after=ab", `{"after":["Not a message id: a message id has 28 hexadecimal digits, not 2 characters."]}`},
		{"both positions", "after=&before=" + strings.Repeat("x", 28), `{"after":["Not a message id: a message id has 28 hexadecimal digits, not 0 characters."],"before":["Not a message id: a message id has 28 hexadecimal digits: encoding/hex: invalid byte: U+0078 'x'."]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := s.want(t, http.StatusBadRequest, call{method: "GET", path: history + "?" + tt.query, token: a.token})
			if got.body != tt.want {
				t.Errorf("got %s, want %s", got.body, tt.want)
			}
		})
	}
}

// FuzzDecodeBody: whatever the body, it is refused or read as it stands.
func FuzzDecodeBody(f *testing.F) {
	for _, contentType := range []string{"application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/xml"} {
		for _, body := range []string{"", "{}", `{"a":"\ud83d\ude00\\","b":1e400,"c":{"a":[null]}}`, `{"a":"1","a":"2"}`, "a=%ff&b=1&&=&c", "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\na\r\n--b--\r\n"} {
			f.Add(contentType, []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		got, err := api.DecodeBody(contentType, body)
		if err != nil {
			return
		}
		var want map[string]any
		if json.Unmarshal(body, &want) != nil || contentType != "application/json" {
			return
		}
		for name, text := range got {
			if want[name] != text {
				t.Errorf("%s: got %q, want %q", name, text, want[name])
			}
		}
	})
}

// TestSemicolonIsText: net/url refuses one, and Django takes it.
func TestSemicolonIsText(t *testing.T) {
	got, err := api.DecodeQuery("a=b;c=d&e=+%2B")
	if want := map[string]string{"a": "b;c=d", "e": " +"}; err != nil || !maps.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

// FuzzDecodeQuery: what net/url can read, and names a field once, is read as
// net/url does.
func FuzzDecodeQuery(f *testing.F) {
	for _, query := range []string{"", "limit=10&after=0a", "a=%zz", "a;b=c;d", "=&&%", "a=1&a=2", "%61=+"} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		got, err := api.DecodeQuery(query)
		want, wantErr := url.ParseQuery(query)
		if err != nil || wantErr != nil {
			return
		}
		for name, texts := range want {
			text, read := got[name]
			readable := name != "" && len(texts) == 1 && utf8.ValidString(texts[0])
			if read != readable || read && text != texts[0] {
				t.Errorf("%q: got %q (read: %v), want %q (readable: %v)", name, text, read, texts, readable)
			}
		}
	})
}
