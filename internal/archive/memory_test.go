package archive

import (
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// What was written within the window before the store was last heard of is
// never taken for safe, and what was written long before is.
func TestMemory(t *testing.T) {
	const window = 30 * time.Second
	begin := time.Unix(1_700_000_000, 0)
	at := func(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }
	place := func(next int64) chat.Watermark { return chat.Watermark{Epoch: 1, Next: next} }

	m := &memory{window: window}
	if _, ok := m.safe(1); ok {
		t.Error("without a memory: got a safe offset, want none")
	}
	m.restart(at(0), place(100))
	for second := 1; second <= 200; second++ { // ten offsets a second
		m.note(at(second), place(int64(100+10*second)))
	}
	if got, _ := m.safe(1); got != 100+10*169 {
		t.Errorf("while busy: got %d, want %d, of 31 s ago", got, 100+10*169)
	}
	if len(m.marks) > 40 {
		t.Errorf("got %d marks for a window of 30 s, want about one a second", len(m.marks))
	}
	m.heard = at(300)
	if got, _ := m.safe(1); got != 2100 {
		t.Errorf("after 100 idle seconds: got %d, want all, 2100", got)
	}
	m.restart(at(301), place(1500)) // the store has lost what was above
	m.note(at(302), place(2100))
	m.heard = at(303)
	if got, _ := m.safe(1); got > 1500 {
		t.Errorf("after a loss: got %d, want at most 1500, since the rest was just written again", got)
	}
	if _, ok := m.safe(2); ok {
		t.Error("of another epoch: got a safe offset, want none")
	}
}
