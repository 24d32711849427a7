package cached

import (
	"context"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// Options are the settings of a Store.
type Options struct {
	// Entries bounds each kind of entry; those used longest ago go first.
	Entries int
	// Fresh is how long an entry is believed.
	Fresh time.Duration
	// Followed is how long it is while the announcements are heard.
	Followed time.Duration
	// Announce tells the other processes of a change, as an announcement of
	// package chat; nil where there are none. A change that cannot be announced is
	// not made.
	Announce func(context.Context, chat.Event) error
	// Stale is how long an entry serves while the store is unavailable.
	Stale time.Duration
	// Asked is told of each look-up that the store gets: of a token, user, room or
	// member. nil is nobody.
	Asked func(kind string)
	// Now is the clock.
	Now func() time.Time
}

// shared is what the caches of a Store have in common.
type shared struct {
	Options
	outage     *outage
	background *background
	horizon    *horizon
}
