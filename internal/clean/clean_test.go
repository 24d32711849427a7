package clean_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/clean"
	loglocal "github.com/chatcluster/chatcluster/internal/log/local"
	storelocal "github.com/chatcluster/chatcluster/internal/store/local"
	"github.com/chatcluster/chatcluster/test/embedded"
)

var now = time.UnixMilli(1_700_000_000_000)

// newCleaner returns a cleaner of a store with two rooms, each of which has one
// message for every day of the last five.
func newCleaner(t *testing.T) (*clean.Cleaner, *storelocal.Store, *loglocal.Log) {
	t.Helper()
	log, store := embedded.Open(t, loglocal.Options{})
	var messages []chat.Message
	for day := 5; day > 0; day-- {
		for _, room := range []string{"000000000000001", "000000000000002"} {
			appended := now.Add(-time.Duration(day)*24*time.Hour + time.Hour)
			messages = append(messages, chat.Message{
				RoomURI: room, ID: chat.NewMessageID(1, int64(len(messages)), appended),
				Time: appended, Expires: now.Add(24 * time.Hour), Text: fmt.Sprint(day),
			})
		}
	}
	if err := store.PutMessages(t.Context(), messages); err != nil {
		t.Fatal(err)
	}
	if err := store.CreateToken(t.Context(), chat.Token{UserID: 1, Created: now.Add(-2 * time.Hour), Expires: now.Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	return clean.New(store, chat.NewPublisher(log), 0, func() time.Time { return now }), store, log
}

func TestClean(t *testing.T) {
	for _, tc := range []struct {
		name            string
		options         clean.Options
		deleted, tokens int
		left            int // messages of each room
		oldest          time.Duration
	}{
		{"two days", clean.Options{Days: 2}, 6, 1, 2, 47 * time.Hour},
		{"nothing so old", clean.Options{Days: 30}, 0, 1, 5, 119 * time.Hour},
		{"everything", clean.Options{Days: 0}, 10, 1, 0, 0},
		{"dry run", clean.Options{Days: 2, DryRun: true}, 6, 0, 5, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cleaner, store, _ := newCleaner(t)
			calls := 0
			report, err := cleaner.Clean(t.Context(), tc.options, func(clean.Report) { calls++ })
			if err != nil {
				t.Fatal(err)
			}
			if report.Deleted != tc.deleted || report.Rooms != 2 || report.Tokens != tc.tokens || calls != 2 {
				t.Errorf("got %+v after %d calls of progress, want %d deleted and %d tokens of 2 rooms", report, calls, tc.deleted, tc.tokens)
			}
			switch oldest := report.OldestKept; {
			case (oldest == nil) != (tc.oldest == 0):
				t.Errorf("oldest kept: got %v, want age %s", oldest, tc.oldest)
			case oldest != nil && now.Sub(*oldest) != tc.oldest:
				t.Errorf("oldest kept: got age %s, want %s", now.Sub(*oldest), tc.oldest)
			}
			left, err := store.Messages(t.Context(), chat.MessageQuery{RoomURI: "000000000000001", Limit: 100, Now: now})
			if err != nil || len(left) != tc.left {
				t.Errorf("left: got %d, %v, want %d", len(left), err, tc.left)
			}
			cutoff, err := store.Cutoff(t.Context())
			if want := now.Add(-time.Duration(tc.options.Days) * 24 * time.Hour); err != nil || (!tc.options.DryRun && !cutoff.Equal(want)) {
				t.Errorf("cutoff: got %v, %v, want %v", cutoff, err, want)
			}
			again, err := cleaner.Clean(t.Context(), tc.options, func(clean.Report) {})
			if want := 0; err != nil || (!tc.options.DryRun && again.Deleted != want) {
				t.Errorf("again: got %+v, %v, want nothing deleted", again, err)
			}
		})
	}
}

func TestCleanTellsGateways(t *testing.T) {
	cleaner, _, log := newCleaner(t)
	if _, err := cleaner.Clean(t.Context(), clean.Options{Days: 2}, func(clean.Report) {}); err != nil {
		t.Fatal(err)
	}
	batch, err := log.Read(t.Context(), chat.Partition{Topic: chat.TopicSignals}, 0, 1<<20)
	if err != nil || len(batch.Records) != 1 {
		t.Fatalf("signals: got %d, %v, want 1", len(batch.Records), err)
	}
	if ev, err := chat.DecodeEvent(batch.Records[0].Key, batch.Records[0].Value); err != nil || ev.Kind != chat.EventCutoff {
		t.Errorf("signal: got %+v, %v, want the cutoff", ev, err)
	}
}

// forgetful is a store that all of its nodes' crash has thrown back.
type forgetful struct{ *storelocal.Store }

func (forgetful) Cutoff(context.Context) (time.Time, error) { return time.Time{}, nil }

// A clean does not report success for a cutoff that is lost.
func TestCleanNoticesALostCutoff(t *testing.T) {
	_, store, log := newCleaner(t)
	cleaner := clean.New(forgetful{store}, chat.NewPublisher(log), 0, func() time.Time { return now })
	if _, err := cleaner.Clean(t.Context(), clean.Options{Days: 2}, func(clean.Report) {}); err == nil {
		t.Error("got no error")
	}
}

func TestCleanRefuses(t *testing.T) {
	cleaner, store, _ := newCleaner(t)
	for _, days := range []int{-1, clean.MaxDays + 1} {
		if _, err := cleaner.Clean(t.Context(), clean.Options{Days: days}, func(clean.Report) {}); err == nil {
			t.Errorf("%d days: got no error", days)
		}
	}
	if cutoff, err := store.Cutoff(t.Context()); err != nil || !cutoff.IsZero() {
		t.Errorf("cutoff: got %v, %v, want none", cutoff, err)
	}
}
