package kafka

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"
	"github.com/segmentio/kafka-go/sasl"
)

// maxResponseBytes is far beyond what is ever asked for.
const maxResponseBytes = 256 << 20

// maxVersionsBytes is far beyond the first answer of any broker.
const maxVersionsBytes = 1 << 20

// conn is a connection to a broker, for one goroutine at a time.
type conn struct {
	*protocol.Conn
	clientID string
	// produceVersion is the version to produce with.
	produceVersion int16
	lastID         int32
	out, in        []byte
	// broken: an exchange failed, and the next answer may be that of an earlier
	// request.
	broken bool
	// idleSince is set while the connection is in the pool.
	idleSince time.Time
}

func joinHostPort(host string, port int32) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// dial connects to a broker, with TLS and SASL.
func dial(ctx context.Context, o Options, address string) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, o.DialTimeout)
	defer cancel()
	netConn, err := o.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect to broker %s: %w", address, err)
	}
	stop := context.AfterFunc(ctx, func() { netConn.Close() })
	c, err := handshake(ctx, o, netConn, address)
	if !stop() {
		err = ctx.Err() // it has been closed, or is about to be
	}
	if err != nil {
		netConn.Close()
		return nil, handshakeError(address, err)
	}
	return c, nil
}

func handshake(ctx context.Context, o Options, netConn net.Conn, address string) (*conn, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if o.TLS != nil {
		config := o.TLS
		if config.ServerName == "" {
			config = config.Clone()
			config.ServerName = host
		}
		secured := tls.Client(netConn, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		netConn = secured
	}
	c := &conn{Conn: protocol.NewConn(netConn, o.ClientID), clientID: o.ClientID}
	if err := c.negotiate(); err != nil {
		return nil, err
	}
	if o.SASL != nil {
		mechanism, err := o.SASL.mechanism()
		if err != nil {
			return nil, err
		}
		port, err := strconv.Atoi(portText)
		if err != nil {
			return nil, fmt.Errorf("port %q: %w", portText, err)
		}
		ctx := sasl.WithMetadata(ctx, &sasl.Metadata{Host: host, Port: port})
		if err := authenticate(ctx, c, mechanism); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// negotiate learns which versions the broker offers.
func (c *conn) negotiate() error {
	if err := protocol.WriteRequest(c, 0, 0, c.clientID, &apiversions.Request{}); err != nil {
		return err
	}
	// Of what does not come from a broker, kafka-go would make a list as long
	// as its bytes say.
	if head, err := c.Peek(4); err == nil && binary.BigEndian.Uint32(head) > maxVersionsBytes {
		return fmt.Errorf("what answers there is no Kafka broker, or one that wants TLS: %w", errMalformed)
	}
	_, answer, err := protocol.ReadResponse(c, protocol.ApiVersions, 0)
	if err != nil {
		return err
	}
	offered := answer.(*apiversions.Response)
	if err := brokerError(offered.ErrorCode, ""); err != nil {
		return err
	}
	versions := map[protocol.ApiKey]int16{}
	newest := map[protocol.ApiKey]int16{}
	for _, api := range offered.ApiKeys {
		key := protocol.ApiKey(api.ApiKey)
		versions[key] = key.SelectVersion(api.MinVersion, api.MaxVersion)
		newest[key] = api.MaxVersion
	}
	for key, want := range requiredVersions {
		if got, ok := newest[key]; !ok || got < want {
			return fmt.Errorf("the broker offers %s up to version %d, want %d: Kafka 3.1 or later is needed: %w",
				key, got, want, errors.ErrUnsupported)
		}
	}
	c.produceVersion = min(newest[protocol.Produce], produceByID)
	c.SetVersions(versions)
	return nil
}

func authenticate(ctx context.Context, c *conn, mechanism sasl.Mechanism) error {
	answer, err := c.RoundTrip(&saslhandshake.Request{Mechanism: mechanism.Name()})
	if err != nil {
		return err
	}
	if err := brokerError(answer.(*saslhandshake.Response).ErrorCode, ""); err != nil {
		return err
	}
	session, state, err := mechanism.Start(ctx)
	if err != nil {
		return err
	}
	for done := false; !done; {
		answer, err := c.RoundTrip(&saslauthenticate.Request{AuthBytes: state})
		if err != nil {
			return err
		}
		challenge := answer.(*saslauthenticate.Response)
		if err := brokerError(challenge.ErrorCode, challenge.ErrorMessage); err != nil {
			return err
		}
		done, state, err = session.Next(ctx, challenge.AuthBytes)
		if err != nil {
			return fmt.Errorf("%w: %w", kafkago.SASLAuthenticationFailed, err)
		}
	}
	return nil
}

// within runs an exchange that ends with ctx or after timeout; the connection
// is broken if it fails.
func (c *conn) within(ctx context.Context, timeout time.Duration, exchange func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := c.SetDeadline(time.Now().Add(timeout))
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	if err == nil {
		err = exchange()
	}
	if !stop() && err == nil {
		// The deadline is being moved by another goroutine, so the connection
		// cannot be used again, but the exchange is complete.
		c.broken = true
	}
	if err != nil {
		c.broken = true
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return err
}

// send writes a request in a flexible version. A request that was not written
// as a whole is one that the broker does nothing about: sent tells.
func (c *conn) send(key protocol.ApiKey, version int16, body func(*encoder)) (sent bool, err error) {
	c.lastID++
	e := encoder{c.out[:0]}
	e.int32(0) // length, below
	e.int16(int16(key))
	e.int16(version)
	e.int32(c.lastID)
	e.int16(int16(len(c.clientID)))
	e.b = append(e.b, c.clientID...)
	e.tags()
	body(&e)
	binary.BigEndian.PutUint32(e.b, uint32(len(e.b)-4))
	c.out = e.b
	n, err := c.Write(e.b)
	return n == len(e.b), err
}

// receive reads the answer to the request that was sent behind others: how
// many, says later. It is valid until the next call.
func (c *conn) receive(later int32) (*decoder, error) {
	var head [8]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, err
	}
	size := int(int32(binary.BigEndian.Uint32(head[:4]))) - 4
	if id := int32(binary.BigEndian.Uint32(head[4:])); id != c.lastID-later || size < 0 || size > maxResponseBytes {
		return nil, fmt.Errorf("answer %d of %d bytes to request %d: %w", id, size, c.lastID-later, errMalformed)
	}
	if cap(c.in) < size {
		c.in = make([]byte, size)
	}
	c.in = c.in[:size]
	if _, err := io.ReadFull(c, c.in); err != nil {
		return nil, err
	}
	d := &decoder{b: c.in}
	d.tags()
	return d, nil
}

// call is one request and its answer, which is valid until the next call.
func (c *conn) call(ctx context.Context, timeout time.Duration, key protocol.ApiKey, version int16, body func(*encoder)) (d *decoder, sent bool, err error) {
	err = c.within(ctx, timeout, func() error {
		if sent, err = c.send(key, version, body); err != nil {
			return err
		}
		d, err = c.receive(0)
		return err
	})
	return d, sent, err
}

// exchange is a request of kafka-go's and its answer.
func exchange[R protocol.Message](ctx context.Context, c *conn, timeout time.Duration, request protocol.Message) (R, error) {
	var response R
	err := c.within(ctx, timeout, func() error {
		answer, err := c.RoundTrip(request)
		if err != nil {
			return err
		}
		response = answer.(R)
		return nil
	})
	return response, err
}
