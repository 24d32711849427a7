// Package doctor examines a cluster from outside, in whatever state it is, and
// says what to do about what it finds. It changes nothing.
//
// What is found out is judged by pure functions; Examine only asks. It starts
// no goroutine that outlives it, and may be called concurrently.
package doctor

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/chatcluster/chatcluster/internal/log/kafka"
	"github.com/chatcluster/chatcluster/internal/store/cassandra"
)

// Level is how bad a finding is.
type Level string

// The levels.
const (
	OK Level = "ok"
	// Warn is what works now and should not stay so.
	Warn Level = "warn"
	// Fail is what does not work, or loses data if it stays so.
	Fail Level = "FAIL"
)

// Finding is what one check has found.
type Finding struct {
	Level Level `json:"level"`
	// Name is what was examined.
	Name string `json:"name"`
	// Finding is how it is, and Advice what to do; empty if there is nothing
	// to do. Both are one line.
	Finding string `json:"finding"`
	Advice  string `json:"advice,omitempty"`
}

// Options say what to examine and how to judge it.
type Options struct {
	// Kafka and Cassandra are examined if they have brokers and hosts.
	Kafka     kafka.Options
	Cassandra cassandra.Options
	// Server and Gateway are base URLs, http(s) or ws(s); empty ones are not
	// examined.
	Server, Gateway string
	// LagWarn and LagFail are how many records of a partition may be waiting for
	// an archiver before that is a Warn or a Fail.
	LagWarn, LagFail int64
	// LagPause is the time between the two measurements of a lag.
	LagPause time.Duration
}

const (
	// examineTimeout bounds an examination, whatever hangs.
	examineTimeout = 40 * time.Second
	// askTimeout bounds one question to a backend.
	askTimeout = 3 * time.Second
)

// Examine makes all checks, within 45 seconds: what does not answer by then
// is a finding too. The findings are in the order of the path of a message.
func Examine(ctx context.Context, o Options) []Finding {
	ctx, cancel := context.WithTimeout(ctx, examineTimeout)
	defer cancel()
	o.Kafka.DialTimeout, o.Kafka.RequestTimeout = askTimeout, askTimeout
	o.Cassandra.Timeout = askTimeout

	var (
		log      logState
		store    storeState
		endpoint [2][]Finding
		group    sync.WaitGroup
	)
	if len(o.Kafka.Brokers) > 0 {
		group.Go(func() { log = examineLog(ctx, o.Kafka) })
	}
	if len(o.Cassandra.Hosts) > 0 {
		group.Go(func() { store = examineStore(ctx, o.Cassandra) })
	}
	group.Go(func() { endpoint[0] = examineEndpoint(ctx, "api", o.Server) })
	group.Go(func() { endpoint[1] = examineEndpoint(ctx, "gateway", o.Gateway) })
	group.Wait()

	findings := append(log.findings, store.findings...)
	if len(o.Kafka.Brokers) > 0 && len(o.Cassandra.Hosts) > 0 {
		findings = append(findings, examineLag(ctx, o, log, store)...)
	}
	return append(findings, append(endpoint[0], endpoint[1]...)...)
}

// Failed counts the findings that are a Fail.
func Failed(findings []Finding) int {
	n := 0
	for _, f := range findings {
		if f.Level == Fail {
			n++
		}
	}
	return n
}

// oneLine is the text of an error, which may have several lines.
func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}
