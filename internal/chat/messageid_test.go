package chat_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

func TestMessageIDSortsAsText(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	newID := func() chat.MessageID {
		return chat.MessageID{
			Epoch:  uint32(random.IntN(3)),
			Offset: random.Int64N(1 << (1 + random.IntN(48))),
			Time:   random.Int64N(1 << 32),
		}
	}
	for range 10_000 {
		a, b := newID(), newID()
		b.Time = a.Time // the time takes no part in the order
		want := a.Compare(b)
		got := 0
		switch {
		case a.String() < b.String():
			got = -1
		case a.String() > b.String():
			got = 1
		}
		if got != want {
			t.Fatalf("order of %v and %v as text: got %d, want %d", a, b, got, want)
		}
	}
}

func TestParseMessageIDRefuses(t *testing.T) {
	for _, tc := range []struct{ name, text string }{
		{"empty", ""},
		{"short", "00000001000000000001"},
		{"long", chat.MessageID{Epoch: 1}.String() + "0"},
		{"not hexadecimal", "zz000001000000000001650000ff"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if id, err := chat.ParseMessageID(tc.text); err == nil {
				t.Errorf("ParseMessageID(%q): got %v, want an error", tc.text, id)
			}
		})
	}
}

func FuzzParseMessageID(f *testing.F) {
	f.Add(chat.NewMessageID(7, 42, time.Unix(1_700_000_000, 0)).String())
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := chat.ParseMessageID(s)
		if err != nil {
			return
		}
		again, err := chat.ParseMessageID(id.String())
		if err != nil || again != id {
			t.Errorf("ParseMessageID(%q.String()): got %v, %v, want %v", s, again, err, id)
		}
	})
}
