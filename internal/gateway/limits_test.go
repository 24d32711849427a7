package gateway_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	dto "github.com/prometheus/client_model/go"

	"github.com/chatcluster/chatcluster/internal/gateway"
	"github.com/chatcluster/chatcluster/internal/metrics"
)

// silentPeer shakes hands and then neither reads nor answers.
func (n *node) silentPeer(who person, path string) net.Conn {
	n.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(n.server.URL, "http://"))
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { conn.Close() })
	conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Token %s\r\n\r\n", path, who.token)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		n.t.Fatalf("handshake: %v %v", resp, err)
	}
	return conn
}

func (n *node) closed(endpoint string, why metrics.Close) float64 {
	var m dto.Metric
	n.metrics.Closed.WithLabelValues(endpoint, string(why)).Write(&m)
	return m.GetCounter().GetValue()
}

func TestHalfOpenPeerIsLost(t *testing.T) {
	c := newCluster(t)
	admin, p, other := c.person("root", true), c.person("amir", false), c.person("sara", false)
	lobby := c.room(admin, "Lobby", false)
	n := c.start("g1", func(o *gateway.Options) { o.PingInterval, o.PongTimeout = 400*time.Millisecond, 300*time.Millisecond })
	watcher := n.joinedStream(other, lobby)
	conn := n.silentPeer(p, "/chat/stream/")
	// A client's frame is masked; a mask of zeros leaves it readable.
	join := fmt.Sprintf(`{"command":"join","room":%d}`, lobby.ID)
	conn.Write(append([]byte{0x81, 0x80 | byte(len(join)), 0, 0, 0, 0}, join...))
	watcher.hears(fmt.Sprintf(`{"msg_type":4,"room":%d,"username":"amir"}`, lobby.ID))
	began := time.Now()
	watcher.hears(fmt.Sprintf(`{"msg_type":5,"room":%d,"username":"amir"}`, lobby.ID))
	soon(t, began)
	if got := n.closed(metrics.EndpointStream, metrics.CloseLost); got != 1 {
		t.Errorf("got %v sockets lost, want 1", got)
	}
}

func TestPongsKeepASocket(t *testing.T) {
	c := newCluster(t)
	a := c.person("user_a", false)
	room := c.session(a)
	n := c.start("g1", func(o *gateway.Options) { o.PingInterval, o.PongTimeout = 100*time.Millisecond, 90*time.Millisecond })
	s := n.open(a, path(room))
	pings := 0
	s.ws.SetPingHandler(func(data string) error {
		if pings++; pings == 5 {
			go c.send(a, room, "five", "")
		}
		return s.ws.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(wait))
	})
	s.hears(`{"user":` + userJSON(a) + `,"message":"five"}`)
}

// TestSlowConsumer: one who does not read is closed with its own code, and the
// others get everything.
func TestSlowConsumer(t *testing.T) {
	c := newCluster(t)
	a := c.person("user_a", false)
	room := c.session(a)
	n := c.start("g1", func(o *gateway.Options) { o.SendQueueBytes, o.WriteTimeout = 128<<10, 20*time.Second })
	slow, fast := n.silentPeer(a, path(room)), n.open(a, path(room))
	text := strings.Repeat("x", 8000)
	const messages = 1000 // more than the kernel's buffers and the queue hold
	for i := range messages {
		c.send(a, room, fmt.Sprintf("%d %s", i, text), "")
		if got := fast.next(); !strings.Contains(got, fmt.Sprintf(`"message":"%d x`, i)) {
			t.Fatalf("message %d: got %.120s", i, got)
		}
	}
	// Whoever starts to read again finds the close frame at the end.
	var last []byte
	buf := make([]byte, 64<<10)
	slow.SetReadDeadline(time.Now().Add(wait))
	for {
		k, err := slow.Read(buf)
		last = append(last, buf[:k]...)
		last = last[max(len(last)-256, 0):]
		if err != nil {
			break
		}
	}
	want := append([]byte{0x0f, 0xa8}, "slow consumer, reconnect with after"...)
	if !bytes.HasSuffix(last, want) {
		t.Errorf("got %q at the end, want the close frame 4008", last)
	}
	eventually(t, "one slow socket is counted", func() bool {
		return n.closed(metrics.EndpointSession, metrics.CloseSlow) == 1
	})
}

