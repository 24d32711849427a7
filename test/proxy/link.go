package proxy

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// link is one client's connection with its counterpart to the server.
type link struct {
	proxy  *Proxy
	ctx    context.Context // ends with the link; it is no caller's
	cancel context.CancelFunc
	client net.Conn

	// lost says which ways have lost something; proxy.mu guards it.
	lost [2]bool
}

// chunk is bytes on their way; none say that the sender has sent all.
type chunk struct {
	bytes []byte
	due   time.Time
	rate  int
}

func newLink(p *Proxy, client net.Conn) *link {
	l := &link{proxy: p, client: client}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// end resets both connections.
func (l *link) end() { l.cancel() }

// run forwards until both ends have sent all, one fails, or the link is ended.
func (l *link) run(target string) {
	var resets sync.WaitGroup
	defer resets.Wait()
	defer l.cancel()
	resetAtEnd := func(conn net.Conn) {
		resets.Go(func() {
			<-l.ctx.Done()
			reset(conn)
		})
	}
	resetAtEnd(l.client)
	if lost, _, _ := l.proxy.pass(l, requests); lost {
		// Half-open from the start: nobody hears of the client.
		l.swallow(l.client)
		<-l.ctx.Done()
		return
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	server, err := dialer.DialContext(l.ctx, "tcp", target)
	if err != nil {
		return
	}
	resetAtEnd(server)
	var ways sync.WaitGroup
	ways.Go(func() { l.forward(requests, l.client, server) })
	ways.Go(func() { l.forward(answers, server, l.client) })
	ways.Wait()
	if l.ctx.Err() == nil {
		// All has been sent: closed like this, it arrives too.
		_, _ = l.client.Close(), server.Close()
	}
}

// forward forwards one way.
func (l *link) forward(way direction, from, to net.Conn) {
	queue := make(chan chunk, queued)
	var writer sync.WaitGroup
	writer.Go(func() { l.write(queue, to) })
	defer writer.Wait()
	defer close(queue)
	for {
		buf := make([]byte, chunkBytes)
		n, err := from.Read(buf)
		lost, delay, rate := l.proxy.pass(l, way)
		if lost {
			// An end's failure is lost as well: the other one hears nothing.
			if err == nil {
				l.swallow(from)
			}
			<-l.ctx.Done()
			return
		}
		if err != nil && err != io.EOF {
			l.cancel()
			return
		}
		c := chunk{bytes: buf[:n], due: time.Now().Add(delay), rate: rate}
		select {
		case queue <- c:
		case <-l.ctx.Done():
			return
		}
		if err == io.EOF {
			if n > 0 {
				queue <- chunk{due: c.due} // the writer empties the queue
			}
			return
		}
	}
}

// swallow reads until nothing more comes.
func (l *link) swallow(from net.Conn) {
	_, _ = io.Copy(io.Discard, from) // how it ends is lost too
}

// write writes each chunk when it is due. It takes all of the queue, also after
// the link has ended.
func (l *link) write(queue <-chan chunk, to net.Conn) {
	for c := range queue {
		if !l.sleep(time.Until(c.due)) {
			continue
		}
		if len(c.bytes) == 0 {
			if half, ok := to.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
				l.cancel()
			}
			continue
		}
		if _, err := to.Write(c.bytes); err != nil {
			l.cancel()
			continue
		}
		if c.rate > 0 {
			l.sleep(time.Duration(len(c.bytes)) * time.Second / time.Duration(c.rate))
		}
	}
}

// sleep reports whether the link still lives after a while.
func (l *link) sleep(d time.Duration) bool {
	if d <= 0 {
		return l.ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.ctx.Done():
		return false
	}
}
