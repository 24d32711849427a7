package client

import (
	"net/url"
	"testing"
	"time"
)

// Delay is what a socket waits after failure number n in a row.
func Delay(n int, asked time.Duration, random float64) time.Duration {
	return socketBackoff.delay(n, asked, random)
}

// RetryableClose is what follows a close code.
func RetryableClose(code int) bool { return retryableClose(code) }

// ParseLinks reads Link headers.
func ParseLinks(headers []string) map[string]*url.URL { return parseLinks(headers) }

// DecodeFrame reads a frame into a description of it.
func DecodeFrame(data []byte) (kind, position, prev string, m Message, err error) {
	f, err := decodeFrame(data)
	names := map[frameKind]string{
		frameOther: "other", framePosition: "position", frameRecovered: "recovered", frameLost: "lost", frameMessage: "message",
		frameReconnect: "reconnect",
	}
	return names[f.kind], f.position, f.prev, f.message, err
}

// GatewayOf is where a client of the server receives.
func GatewayOf(t *testing.T, server string) string {
	t.Helper()
	c, err := New(Options{Server: server})
	if err != nil {
		t.Fatal(err)
	}
	return c.gateway.String()
}
