package wsconn

import (
	"net"
	"time"

	"github.com/chatcluster/chatcluster/internal/gateway/wire"
	"github.com/chatcluster/chatcluster/internal/metrics"
)

const (
	// burst is how close two frames have to be for the second to wait that
	// long for more: fan-out is bound by system calls, and a person does not
	// notice.
	burst = 5 * time.Millisecond
	// chunkBytes is how much is written at a time. A close that overtakes the
	// queue waits for one chunk.
	chunkBytes = 64 << 10
)

type entry struct {
	frame  *wire.Frame
	queued time.Time
}

// queue is what a connection has to write. All fields are guarded by Conn.mu.
type queue struct {
	// control frames go out before the rest.
	control []*wire.Frame
	entries []entry
	// bytes is the size of entries, and of those being written.
	bytes int
	// flushing is set while a flusher exists or is about to.
	flushing bool
	lastPush time.Time
	// drained is closed when bytes falls to half of the limit; nil if nobody
	// waits.
	drained chan struct{}
	// closing is the close frame to write after the queue; ended is set when
	// nothing will be written any more. why is the reason of either.
	closing *wire.Frame
	ended   bool
	why     metrics.Close
}

// Push queues a frame. One that finds the queue full closes the connection
// instead; after the close it is dropped.
func (c *Conn) Push(f *wire.Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing != nil || c.ended {
		return
	}
	if c.bytes+len(f.Bytes) > c.set.options.QueueBytes {
		c.slow(1)
		return
	}
	now := time.Now()
	c.entries = append(c.entries, entry{f, now})
	c.bytes += len(f.Bytes)
	delay := time.Duration(0)
	if now.Sub(c.lastPush) < burst {
		delay = burst
	}
	c.lastPush = now
	c.startFlusher(delay)
}

func (c *Conn) pushControl(f *wire.Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// A peer that sends pings and reads no pongs gets the latest only.
	if c.closing != nil || c.ended || len(c.control) > 1 {
		return
	}
	c.control = append(c.control, f)
	c.startFlusher(0)
}

// startFlusher makes sure that what is queued will be written. Conn.mu is held.
func (c *Conn) startFlusher(delay time.Duration) {
	switch {
	case c.flushing:
		return
	case delay > 0:
		time.AfterFunc(delay, c.flush)
	default:
		go c.flush()
	}
	c.flushing = true
}

// Close ends the connection once what is queued has been written. The first
// call counts.
func (c *Conn) Close(code int, reason string, why metrics.Close) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.close(code, reason, why)
}

func (c *Conn) close(code int, reason string, why metrics.Close) {
	if c.closing != nil || c.ended {
		return
	}
	c.closing, c.why = wire.Close(code, reason), why
	c.wakeDrained()
	c.startFlusher(0)
}

// Closing reports whether frames are still accepted.
func (c *Conn) Closing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing != nil || c.ended
}

// slow throws the queue away, and lost frames more, and closes: the client can
// resume from what it has got. Conn.mu is held.
func (c *Conn) slow(lost int) {
	c.drop(metrics.CloseSlow, lost)
	c.close(CodeSlow, slowReason, metrics.CloseSlow)
}

func (c *Conn) drop(why metrics.Close, lost int) {
	c.set.metrics.Dropped.WithLabelValues(string(why)).Add(float64(len(c.entries) + lost))
	c.entries, c.bytes = nil, 0
}

// endQueue makes sure that nothing more is queued or written. Conn.mu is held.
func (c *Conn) endQueue(why metrics.Close) {
	if c.closing == nil && !c.ended {
		c.why = why
	}
	c.ended, c.control = true, nil
	c.drop(c.why, 0)
	c.wakeDrained()
}

func (c *Conn) wakeDrained() {
	if c.drained != nil {
		close(c.drained)
		c.drained = nil
	}
}

// WaitDrained waits until at most half of the queue's size is in use, or the
// connection is closing. It ends, since a frame that gets too old closes it.
func (c *Conn) WaitDrained() {
	c.mu.Lock()
	if c.bytes <= c.set.options.QueueBytes/2 || c.closing != nil || c.ended {
		c.mu.Unlock()
		return
	}
	if c.drained == nil {
		c.drained = make(chan struct{})
	}
	drained := c.drained
	c.mu.Unlock()
	<-drained
}