// TestStuckConsumer: where not even the close frame goes through, the
// connection is cut after WriteTimeout.
func TestStuckConsumer(t *testing.T) {
	c := newCluster(t)
	a := c.person("user_a", false)
	room := c.session(a)
	n := c.start("g1", func(o *gateway.Options) { o.SendQueueBytes, o.WriteTimeout = 64<<20, 300*time.Millisecond })
	n.silentPeer(a, path(room))
	text := strings.Repeat("x", 8000)
	go func() {
		for range 1500 {
			c.messages.Send(t.Context(), a.User, room, text, "")
		}
	}()
	eventually(t, "the socket is cut", func() bool { return n.closed(metrics.EndpointSession, metrics.CloseSlow) == 1 })
}

func TestBadFrames(t *testing.T) {
	c := newCluster(t)
	a := c.person("user_a", false)
	room := c.session(a)
	n := c.start("g1", func(o *gateway.Options) { o.ReadLimit = 1000 })
	for _, where := range []string{path(room), "/chat/stream/"} {
		tests := []struct {
			name  string
			write func(*websocket.Conn)
			want  int
		}{
			{"too large", func(ws *websocket.Conn) { ws.WriteMessage(websocket.TextMessage, make([]byte, 1001)) }, 1009},
			{"not UTF-8", func(ws *websocket.Conn) { ws.WriteMessage(websocket.TextMessage, []byte{'a', 0xff}) }, 1007},
			{"bad opcode", func(ws *websocket.Conn) { ws.NetConn().Write([]byte{0x83, 0x80, 0, 0, 0, 0}) }, 1002},
			{"not masked", func(ws *websocket.Conn) { ws.NetConn().Write([]byte{0x81, 0x01, 'x'}) }, 1002},
		}
		for _, tt := range tests {
			t.Run(where+" "+tt.name, func(t *testing.T) {
				s := n.open(a, where)
				s.t = t
				tt.write(s.ws)
				if got := s.ends(); got != tt.want {
					t.Errorf("got close code %d, want %d", got, tt.want)
				}
			})
		}
	}
}

func TestCloseIsAnswered(t *testing.T) {
	c := newCluster(t)
	a := c.person("user_a", false)
	s := c.start("g1").stream(a)
	s.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(3333, "bye"), time.Now().Add(wait))
	if got := s.ends(); got != 3333 {
		t.Errorf("got close code %d, want 3333", got)
	}
}

func TestDrain(t *testing.T) {
	c := newCluster(t)
	admin, a := c.person("root", true), c.person("user_a", false)
	session, lobby := c.session(a), c.room(admin, "Lobby", false)
	n := c.start("g1", func(o *gateway.Options) { o.DrainWindow = 200 * time.Millisecond })
	other := c.start("g2")
	watcher := other.joinedStream(admin, lobby)
	watch, stream := n.open(a, path(session)), n.joinedStream(a, lobby)
	watcher.hears(fmt.Sprintf(`{"msg_type":4,"room":%d,"username":"user_a"}`, lobby.ID))
	go n.stop()
	for _, s := range []*socket{watch, stream} {
		if got := s.ends(); got != 1012 {
			t.Errorf("got close code %d, want 1012", got)
		}
	}
	watcher.hears(fmt.Sprintf(`{"msg_type":5,"room":%d,"username":"user_a"}`, lobby.ID))
	eventually(t, "the lease is dropped", func() bool {
		leases, err := c.store.Leases(t.Context())
		_, held := leases["g1"]
		return err == nil && !held
	})
	rows, err := c.store.PresenceOfGateway(t.Context(), "g1")
	if err != nil || len(rows) != 1 || !rows[0].Left {
		t.Errorf("got rows %+v, %v; want one that has left", rows, err)
	}
	eventually(t, "handshakes are refused", func() bool { return n.Ready() != nil })
}
