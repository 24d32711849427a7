package checker_test

import (
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/test/checker"
)

const room = "040213b14a02451"

var start = time.Unix(1_700_000_000, 0)

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

func msg(id, text string) checker.Message { return checker.Message{ID: id, Text: text} }

func acked(id, text, key string, second int) checker.Send {
	return checker.Send{Room: room, Sender: "amir", Key: key, Text: text, Start: at(second), End: at(second), Outcome: checker.Acked, ID: id}
}

// log is a run in which every promise held.
func log() *checker.Log {
	l := &checker.Log{}
	l.AddSend(acked("1", "a", "ka", 1))
	l.AddSend(acked("2", "b", "kb", 2))
	l.AddSend(acked("2", "b", "kb", 3))
	l.AddSend(acked("3", "c", "", 4))
	l.AddSend(checker.Send{Room: room, Sender: "amir", Text: "lost", Outcome: checker.Unknown})
	l.AddSend(checker.Send{Room: room, Sender: "amir", Text: "no", Outcome: checker.Refused})
	stream(l, msg("1", "a"), msg("2", "b"), msg("3", "c"))
	stream(l, msg("2", "b"), msg("3", "c"))
	read(l, 5, false, msg("1", "a"), msg("2", "b"), msg("3", "c"))
	read(l, 2, true, msg("1", "a"), msg("2", "b"))
	remove(l, "binh", 5)
	return l
}

func stream(l *checker.Log, messages ...checker.Message) {
	receive := l.NewStream("binh", room)
	for _, m := range messages {
		receive(m)
	}
}

func read(l *checker.Log, second int, newest bool, messages ...checker.Message) {
	l.AddRead(checker.Read{Reader: "binh", Room: room, Start: at(second), Newest: newest, Messages: messages})
}

func remove(l *checker.Log, member string, second int) {
	l.AddRemoval(checker.Removal{Room: room, Member: member, End: at(second)})
}

func final() []checker.Message { return []checker.Message{msg("1", "a"), msg("2", "b"), msg("3", "c")} }

func TestCleanRunHasNoViolations(t *testing.T) {
	if got := log().Check(map[string][]checker.Message{room: final()}); len(got) > 0 {
		t.Errorf("got %v, want no violations", got)
	}
}

// The checker is worth what it catches: each promise is broken once.
func TestViolationsAreCaught(t *testing.T) {
	for _, tc := range []struct {
		name  string
		want  string
		spoil func(l *checker.Log, final []checker.Message) []checker.Message
	}{
		{"acknowledged message lost", checker.Durable, func(_ *checker.Log, f []checker.Message) []checker.Message { return f[:2] }},
		{"whole room lost", checker.Durable, func(*checker.Log, []checker.Message) []checker.Message { return nil }},
		{"acknowledged under another id", checker.Durable, func(l *checker.Log, f []checker.Message) []checker.Message {
			l.AddSend(acked("9", "a", "", 9))
			return f
		}},
		{"message that nobody sent", checker.Phantom, func(_ *checker.Log, f []checker.Message) []checker.Message { return append(f, msg("4", "ghost")) }},
		{"refused message appears", checker.Phantom, func(_ *checker.Log, f []checker.Message) []checker.Message { return append(f, msg("4", "no")) }},
		{"message twice in the history", checker.NoDuplicate, func(_ *checker.Log, f []checker.Message) []checker.Message { return append(f, msg("4", "c")) }},
		{"history out of order", checker.OneOrder, func(_ *checker.Log, f []checker.Message) []checker.Message {
			f[0], f[1] = f[1], f[0]
			return f
		}},
		{"key answered with two ids", checker.Idempotent, func(l *checker.Log, f []checker.Message) []checker.Message {
			l.AddSend(acked("4", "d", "kb", 6))
			return append(f, msg("4", "d"))
		}},
		{"socket missed a message", checker.NoGap, func(l *checker.Log, f []checker.Message) []checker.Message {
			stream(l, msg("1", "a"), msg("3", "c"))
			return f
		}},
		{"socket got a message twice", checker.NoDuplicate, func(l *checker.Log, f []checker.Message) []checker.Message {
			stream(l, msg("1", "a"), msg("1", "a"), msg("2", "b"))
			return f
		}},
		{"socket got messages out of order", checker.OneOrder, func(l *checker.Log, f []checker.Message) []checker.Message {
			stream(l, msg("2", "b"), msg("1", "a"))
			return f
		}},
		{"socket got another text", checker.OneOrder, func(l *checker.Log, f []checker.Message) []checker.Message {
			stream(l, msg("1", "z"))
			return f
		}},
		{"read before its time is up", checker.ReadYourWrites, func(l *checker.Log, f []checker.Message) []checker.Message {
			read(l, 5, false, msg("1", "a"), msg("2", "b"))
			return f
		}},
		{"empty read", checker.ReadYourWrites, func(l *checker.Log, f []checker.Message) []checker.Message {
			read(l, 5, false)
			return f
		}},
		{"read with a hole", checker.NoGap, func(l *checker.Log, f []checker.Message) []checker.Message {
			read(l, 0, false, msg("1", "a"), msg("3", "c"))
			return f
		}},
		{"removed member sends", checker.Private, func(l *checker.Log, f []checker.Message) []checker.Message {
			remove(l, "amir", 2)
			return f
		}},
		{"removed member reads", checker.Private, func(l *checker.Log, f []checker.Message) []checker.Message {
			read(l, 7, false, f...)
			return f
		}},
		{"removed member receives", checker.Private, func(l *checker.Log, f []checker.Message) []checker.Message {
			remove(l, "binh", 2)
			return f
		}},
		{"read without the beginning", checker.NoGap, func(l *checker.Log, f []checker.Message) []checker.Message {
			read(l, 0, false, msg("2", "b"), msg("3", "c"))
			return f
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := log()
			violations := l.Check(map[string][]checker.Message{room: tc.spoil(l, final())})
			for _, v := range violations {
				if v.Promise == tc.want {
					return
				}
			}
			t.Errorf("got %v, want a violation of %q", violations, tc.want)
		})
	}
}
