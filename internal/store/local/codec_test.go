package local_test

import (
	"bytes"
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/store/local"
)

func sampleMessage() chat.Message {
	appended := time.UnixMilli(1_700_000_000_123).UTC()
	return chat.Message{
		RoomURI: "0123456789abcde", ID: chat.NewMessageID(1, 42, appended), Time: appended, Expires: appended.Add(time.Hour),
		Sender: chat.Profile{ID: 7, Username: "user_a", Email: "a@mail.com"}, Text: "Hello!",
	}
}

func TestDecodeSkipsUnknownFields(t *testing.T) {
	want := sampleMessage()
	value := protowire.AppendTag(nil, 900, protowire.BytesType)
	value = protowire.AppendString(value, "of a later release")
	value = protowire.AppendTag(value, 901, protowire.VarintType)
	value = protowire.AppendVarint(value, math.MaxUint64)
	value = protowire.AppendTag(value, 902, protowire.Fixed64Type)
	value = protowire.AppendFixed64(value, 1)
	value = append(value, local.EncodeMessage(want)...)
	got, err := local.DecodeMessage(want.RoomURI, want.ID, value)
	if err != nil || got != want {
		t.Errorf("got %+v, error %v, want %+v", got, err, want)
	}
}

func TestDecodeTruncated(t *testing.T) {
	value := local.EncodeMessage(sampleMessage())
	if _, err := local.DecodeMessage("uri", chat.MessageID{}, value[:len(value)-1]); err == nil {
		t.Error("a truncated message: got no error, want one")
	}
}

// FuzzDecodeValues: no value makes a decoder panic, and what one has read it
// reads again from its encoding.
func FuzzDecodeValues(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0xff})
	f.Add(local.EncodeMessage(sampleMessage()))
	f.Add(local.EncodeUser(chat.User{Profile: chat.Profile{ID: 1, Username: "u"}, IsStaff: true, Created: time.UnixMilli(1)}))
	f.Add(local.EncodeRoom(chat.Room{ID: 1, Kind: chat.KindRoom, Title: "Lobby", MessageTTL: time.Hour, Created: time.UnixMilli(0)}))
	f.Add(local.EncodePresence(chat.PresenceRow{User: chat.Profile{ID: 3}, Left: true, Updated: time.UnixMilli(-5)}))
	f.Fuzz(func(t *testing.T, value []byte) {
		_, _ = local.DecodeToken(chat.TokenHash{}, value)
		_, _ = local.DecodeMember("uri", 1, value)
		_, _ = local.DecodeWatermark(value)
		_, _ = local.DecodeInt(value)
		_, _ = local.DecodeTime(value)
		if u, err := local.DecodeUser(value); err == nil {
			again, err := local.DecodeUser(local.EncodeUser(u))
			wantSame(t, "user", again, u, err)
		}
		if r, err := local.DecodeRoom("uri", value); err == nil {
			again, err := local.DecodeRoom("uri", local.EncodeRoom(r))
			wantSame(t, "room", again, r, err)
		}
		if row, err := local.DecodePresence("uri", "gw", value); err == nil {
			again, err := local.DecodePresence("uri", "gw", local.EncodePresence(row))
			wantSame(t, "presence", again, row, err)
		}
		if r, err := local.DecodeForeign(7, value); err == nil {
			again, err := local.DecodeForeign(7, local.EncodeForeign(r))
			if err != nil || !again.Time.Equal(r.Time) || again.Key != r.Key || !bytes.Equal(again.Value, r.Value) {
				t.Errorf("foreign record: got %+v, error %v, want %+v", again, err, r)
			}
		}
		appended, expires, timesErr := local.DecodeMessageTimes(value)
		m, err := local.DecodeMessage("uri", chat.MessageID{}, value)
		if (err == nil) != (timesErr == nil) || err == nil && (m.Time != appended || m.Expires != expires) {
			t.Errorf("times: got %v, %v, error %v, want %v, %v, error %v", appended, expires, timesErr, m.Time, m.Expires, err)
		}
		if err == nil {
			again, err := local.DecodeMessage("uri", m.ID, local.EncodeMessage(m))
			wantSame(t, "message", again, m, err)
		}
	})
}

func wantSame[T comparable](t *testing.T, what string, got, want T, err error) {
	t.Helper()
	if err != nil || got != want {
		t.Errorf("%s: got %+v, error %v, want %+v", what, got, err, want)
	}
}

// FuzzKeys: keys read back, sort as what they are made of, and no key makes a
// decoder panic.
func FuzzKeys(f *testing.F) {
	f.Add("a", "a\x00", uint32(1), int64(2), []byte("g"))
	f.Add("a\x00\x01", "a\x00\xff", uint32(0), int64(0), []byte("ga\x00\x01"))
	f.Add("", "\xff", uint32(math.MaxUint32), int64(math.MaxInt64), []byte("g\x00"))
	f.Fuzz(func(t *testing.T, a, b string, epoch uint32, offset int64, raw []byte) {
		if _, _, err := local.CutMessageKey(raw); err == nil && raw[0] != 'g' {
			t.Errorf("key %q: got no error, want one", raw)
		}
		_, _, _, _ = local.CutPresence(raw)

		offset &= chat.MaxOffset
		id := chat.MessageID{Epoch: epoch, Offset: offset}
		keyA, keyB := local.MessageKey(a, id), local.MessageKey(b, id)
		uri, got, err := local.CutMessageKey(keyA)
		if err != nil || uri != a || got != id {
			t.Errorf("message key: got %q, %v, error %v, want %q, %v", uri, got, err, a, id)
		}
		if got, want := bytes.Compare(keyA, keyB), bytes.Compare([]byte(a), []byte(b)); got != want {
			t.Errorf("order of %q and %q: got %d, want %d", a, b, got, want)
		}
		first, second, userID, err := local.CutPresence(local.PresenceKey(a, b, offset)[1:])
		if err != nil || first != a || second != b || userID != offset {
			t.Errorf("presence key: got %q, %q, %d, error %v, want %q, %q, %d", first, second, userID, err, a, b, offset)
		}
	})
}
