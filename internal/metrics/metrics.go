// Package metrics holds every series that the server exports, so that their
// names and labels stand in one place. Label values are known in advance and
// set to zero at the start, so that rates work from the first event on; no
// label carries a user, a room or an address.
package metrics

import (
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Endpoints of the gateway, the values of the label "endpoint".
const (
	EndpointSession = "session"
	EndpointStream  = "stream"
)

// Close is why a socket ended, the value of the label "reason".
type Close string

// The reasons why a socket ends.
const (
	CloseClient   Close = "client"  // the client closed it
	CloseLost     Close = "lost"    // the connection broke or went silent
	CloseSlow     Close = "slow"    // the client did not keep up
	CloseRevoked  Close = "revoked" // its token died, or its member was removed
	CloseTooLarge Close = "too_large"
	CloseProtocol Close = "protocol" // it broke the WebSocket protocol
	CloseDrain    Close = "drain"    // the server is going away
	CloseShed     Close = "shed"     // it was asked to go to another gateway
	CloseLog      Close = "log"      // the log lost what the socket needs
)

// Refusals, the values of the label "reason" of refused messages.
const (
	RefusedInvalid     = "invalid"
	RefusedForbidden   = "forbidden"
	RefusedRate        = "rate"
	RefusedUnavailable = "unavailable"
	RefusedUnknown     = "outcome_unknown"
	RefusedNoSpace     = "no_space"
)

// Resume results.
const (
	ResumeRing    = "ring"    // served from the gateway's memory
	ResumeHistory = "history" // served from the log and the store
	ResumeLost    = "lost"    // answered recovered:false
)

// Metrics are the server's series.
type Metrics struct {
	Registry *prometheus.Registry

	Connections     *prometheus.GaugeVec   // endpoint
	Opened          *prometheus.CounterVec // endpoint
	Closed          *prometheus.CounterVec // endpoint, reason
	Deliveries      prometheus.Counter
	Dropped         *prometheus.CounterVec // reason
	Resumes         *prometheus.CounterVec // result
	DeliveryLatency prometheus.Histogram

	Accepted        prometheus.Counter
	Refused         *prometheus.CounterVec // reason
	AppendDuration  prometheus.Histogram
	RequestDuration *prometheus.HistogramVec // route, method, code

	Archived          prometheus.Counter
	ForeignRecords    prometheus.Counter
	ArchiveLag        prometheus.Gauge
	ArchivePartitions prometheus.Gauge

	DependencyUp *prometheus.GaugeVec // dependency
	// Lookups are those of accounts, rooms and memberships that memory did not
	// answer, or was not sure of any more.
	Lookups *prometheus.CounterVec // kind
}

// latencyBuckets reach from 100 µs to 10 s.
var latencyBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// New returns the series in a registry of their own, with those of the Go
// runtime and the process. version is that of the build.
func New(version string) *Metrics {
	m := &Metrics{
		Registry: prometheus.NewRegistry(),
		Connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "chat_gateway_connections", Help: "Open sockets.",
		}, []string{"endpoint"}),
		Opened: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chat_gateway_opened_total", Help: "Sockets opened.",
		}, []string{"endpoint"}),
		Closed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chat_gateway_closed_total", Help: "Sockets ended, by reason.",
		}, []string{"endpoint", "reason"}),
		Deliveries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "chat_gateway_deliveries_total", Help: "Messages written to sockets.",
		}),
		Dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chat_gateway_dropped_total", Help: "Frames that were queued for a socket and never written, by the reason why it ended.",
		}, []string{"reason"}),
		Resumes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chat_gateway_resumes_total", Help: "Resumes, by where the missed messages came from.",
		}, []string{"result"}),
		DeliveryLatency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "chat_delivery_latency_seconds", Help: "From the acceptance of a message to its write to a socket.",
			Buckets: latencyBuckets,
		}),
		Accepted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "chat_messages_accepted_total", Help: "Messages acknowledged to their senders.",
		}),
		Refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chat_messages_refused_total", Help: "Messages not acknowledged, by reason.",
		}, []string{"reason"}),
		AppendDuration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "chat_append_duration_seconds", Help: "Time of an append to the log until it is acknowledged.",
			Buckets: latencyBuckets,
		}),
		RequestDuration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "chat_http_request_duration_seconds", Help: "Time of an API request.",
			Buckets: latencyBuckets,
		}, []string{"route", "method", "code"}),
		Archived: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "chat_archive_messages_total", Help: "Messages written from the log to the store.",
		}),
		ForeignRecords: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "chat_archive_foreign_records_total", Help: "Log records that are not events and were skipped.",
		}),
		DependencyUp: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "chat_dependency_up", Help: "1 if Kafka or Cassandra answered the last check, else 0.",
		}, []string{"dependency"}),
		Lookups: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chat_store_lookups_total", Help: "Tokens, users, rooms and members that the store was asked for.",
		}, []string{"kind"}),
		ArchiveLag: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "chat_archive_lag_messages", Help: "Log records that are not archived yet, of the partitions that this process archives.",
		}),
		ArchivePartitions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "chat_archive_partitions", Help: "Partitions that this process archives.",
		}),
	}
	buildInfo := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "chat_build_info", Help: "Always 1; the labels tell the build.",
		ConstLabels: prometheus.Labels{"version": version, "revision": revision(), "goversion": runtime.Version()},
	})
	buildInfo.Set(1)
	m.Registry.MustRegister(
		m.Connections, m.Opened, m.Closed, m.Deliveries, m.Dropped, m.Resumes, m.DeliveryLatency,
		m.Accepted, m.Refused, m.AppendDuration, m.RequestDuration,
		m.Archived, m.ForeignRecords, m.ArchiveLag, m.ArchivePartitions, m.DependencyUp, m.Lookups, buildInfo,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.preset()
	return m
}

func (m *Metrics) preset() {
	reasons := []Close{CloseClient, CloseLost, CloseSlow, CloseRevoked, CloseTooLarge, CloseProtocol, CloseDrain, CloseShed, CloseLog}
	for _, endpoint := range []string{EndpointSession, EndpointStream} {
		m.Connections.WithLabelValues(endpoint)
		m.Opened.WithLabelValues(endpoint)
		for _, reason := range reasons {
			m.Closed.WithLabelValues(endpoint, string(reason))
		}
	}
	for _, reason := range reasons {
		m.Dropped.WithLabelValues(string(reason))
	}
	for _, result := range []string{ResumeRing, ResumeHistory, ResumeLost} {
		m.Resumes.WithLabelValues(result)
	}
	for _, reason := range []string{RefusedInvalid, RefusedForbidden, RefusedRate, RefusedUnavailable, RefusedUnknown, RefusedNoSpace} {
		m.Refused.WithLabelValues(reason)
	}
}

func revision() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}
