package main

import (
	"log/slog"
	"time"

	"github.com/chatcluster/chatcluster/internal/archive"
	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/clean"
	"github.com/chatcluster/chatcluster/internal/config"
	"github.com/chatcluster/chatcluster/internal/metrics"
	"github.com/chatcluster/chatcluster/internal/store/cached"
)

// core is what every role of the server stands on: the two ports and the
// services over them. Nothing of it runs by itself.
type core struct {
	config   config.Config
	logger   *slog.Logger
	metrics  *metrics.Metrics
	log      chat.Log
	store    *cached.Store
	accounts *chat.Accounts
	rooms    *chat.Rooms
	messages *chat.Messages
	archiver *archive.Archiver
	cleaner  *clean.Cleaner
}

const (
	// maxLag is how many bytes of the log a history read goes through at most.
	maxLag = 16 << 20
	// cutoffHeard is how long a gateway may take to hear of the cleaner's cutoff:
	// the way of a signal through the log, many times over.
	cutoffHeard = 2 * time.Second
	// commitLogPeriod is how much a crash of all nodes of Cassandra loses.
	commitLogPeriod = 10 * time.Second
	// minMessageTTL is the shortest retention that a session may choose.
	minMessageTTL = time.Minute
)

// newCore returns a core over a log and a store, of which it remembers answers as
// memory says: how long they are believed.
func newCore(c config.Config, logger *slog.Logger, log chat.Log, under chat.Store, memory cached.Options) *core {
	m := metrics.New(version)
	memory.Entries, memory.Now = c.CacheEntries, time.Now
	memory.Asked = func(kind string) { m.Lookups.WithLabelValues(kind).Inc() }
	store := cached.New(under, memory)
	k := &core{config: c, logger: logger, metrics: m, log: log, store: store}
	publisher := chat.NewPublisher(log)
	k.accounts = chat.NewAccounts(store, publisher, chat.AccountsOptions{
		TokenTTL:         c.TokenTTL,
		LoginsPerAccount: perMinute(c.AccountLogins),
		LoginsPerAddress: perMinute(c.AddressLogins),
		Now:              time.Now,
	})
	access, _ := chat.ParseAccess(c.SessionAccess) // the configuration was validated
	limits := chat.Limits{MessageBytes: c.MaxMessageBytes, MinTTL: minMessageTTL, MaxTTL: c.MessageTTL}
	k.rooms = chat.NewRooms(store, k.accounts, publisher, chat.RoomsOptions{
		SessionAccess: access, Limits: limits, Now: time.Now,
	})
	k.messages = chat.NewMessages(log, store, k.rooms, publisher, chat.MessagesOptions{
		TTL: c.MessageTTL, Limits: limits, SendRate: chat.Rate{PerSecond: c.SendRate, Burst: c.SendBurst},
		MaxLag: maxLag, Now: time.Now,
	})
	// It asks the store itself: it has nothing else to turn to, and all the time.
	k.archiver = archive.New(log, under, archive.Options{Metrics: k.metrics, Logger: logger, Now: time.Now, LossWindow: lossWindow(c)})
	k.cleaner = clean.New(store, publisher, cutoffSettles(c), time.Now)
	return k
}

// lossWindow is how much the archiver writes again after a failure of the
// store: three periods of Cassandra's commit log, since a failure may be noticed
// late. The embedded store loses rows and watermark together.
func lossWindow(c config.Config) time.Duration {
	if !c.Cluster() {
		return 0
	}
	return 3 * commitLogPeriod
}

// cutoffSettles is how long it takes until a cutoff holds for good. The embedded
// store keeps it as soon as it has it.
func cutoffSettles(c config.Config) time.Duration {
	if !c.Cluster() {
		return cutoffHeard
	}
	return commitLogPeriod + cutoffHeard
}

func perMinute(n int) chat.Rate { return chat.Rate{PerSecond: float64(n) / 60, Burst: n} }
