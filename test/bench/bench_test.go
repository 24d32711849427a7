package bench_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/test/chatdtest"
	"github.com/gorilla/websocket"
)

// rounds is how often two things that are compared take turns.
const rounds = 3

// BenchmarkSend measures acknowledged messages, each synced to the disk, with
// the archiver running, against raw group-committed appends of as many bytes.
func BenchmarkSend(b *testing.B) {
	for _, senders := range []int{1, 64, 1000} {
		b.Run(name("senders", senders), func(b *testing.B) {
			for b.Loop() {
				r := newRig(b, b.TempDir())
				room := r.session(b)
				finish := r.archiving(b)
				raw := newRawLog(b)
				value := chat.AppendEvent(nil, chat.Event{
					Kind: chat.EventMessage, Sender: r.user.Profile, Text: text, TTL: time.Hour, Accepted: time.Now(),
				})
				var ratios []float64
				var sends, floor result
				for range rounds {
					floor = measure(b, senders, func() error { return raw.append(value) })
					sends = measure(b, senders, func() error {
						_, err := r.messages.Send(b.Context(), r.user, room, text, "")
						return err
					})
					ratios = append(ratios, sends.perSecond/floor.perSecond)
				}
				finish()
				r.close(b)
				b.ReportMetric(sends.perSecond, "msgs/s")
				b.ReportMetric(milliseconds(sends.p50), "p50-ms")
				b.ReportMetric(milliseconds(sends.p99), "p99-ms")
				b.ReportMetric(floor.perSecond, "raw/s")
				b.ReportMetric(median(ratios), "of-raw")
			}
		})
	}
}

// BenchmarkSendHTTP measures the same through the API of a running server.
func BenchmarkSendHTTP(b *testing.B) {
	for _, senders := range []int{1, 64} {
		b.Run(name("senders", senders), func(b *testing.B) {
			for b.Loop() {
				s := chatdtest.Start(b, b.TempDir(), "--send-rate=0")
				c := chatdtest.Register(b, s, "amir")
				uri := c.CreateSession(b)
				form := url.Values{"message": {text}}
				sends := measure(b, senders, func() error {
					answer, err := c.Call(b.Context(), http.MethodPost, "/api/chats/"+uri+"/messages/", form)
					if err == nil && answer.Status != http.StatusOK {
						err = fmt.Errorf("%d %s", answer.Status, answer.Body)
					}
					return err
				})
				s.Stop(b)
				b.ReportMetric(sends.perSecond, "msgs/s")
				b.ReportMetric(milliseconds(sends.p50), "p50-ms")
				b.ReportMetric(milliseconds(sends.p99), "p99-ms")
			}
		})
	}
}

// BenchmarkHistory measures pages of 50 messages from anywhere in a room that
// holds many, against a room that holds a thousand, and then how long the
// server takes to start with them.
func BenchmarkHistory(b *testing.B) {
	for b.Loop() {
		dir := b.TempDir()
		r := newRig(b, dir)
		small, large := r.session(b), r.session(b)
		finish := r.archiving(b)
		r.fill(b, small, 1000)
		r.fill(b, large, *stored)
		finish()
		var ratios []float64
		var pages result
		for range rounds {
			floor := measure(b, 1, r.pages(b, small, 1000))
			pages = measure(b, 1, r.pages(b, large, *stored))
			ratios = append(ratios, float64(pages.p99)/float64(floor.p99))
		}
		b.ReportMetric(pages.perSecond, "pages/s")
		b.ReportMetric(milliseconds(pages.p50), "p50-ms")
		b.ReportMetric(milliseconds(pages.p99), "p99-ms")
		b.ReportMetric(median(ratios), "p99-of-small-room")
		r.close(b)

		start := time.Now()
		s := chatdtest.Start(b, dir)
		b.ReportMetric(milliseconds(time.Since(start)), "start-ms")
		s.Stop(b)
	}
}

// pages reads pages that lie all over the room.
func (r *rig) pages(b *testing.B, room chat.Room, messages int) func() error {
	b.Helper()
	newest, err := r.messages.History(b.Context(), room, chat.Page{Limit: 1})
	if err != nil {
		b.Fatal(err)
	}
	last := newest.Messages[0].ID
	n := 0
	return func() error {
		before := last
		before.Offset -= int64(n * 7919 % (messages - 50))
		n++
		page, err := r.messages.History(b.Context(), room, chat.Page{Before: before, Limit: 50})
		if err == nil && len(page.Messages) != 50 {
			err = fmt.Errorf("a page has %d messages, want 50", len(page.Messages))
		}
		return err
	}
}

// BenchmarkIdleSockets measures the memory of sockets that wait for messages.
func BenchmarkIdleSockets(b *testing.B) {
	const sockets = 10_000
	for b.Loop() {
		s := chatdtest.Start(b, b.TempDir())
		c := chatdtest.Register(b, s, "amir")
		uri := c.CreateSession(b)
		header := http.Header{"Authorization": {"Token " + c.Token}}
		dialer := websocket.Dialer{ReadBufferSize: 256, WriteBufferSize: 256}
		before := residentKB(b, s.PID())
		conns := make([]*websocket.Conn, 0, sockets)
		for range sockets {
			conn, _, err := dialer.DialContext(b.Context(), "ws://"+s.Gateway+"/"+uri, header)
			if err != nil {
				b.Fatal(err)
			}
			conns = append(conns, conn)
		}
		time.Sleep(3 * time.Second) // what the handshakes left goes to the collector
		b.ReportMetric((residentKB(b, s.PID())-before)/sockets, "KB/socket")
		for _, conn := range conns {
			conn.Close()
		}
		s.Stop(b)
	}
}

// residentKB is the resident memory of a process.
func residentKB(b *testing.B, pid int) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); fields[0] == "VmRSS:" {
			kb, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb
		}
	}
	b.Fatal("no VmRSS")
	return 0
}