// chunk is what one system call writes.
type chunk struct {
	buffers  net.Buffers
	bytes    int // of the queue; control frames do not count
	messages int
	oldest   time.Time // when the first was queued
	accepted time.Time // of the first message
	closing  bool      // the close frame is among them
}

// next takes the next chunk off the queue; false if there is nothing more to
// write.
func (c *Conn) next() (chunk, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := chunk{oldest: time.Now()}
	if c.ended {
		return ch, false
	}
	if len(c.entries) > 0 && ch.oldest.Sub(c.entries[0].queued) > c.set.options.WriteTimeout {
		c.slow(0)
	}
	for _, f := range c.control {
		ch.buffers = append(ch.buffers, f.Bytes)
	}
	c.control = nil
	taken := 0
	for _, e := range c.entries {
		if ch.bytes > 0 && ch.bytes+len(e.frame.Bytes) > chunkBytes {
			break
		}
		if taken == 0 {
			ch.oldest = e.queued
		}
		ch.buffers = append(ch.buffers, e.frame.Bytes)
		ch.bytes += len(e.frame.Bytes)
		if e.frame.Message {
			ch.messages++
			if ch.accepted.IsZero() {
				ch.accepted = e.frame.Accepted
			}
		}
		taken++
	}
	if c.entries = c.entries[taken:]; len(c.entries) == 0 {
		c.entries = nil // an idle connection holds no memory for its queue
	}
	if len(c.entries) == 0 && c.closing != nil {
		ch.buffers, ch.closing = append(ch.buffers, c.closing.Bytes), true
	}
	if len(ch.buffers) == 0 {
		c.flushing = false
		return ch, false
	}
	return ch, true
}

// flush is the flusher: it writes until the queue is empty, and ends.
func (c *Conn) flush() {
	for {
		ch, more := c.next()
		if !more {
			return
		}
		if err := c.write(ch); err != nil {
			c.writeFailed(err, ch)
			return
		}
		c.written(ch)
		if ch.closing {
			return
		}
	}
}

// write puts a chunk on the wire. Its elements are whole frames, so a pong of
// the library or another chunk cannot come between the parts of one.
func (c *Conn) write(ch chunk) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.closeSent {
		return net.ErrClosed
	}
	c.net.SetWriteDeadline(ch.oldest.Add(c.set.options.WriteTimeout))
	c.closeSent = ch.closing
	err := c.writeBuffers(ch.buffers)
	if ch.closing {
		// The peer's answer ends the reader, and so does the lack of it.
		c.net.SetReadDeadline(time.Now().Add(closeWait))
	}
	return err
}

func (c *Conn) writeBuffers(buffers net.Buffers) error {
	if _, ok := c.net.(*net.TCPConn); !ok {
		// Other kinds, such as TLS, would make one record of each frame.
		var joined []byte
		for _, b := range buffers {
			joined = append(joined, b...)
		}
		_, err := c.net.Write(joined)
		return err
	}
	_, err := buffers.WriteTo(c.net)
	return err
}

func (c *Conn) written(ch chunk) {
	m := c.set.metrics
	m.Deliveries.Add(float64(ch.messages))
	if !ch.accepted.IsZero() {
		// One observation for each system call, of its oldest message: the
		// slowest tells, and one for each message would cost as much as the
		// delivery.
		m.DeliveryLatency.Observe(time.Since(ch.accepted).Seconds())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes = max(c.bytes-ch.bytes, 0) // the queue may have been dropped meanwhile
	if c.bytes <= c.set.options.QueueBytes/2 {
		c.wakeDrained()
	}
}

// writeFailed ends the connection: where its last frame ends is not known, so
// that not even a close frame can follow.
func (c *Conn) writeFailed(err error, ch chunk) {
	why := metrics.CloseLost
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		why = metrics.CloseSlow
	}
	c.mu.Lock()
	c.endQueue(why)
	c.set.metrics.Dropped.WithLabelValues(string(c.why)).Add(float64(ch.messages))
	c.mu.Unlock()
	c.net.Close()
}

// writeClose writes the last frame at once.
func (c *Conn) writeClose(f *wire.Frame) {
	c.net.SetWriteDeadline(time.Now().Add(closeWait))
	c.writing.Lock()
	defer c.writing.Unlock()
	if !c.closeSent {
		c.closeSent = true
		c.net.Write(f.Bytes)
	}
}
