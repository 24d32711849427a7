package cassandra

import (
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// This test is inside the package: what it tests is a decision that shows
// outside only after 50,000 messages.
func TestPlace(t *testing.T) {
	base := time.Unix(1_800_000_000, 0).UTC()
	now := base.Add(time.Hour)
	message := func(offset int64, at, ttl time.Duration) chat.Message {
		appended := base.Add(at)
		return chat.Message{ID: chat.NewMessageID(1, offset, appended), Time: appended, Expires: appended.Add(ttl)}
	}
	const ttl = 48 * time.Hour // a bucket lasts for 144 minutes
	first, _ := placement{limit: lastPosition}.place(message(10, 0, ttl), now)
	with := func(change func(*placement)) placement {
		p := first
		p.known = now.Add(-time.Hour)
		change(&p)
		return p
	}
	full := func(p *placement) { p.bucket.rows = bucketRows }
	tests := []struct {
		name       string
		at         placement
		message    chat.Message
		wantStart  int64
		wantList   bool
		wantBefore bool
	}{
		{"the first of a room", placement{limit: lastPosition}, message(10, 0, ttl), 10, true, false},
		{"the next", first, message(11, time.Minute, ttl), 10, false, false},
		{"the last before the end", first, message(11, 144*time.Minute-time.Millisecond, ttl), 10, false, false},
		{"at the end", first, message(11, 144*time.Minute, ttl), 11, true, false},
		{"another class of retention", first, message(11, time.Minute, 20*24*time.Hour), 11, true, false},
		{"a longer life in the same class", first, message(11, 140*time.Minute, 48*time.Hour), 10, false, false},
		{"a life beyond the bucket's", with(func(p *placement) { p.bucket.until = base }), message(11, time.Minute, ttl), 10, true, false},
		{"a note of the number of rows", with(func(p *placement) { p.bucket.rows = rowsPerNote - 1 }), message(11, 0, ttl), 10, true, false},
		{"full", with(full), message(11, time.Minute, ttl), 11, true, true},
		{"full, but not known for long", with(func(p *placement) { full(p); p.known = now.Add(-minKnownFor + time.Second) }), message(11, time.Minute, ttl), 10, false, false},
		{"full, but a replay", with(func(p *placement) { full(p); p.limit = position{1, 50} }), message(11, time.Minute, ttl), 10, false, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			next, list := test.at.place(test.message, now)
			if next.bucket.start != (position{1, test.wantStart}) || list != test.wantList {
				t.Errorf("place: got bucket %v, list %t, want {1 %d}, %t", next.bucket.start, list, test.wantStart, test.wantList)
			}
			if got := next.bucket.before != nil; got != test.wantBefore {
				t.Errorf("names the bucket before: got %t, want %t", got, test.wantBefore)
			}
			if !next.bucket.ends.After(test.message.Time) {
				t.Errorf("bucket ends: got %v, want after the message's %v", next.bucket.ends, test.message.Time)
			}
			if next.bucket.until.Before(test.message.Expires) {
				t.Errorf("bucket until: got %v, want not before the message's %v", next.bucket.until, test.message.Expires)
			}
		})
	}
}
