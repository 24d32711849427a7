package controller

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/chatcluster/chatcluster/operator/internal/resources"
)

const (
	// reachedFor and unreachedFor are how long an answer, or none, is believed.
	reachedFor   = 30 * time.Second
	unreachedFor = 5 * time.Second
	dialTimeout  = 2 * time.Second
)

// reachability is what was found last about the backends.
type reachability struct {
	at          time.Time
	of          string
	unreachable string
}

// Dial is Options.Reach by TCP.
func Dial(ctx context.Context, addr string) error {
	d := net.Dialer{Timeout: dialTimeout}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return conn.Close()
}

// reachBackends looks whether Kafka and Cassandra answer at all. Whether they
// take the credentials is what the migration and the pods find out.
func (p *pass) reachBackends(ctx context.Context) {
	kafka, cassandra := p.cluster.Spec.Kafka.Brokers, cassandraAddrs(p.cluster.Spec.Cassandra.Hosts)
	of := strings.Join(kafka, ",") + ";" + strings.Join(cassandra, ",")
	last := p.state.reached
	age := p.observed.Now.Sub(last.at)
	if last.of == of && ((last.unreachable == "" && age < reachedFor) || (last.unreachable != "" && age < unreachedFor)) {
		p.observed.Unreachable = last.unreachable
		return
	}
	for _, backend := range []struct {
		name  string
		addrs []string
	}{{"Kafka", kafka}, {"Cassandra", cassandra}} {
		if err := p.reachAny(ctx, backend.addrs); err != nil {
			p.observed.Unreachable = backend.name + " does not answer: " + steady(err)
			break
		}
	}
	p.state.reached = reachability{at: p.observed.Now, of: of, unreachable: p.observed.Unreachable}
}

// reachAny is nil if one of the addresses answers; else it says what is wrong
// with the first.
func (p *pass) reachAny(ctx context.Context, addrs []string) error {
	var first error
	for _, addr := range addrs {
		err := p.options.Reach(ctx, addr)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// steady is an error's text without what differs from try to try, such as the
// local port and the resolver's: the status is written only when it changes.
func steady(err error) string {
	var op *net.OpError
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return "no such host: " + dns.Name
	case errors.As(err, &op) && op.Addr != nil:
		return op.Addr.String() + ": " + op.Err.Error()
	default:
		return err.Error()
	}
}

func cassandraAddrs(hosts []string) []string {
	addrs := make([]string, 0, len(hosts))
	for _, host := range hosts {
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(host, strconv.Itoa(resources.CassandraPort))
		}
		addrs = append(addrs, host)
	}
	return addrs
}
