package benchcluster_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/chatcluster/chatcluster/test/backends"
	"github.com/chatcluster/chatcluster/test/chatdtest"
)

// dial opens the socket of a session. query may be empty.
func dial(ctx context.Context, gateway, uri, query, token string) (*websocket.Conn, error) {
	dialer := websocket.Dialer{ReadBufferSize: 512, WriteBufferSize: 256}
	conn, _, err := dialer.DialContext(ctx, "ws://"+gateway+"/"+uri+query, http.Header{"Authorization": {"Token " + token}})
	return conn, err
}

// post sends a message by the API.
func post(ctx context.Context, c *chatdtest.Client, uri, text string) error {
	answer, err := c.Call(ctx, http.MethodPost, "/api/chats/"+uri+"/messages/", url.Values{"message": {text}})
	if err == nil && answer.Status != http.StatusOK {
		err = fmt.Errorf("send: %d %s", answer.Status, answer.Body)
	}
	return err
}

// BenchmarkDelivery measures from before a POST until sockets at two gateways
// have the message, one message at a time, against a bare produce until a fetch
// that waits for it has returned it.
func BenchmarkDelivery(b *testing.B) {
	c := chatdtest.StartCluster(b, "--send-rate=0")
	c.AddGateway()
	sender := chatdtest.Register(b, c.Server(0), "amir")
	uri := sender.CreateSession(b)
	arrivals := make(chan time.Time, 16)
	for _, g := range c.Gateways {
		conn, err := dial(b.Context(), g.Gateway, uri, "", sender.Token)
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		go func() {
			for {
				if _, _, err := conn.ReadMessage(); err != nil {
					return // the end of the benchmark closes it
				}
				arrivals <- time.Now()
			}
		}()
	}
	bare := newBareLog(b, backends.Kafka(b), 1)
	offset, err := bare.end(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	fetched := make(chan time.Time, 16)
	ctx, cancel := context.WithCancel(b.Context())
	followed := make(chan error, 1)
	go func() { followed <- bare.follow(ctx, offset, fetched) }()

	postOne := func() error { return post(b.Context(), sender, uri, text) }
	produceOne := func() error { return bare.produce(b.Context(), 0, 1) }
	deliver := func() times { return oneByOne(b, arrivals, len(c.Gateways), postOne) }
	produce := func() times { return oneByOne(b, fetched, 1, produceOne) }
	for b.Loop() {
		// Connects, fills the caches, and has the backends compile what is used.
		for range 1000 {
			arrive(b, fetched, 1, produceOne)
			arrive(b, arrivals, len(c.Gateways), postOne)
		}
		var all, allFloor times
		var added []float64
		for range rounds {
			var deliveries, floor times
			for range shortTurns {
				floor = append(floor, produce()...)
				deliveries = append(deliveries, deliver()...)
			}
			added = append(added, deliveries.percentile(50)-floor.percentile(50))
			all, allFloor = append(all, deliveries...), append(allFloor, floor...)
		}
		all.report(b, "")
		allFloor.report(b, "bare-")
		b.ReportMetric(median(added), "p50-added-ms")
	}
	cancel()
	if err := <-followed; err != nil {
		b.Error(err)
	}
}

// apart is the time between two messages. A gateway holds back a message that
// follows another one within 5 ms, to write them to the socket together; what
// is measured here is one that stands alone.
const apart = 20 * time.Millisecond

// oneByOne sends for a short turn, each time when the last one has arrived as
// often as it should, and returns how long each arrival took.
func oneByOne(b *testing.B, arrivals <-chan time.Time, copies int, send func() error) times {
	b.Helper()
	var took times
	tick := time.NewTicker(apart)
	defer tick.Stop()
	for start := time.Now(); time.Since(start) < *window/shortTurns; {
		<-tick.C
		took = append(took, arrive(b, arrivals, copies, send)...)
	}
	return took
}

// arrive sends, and returns how long each arrival took.
func arrive(b *testing.B, arrivals <-chan time.Time, copies int, send func() error) times {
	b.Helper()
	var took times
	lost := time.After(5 * time.Second)
	began := time.Now()
	if err := send(); err != nil {
		b.Fatal(err)
	}
	for range copies {
		select {
		case arrived := <-arrivals:
			took = append(took, arrived.Sub(began))
		case <-lost:
			b.Fatal("a message did not arrive within 5 s")
		}
	}
	return took
}
