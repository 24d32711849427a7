package chat_test

import (
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

func fullEvent() chat.Event {
	return chat.Event{
		Kind:     chat.EventMessage,
		Room:     "040213b14a02451",
		Sender:   chat.Profile{ID: 1, Username: "user_a", Email: "user_a@mail.com", FirstName: "Amir", LastName: "S"},
		Text:     "Hello! 👋",
		Key:      "key-1",
		TTL:      48 * time.Hour,
		Accepted: time.UnixMicro(1_700_000_000_123_456),
		Origin:   "gateway/7",
		Subject:  9,
		Token:    chat.TokenHash{1, 2, 3},
		Others:   true,
	}
}

func TestEventRoundTrip(t *testing.T) {
	for _, tc := range []struct {
		name  string
		event chat.Event
	}{
		{"every field", fullEvent()},
		{"kind alone", chat.Event{Kind: chat.EventCutoff}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := chat.DecodeEvent(tc.event.Room, chat.AppendEvent(nil, tc.event))
			if err != nil || got != tc.event {
				t.Errorf("got %+v, %v, want %+v", got, err, tc.event)
			}
		})
	}
}

func TestDecodeEventSkipsUnknownFields(t *testing.T) {
	// Field 100, a varint, from a release to come.
	value := append(chat.AppendEvent(nil, fullEvent()), 0xa0, 0x06, 0x01)
	if got, err := chat.DecodeEvent(fullEvent().Room, value); err != nil || got != fullEvent() {
		t.Errorf("got %+v, %v, want the known fields", got, err)
	}
}

func TestDecodeEventRefuses(t *testing.T) {
	for _, tc := range []struct {
		name  string
		value []byte
	}{
		{"empty", nil},
		{"no kind", chat.AppendEvent(nil, chat.Event{Text: "x"})},
		{"cut off", chat.AppendEvent(nil, fullEvent())[:20]},
		{"token of the wrong size", []byte{0x08, 0x01, 0x62, 0x01, 0x00}},
		{"text that is not UTF-8", []byte{0x08, 0x01, 0x3a, 0x01, 0xff}},
		{"foreign", []byte("hello, I am not an event")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if ev, err := chat.DecodeEvent("", tc.value); err == nil {
				t.Errorf("got %+v, want an error", ev)
			}
		})
	}
}

func FuzzDecodeEvent(f *testing.F) {
	f.Add("040213b14a02451", chat.AppendEvent(nil, fullEvent()))
	f.Add("", []byte{0x08, 0x01})
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		ev, err := chat.DecodeEvent(key, value)
		if err != nil {
			return
		}
		// What was understood is written the same way ever after.
		once := chat.AppendEvent(nil, ev)
		again, err := chat.DecodeEvent(key, once)
		if err != nil {
			t.Fatalf("decode of an encoding: %v", err)
		}
		if twice := chat.AppendEvent(nil, again); string(twice) != string(once) {
			t.Errorf("encoding changed: got %x, want %x", twice, once)
		}
	})
}
