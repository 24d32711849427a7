package backends

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/chatcluster/chatcluster/test/proxy"
)

// Node is one broker or Cassandra node of a cluster. Its methods end the test
// on an error. They are for one goroutine at a time.
type Node struct {
	// Addr is where clients reach it, as host:port. It stays the same when the
	// node is restarted.
	Addr string
	// Line is between Addr and the node, where the cluster was started behind
	// lines, else nil. The nodes talk to each other past it.
	Line *proxy.Proxy

	name    string
	args    []string
	logPath string
	// ready asks the node itself whether it answers and knows of so many
	// nodes, itself among them.
	ready   func(ctx context.Context, nodes int) error
	process *process
}

// Cluster is a set of nodes that belong together.
type Cluster struct {
	Nodes []*Node
	place *place
}

// startCluster gets the product's jars and a place, and runs a cluster there; what it
// has started is stopped where that fails.
func startCluster(ctx context.Context, product string, run func(c *Cluster, lib string) error) (*Cluster, error) {
	lib, err := jars(ctx, product)
	if err != nil {
		return nil, err
	}
	place, err := newPlace()
	if err != nil {
		return nil, err
	}
	c := &Cluster{place: place}
	if err := run(c, lib); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

// Addrs are the addresses of all nodes.
func (c *Cluster) Addrs() []string {
	addrs := make([]string, len(c.Nodes))
	for i, n := range c.Nodes {
		addrs[i] = n.Addr
	}
	return addrs
}

// await waits until every node answers and knows of all others. That one has
// ended is noticed at once: the others would wait for it in vain.
func (c *Cluster) await(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, n := range c.Nodes {
		group.Go(func() error { return n.await(ctx, len(c.Nodes)) })
	}
	return group.Wait()
}

// stop kills all nodes and removes their data.
func (c *Cluster) stop() error {
	var errs []error
	for _, n := range c.Nodes {
		if n.process != nil {
			errs = append(errs, n.process.kill())
		}
		if n.Line != nil {
			errs = append(errs, n.Line.Close())
		}
	}
	return errors.Join(append(errs, c.place.remove())...)
}

func (n *Node) start() (err error) {
	if n.process, err = start(n.logPath, n.args); err != nil {
		return fmt.Errorf("%s: %w", n.name, err)
	}
	return nil
}

func (n *Node) await(ctx context.Context, nodes int) error {
	ready := func(ctx context.Context) error { return n.ready(ctx, nodes) }
	if err := n.process.await(ctx, ready); err != nil {
		return fmt.Errorf("%s: %w", n.name, err)
	}
	return nil
}

// Kill ends the node at once, as a crash does (SIGKILL). Its data stays.
func (n *Node) Kill(t testing.TB) {
	t.Helper()
	n.must(t, "kill", n.process.kill())
}

// Pause stops the node's process without ending it (SIGSTOP): its connections
// stay open, and nothing answers.
func (n *Node) Pause(t testing.TB) {
	t.Helper()
	n.must(t, "pause", n.process.signal(syscall.SIGSTOP))
}

// Resume lets a paused node go on (SIGCONT).
func (n *Node) Resume(t testing.TB) {
	t.Helper()
	n.must(t, "resume", n.process.signal(syscall.SIGCONT))
}

// Restart kills the node, if it runs, starts it again on its data, and waits
// until it answers. It does not wait for the others, which may be down as well.
func (n *Node) Restart(t testing.TB) {
	t.Helper()
	n.Kill(t)
	n.must(t, "restart", n.start())
	n.must(t, "restart", n.await(t.Context(), 1))
}

func (n *Node) must(t testing.TB, act string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s %s: %v", act, n.name, err)
	}
}
