package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// handshake opens a socket without a client library, whose memory would count
// too.
func (n *node) handshake(who person, path string) net.Conn {
	n.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(n.server.URL, "http://"))
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Token %s\r\n\r\n", path, who.token)
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 512), nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		n.t.Fatalf("handshake: %v %v", resp, err)
	}
	return conn
}

func (n *node) delivered() float64 {
	var m dto.Metric
	n.metrics.Deliveries.Write(&m)
	return m.GetCounter().GetValue()
}

// BenchmarkFanOut sends to one session with 1,000 sockets; an operation is one
// message to all of them.
func BenchmarkFanOut(b *testing.B) {
	const sockets = 1000
	c := newCluster(b)
	a := c.person("user_a", false)
	room := c.session(a)
	n := c.start("g1")
	for range sockets {
		go io.Copy(io.Discard, n.handshake(a, path(room)))
	}
	text := strings.Repeat("x", 100)
	b.ResetTimer()
	for sent := 1.0; b.Loop(); sent++ {
		c.send(a, room, text, "")
		// So far ahead of the slowest that nobody is closed.
		for sent*sockets-n.delivered() > 200*sockets {
			time.Sleep(time.Millisecond)
		}
	}
	eventually(b, "everything is delivered", func() bool { return n.delivered() >= float64(b.N)*sockets })
	b.ReportMetric(float64(b.N)*sockets/b.Elapsed().Seconds(), "deliveries/s")
}

// BenchmarkIdleSockets measures the memory of a socket that says and hears
// nothing, that of the kernel and of the client's end apart.
func BenchmarkIdleSockets(b *testing.B) {
	const sockets = 5000
	c := newCluster(b)
	a := c.person("user_a", false)
	room := c.session(a)
	n := c.start("g1")
	n.handshake(a, path(room)) // whatever is made once
	before := inUse()
	for range sockets {
		n.handshake(a, path(room))
	}
	eventually(b, "handlers have returned", func() bool { return runtime.NumGoroutine() < sockets+200 })
	used := inUse() - before
	for b.Loop() { // the measure is of memory, not of time
	}
	b.ReportMetric(float64(used)/sockets/1024, "KB/socket")
}

func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
