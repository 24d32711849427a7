package client_test

import (
	"testing"
	"unicode/utf8"

	"github.com/chatcluster/chatcluster/internal/client"
)

func TestDecodeFrame(t *testing.T) {
	const message = `{"user":{"id":1,"username":"user_a","email":"","first_name":"","last_name":""},"message":"Hello!"`
	tests := []struct {
		name, data                 string
		kind, position, prev, text string
		fails                      bool
	}{
		{name: "plain message", data: message + `}`, kind: "message", text: "Hello!"},
		{name: "message with its place", data: message + `,"id":"b","prev":"a","time":"2026-01-02T03:04:05.678Z"}`, kind: "message", prev: "a", text: "Hello!"},
		{name: "position", data: `{"position":"a"}`, kind: "position", position: "a"},
		{name: "recovered", data: `{"recovered":true,"position":"a"}`, kind: "recovered", position: "a"},
		{name: "not recovered", data: `{"recovered":false,"position":"a"}`, kind: "lost", position: "a"},
		{name: "reconnect", data: `{"reconnect":1500,"after":"a"}`, kind: "reconnect", position: "a"},
		{name: "something new", data: `{"typing":{"username":"user_a"}}`, kind: "other"},
		{name: "no JSON", data: `hello`, fails: true},
		{name: "no object", data: `[]`, fails: true},
		{name: "message of another shape", data: `{"user":7,"message":"Hello!"}`, fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			kind, position, prev, m, err := client.DecodeFrame([]byte(tt.data))
			if (err != nil) != tt.fails {
				t.Fatalf("got error %v, want one: %v", err, tt.fails)
			}
			if err != nil {
				return
			}
			if kind != tt.kind || position != tt.position || prev != tt.prev || m.Text != tt.text {
				t.Errorf("got %s %q %q %q, want %s %q %q %q", kind, position, prev, m.Text, tt.kind, tt.position, tt.prev, tt.text)
			}
		})
	}
}

func FuzzDecodeFrame(f *testing.F) {
	f.Add([]byte(`{"user":{"id":1,"username":"user_a"},"message":"hi","id":"b","prev":"a","time":"2026-01-02T03:04:05Z"}`))
	f.Add([]byte(`{"recovered":true,"position":"a"}`))
	f.Add([]byte(`{"reconnect":1500,"after":"a"}`))
	f.Add([]byte(`{"recovered":null,"user":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		kind, _, _, m, err := client.DecodeFrame(data)
		if err == nil && kind == "message" && !utf8.ValidString(m.Text) {
			t.Errorf("got text %q, want valid UTF-8", m.Text)
		}
	})
}

func TestParseLinks(t *testing.T) {
	tests := []struct {
		name    string
		headers []string
		want    map[string]string
	}{
		{"none", nil, nil},
		{"one", []string{`<http://h/p?before=a>; rel="prev"`}, map[string]string{"prev": "http://h/p?before=a"}},
		{"two in one header", []string{`<?before=a>; rel="prev", <?after=b>; rel="next"`}, map[string]string{"prev": "?before=a", "next": "?after=b"}},
		{"two headers", []string{`<?before=a>; rel=prev`, `<?after=b>; rel=next`}, map[string]string{"prev": "?before=a", "next": "?after=b"}},
		{"two relations", []string{`<?a>; rel="prev First"`}, map[string]string{"prev": "?a", "first": "?a"}},
		{"a comma in the target", []string{`<?a=1,2>; rel="prev"`}, map[string]string{"prev": "?a=1,2"}},
		{"a comma in a parameter", []string{`<?a>; title="x, y"; rel="prev"`}, map[string]string{"prev": "?a"}},
		{"other case and spaces", []string{` <?a> ;REL = "prev" `}, map[string]string{"prev": "?a"}},
		{"no relation", []string{`<?a>; title="x"`}, nil},
		{"a broken link keeps those before it", []string{`<?a>; rel="prev", <?b`}, map[string]string{"prev": "?a"}},
		{"a target that is no URL", []string{`<%zz>; rel="prev"`}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := client.ParseLinks(tt.headers)
			if len(got) != len(tt.want) {
				t.Fatalf("got %v, want %v", got, tt.want)
			}
			for rel, want := range tt.want {
				if got[rel] == nil || got[rel].String() != want {
					t.Errorf("%s: got %v, want %s", rel, got[rel], want)
				}
			}
		})
	}
}

func FuzzParseLinks(f *testing.F) {
	f.Add(`<http://h/p?before=a&limit=2>; rel="prev", <?after=b>; rel=next`)
	f.Add(`<?a>; title="x, y"; rel="prev"`)
	f.Add(`<,"<>;=`)
	f.Fuzz(func(t *testing.T, header string) {
		for rel, target := range client.ParseLinks([]string{header}) {
			if rel == "" || target == nil {
				t.Errorf("got %q to %v, want a relation and a target", rel, target)
			}
		}
	})
}
