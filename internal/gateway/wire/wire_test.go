package wire_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/gateway/wire"
)

// plain is encoding/json without escaping for HTML.
func plain(t testing.TB, v any) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "hi", `"\/`, "\b\f\n\r\t\x00\x1f\x7f", "<b>&", "é\u2028\u2029😀", "\xff\xc3", "\ufffd"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := string(wire.AppendString(nil, s)), plain(t, s); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestMessages(t *testing.T) {
	ev := &chat.Event{
		Kind: chat.EventMessage, Text: "<hi> \"é\"",
		Sender: chat.Profile{ID: 1, Username: "user_a", Email: "user_a@mail.com", FirstName: "A", LastName: "\t"},
	}
	at := time.Date(2026, 3, 4, 5, 6, 7, 80_000_000, time.FixedZone("", 3600))
	place := &wire.Place{ID: chat.NewMessageID(1, 5, at), Prev: chat.NewMessageID(1, 3, at), Time: at}
	const user = `{"user":{"id":1,"username":"user_a","email":"user_a@mail.com","first_name":"A","last_name":"\t"},"message":"<hi> \"é\""`
	const room = `{"msg_type":0,"room":7,"username":"user_a","message":"<hi> \"é\""`
	ids := `,"id":"` + place.ID.String() + `","prev":"` + place.Prev.String() + `","time":"2026-03-04T04:06:07.080Z"`
	tests := []struct {
		name   string
		format wire.Format
		want   string
	}{
		{"session", wire.Session, user + `}`},
		{"session with ids", wire.SessionIDs, user + ids + `}`},
		{"room", wire.Room, room + `}`},
		{"room with ids", wire.RoomIDs, room + ids + `}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := wire.Message(tt.format, 7, ev, place)
			if got := payload(t, f); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if !f.Message {
				t.Error("it is not marked as a message")
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	room := chat.Room{ID: 7, Title: `A & "B"`}
	yes, id := true, chat.NewMessageID(1, 2, time.Unix(3, 0))
	users := map[int64]chat.PresentUser{
		1: {User: chat.Profile{ID: 1, Username: "amir", FirstName: "Amir", LastName: "S"}, Updated: time.UnixMilli(1542792000123)},
		2: {User: chat.Profile{ID: 2, Username: "sara"}, Left: true, Updated: time.Unix(1542792000, 0)},
	}
	tests := []struct {
		name  string
		frame *wire.Frame
		want  string
	}{
		{"joined", wire.Joined(room, wire.Start{}), `{"join":"7","title":"A & \"B\""}`},
		{"joined with ids", wire.Joined(room, wire.Start{Recovered: &yes, Position: "p"}), `{"join":"7","title":"A & \"B\"","recovered":true,"position":"p"}`},
		{"left", wire.Left(7), `{"leave":"7"}`},
		{"enter", wire.RoomNotice(7, &chat.Event{Kind: chat.EventEnter, Sender: users[1].User}), `{"msg_type":4,"room":7,"username":"amir"}`},
		{"leave", wire.RoomNotice(7, &chat.Event{Kind: chat.EventLeave, Sender: users[1].User}), `{"msg_type":5,"room":7,"username":"amir"}`},
		{"acknowledged", wire.Acknowledged(7, id), `{"ack":"` + id.String() + `","room":7}`},
		{"error", wire.Error{Code: wire.RoomInvalid}.Frame(), `{"error":"ROOM_INVALID"}`},
		{"error with detail", wire.Error{Code: wire.RateLimited, Detail: "Slow.", RetryAfter: 3}.Frame(), `{"error":"RATE_LIMITED","detail":"Slow.","retry_after":3}`},
		{"session start", wire.SessionStart(wire.Start{Position: "p"}), `{"position":"p"}`},
		{"users", wire.RoomUsers(7, users), `{"type":6,"room":7,"data":{"users":{"1":{"username":"amir","name":"Amir S","left":false,"last_update":1542792000.123},"2":{"username":"sara","name":"sara","left":true,"last_update":1542792000.000}}}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := payload(t, tt.frame); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// payload reads a text frame whose header this package wrote.
func payload(t *testing.T, f *wire.Frame) string {
	t.Helper()
	b := f.Bytes
	switch {
	case b[0] != 0x81:
		t.Fatalf("got first byte %#x, want a text frame", b[0])
	case b[1] < 126:
		return string(b[2:])
	case b[1] == 126:
		return string(b[4:])
	}
	return string(b[10:])
}

// TestFrameHeaders checks the lengths where RFC 6455, section 5.2, changes form.
func TestFrameHeaders(t *testing.T) {
	tests := []struct {
		name  string
		bytes int
		want  []byte
	}{
		{"empty", 0, []byte{0x81, 0}},
		{"largest of 7 bits", 125, []byte{0x81, 125}},
		{"smallest of 16 bits", 126, []byte{0x81, 126, 0, 126}},
		{"largest of 16 bits", 65535, []byte{0x81, 126, 0xff, 0xff}},
		{"smallest of 64 bits", 65536, []byte{0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body := bytes.Repeat([]byte{'x'}, tt.bytes)
			if got, want := wire.Text(body).Bytes, append(tt.want, body...); !bytes.Equal(got, want) {
				t.Errorf("got %d bytes beginning with %x, want %d with %x", len(got), got[:2], len(want), tt.want)
			}
		})
	}
	if got, want := wire.Close(4008, "slow").Bytes, append([]byte{0x88, 6, 0x0f, 0xa8}, "slow"...); !bytes.Equal(got, want) {
		t.Errorf("close: got %x, want %x", got, want)
	}
	if got, want := wire.Close(0, "").Bytes, []byte{0x88, 0}; !bytes.Equal(got, want) {
		t.Errorf("close without a code: got %x, want %x", got, want)
	}
	if got := wire.Close(4008, strings.Repeat("x", 200)).Bytes; len(got) != 127 {
		t.Errorf("close with a long reason: got %d bytes, want 127", len(got))
	}
	if got, want := wire.Pong("p").Bytes, []byte{0x8a, 1, 'p'}; !bytes.Equal(got, want) {
		t.Errorf("pong: got %x, want %x", got, want)
	}
}

func FuzzDecodeCommand(f *testing.F) {
	for _, s := range []string{
		`{"command":"join","room":7}`, `{"command":"join","room":"0123456789abcde","after":"000000010000000000050000000a"}`,
		`{"command":"send","room":"7","message":"hi","key":"k","ack":true}`, `{"command":"leave","room":-1}`, `[]`, `{"command":1}`, `null`,
		`{"command":"send","room":7,"message":null}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := wire.DecodeCommand(data)
		if err != nil {
			var told wire.Error
			if told, _ = err.(wire.Error); told.Code != wire.CommandInvalid || told.Detail == "" {
				t.Errorf("got error %#v, want one with a detail", err)
			}
			return
		}
		if c.Room == "" || (c.After != nil && !c.IDs) {
			t.Errorf("got %+v", c)
		}
	})
}
