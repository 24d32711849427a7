package backends

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// cassandraOptions are what Cassandra 5 needs of a Java 17; the lists are those
// of its own jvm17-server.options.
func cassandraOptions() []string {
	var options []string
	for _, p := range []string{
		"java.base/jdk.internal.misc", "java.base/jdk.internal.ref", "java.base/sun.nio.ch",
		"java.management.rmi/com.sun.jmx.remote.internal.rmi", "java.rmi/sun.rmi.registry", "java.rmi/sun.rmi.server",
		"java.sql/java.sql", "java.base/java.lang.ref", "jdk.unsupported/sun.misc",
	} {
		options = append(options, "--add-exports", p+"=ALL-UNNAMED")
	}
	for _, p := range []string{
		"java.base/java.lang.module", "java.base/jdk.internal.loader", "java.base/jdk.internal.ref",
		"java.base/jdk.internal.reflect", "java.base/jdk.internal.math", "java.base/jdk.internal.module",
		"java.base/jdk.internal.util.jar", "jdk.management/com.sun.management.internal", "java.base/sun.nio.ch",
		"java.base/java.io", "java.base/java.nio", "java.base/java.util.concurrent", "java.base/java.util",
		"java.base/java.util.concurrent.atomic", "java.base/java.lang", "java.base/java.math", "java.base/java.net",
	} {
		options = append(options, "--add-opens", p+"=ALL-UNNAMED")
	}
	return options
}

// startCassandra starts n nodes and waits until they answer.
func startCassandra(ctx context.Context, n int, lines bool, settings []string) (*Cluster, error) {
	return startCluster(ctx, "cassandra", func(c *Cluster, lib string) error { return c.runCassandra(ctx, lib, n, lines, settings) })
}

func (c *Cluster) runCassandra(ctx context.Context, lib string, n int, lines bool, settings []string) error {
	addresses, advertised := make([]string, n), make([]string, n)
	for i := range addresses {
		addresses[i] = fmt.Sprintf("127.0.0.%d", i+1)
		if advertised[i] = addresses[i]; lines {
			advertised[i] = fmt.Sprintf("127.0.1.%d", i+1)
		}
	}
	storagePort, err := freePort(addresses...)
	if err != nil {
		return err
	}
	// A node tells clients of the others' addresses; that the port is another
	// one it cannot tell.
	cqlPort, err := freePort(slices.Concat(addresses, advertised)...)
	if err != nil {
		return err
	}
	for i := range n {
		line, err := newLine(lines, hostPort(advertised[i], cqlPort), hostPort(addresses[i], cqlPort))
		if err != nil {
			return err
		}
		// It is the cluster's to stop, whatever fails from here on.
		node := &Node{Addr: hostPort(advertised[i], cqlPort), Line: line, name: fmt.Sprintf("cassandra-%d", i+1)}
		c.Nodes = append(c.Nodes, node)
		own := append([]string{"broadcast_rpc_address: " + advertised[i]}, settings...)
		if err := node.makeCassandra(c.place.dir, lib, i, addresses, storagePort, cqlPort, own); err != nil {
			return err
		}
	}
	// The first is the seed, which the others look for when they start.
	seed := c.Nodes[0]
	if err := seed.start(); err != nil {
		return err
	}
	if err := seed.await(ctx, 1); err != nil {
		return err
	}
	for _, node := range c.Nodes[1:] {
		if err := node.start(); err != nil {
			return err
		}
	}
	return c.await(ctx)
}

// makeCassandra writes the configuration of the node at addresses[i].
func (n *Node) makeCassandra(dir, lib string, i int, addresses []string, storagePort, cqlPort int, settings []string) error {
	data := filepath.Join(dir, n.name)
	if err := os.MkdirAll(data, 0o755); err != nil {
		return err
	}
	yaml := map[string]string{
		"cluster_name":           "test",
		"num_tokens":             "1",
		"initial_token":          tokenOf(i, len(addresses)),
		"auto_bootstrap":         "false",
		"partitioner":            "org.apache.cassandra.dht.Murmur3Partitioner",
		"data_file_directories":  "[" + filepath.Join(data, "data") + "]",
		"commitlog_directory":    filepath.Join(data, "commitlog"),
		"saved_caches_directory": filepath.Join(data, "saved_caches"),
		"hints_directory":        filepath.Join(data, "hints"),
		"cdc_raw_directory":      filepath.Join(data, "cdc_raw"),
		"commitlog_sync":         "periodic",
		"commitlog_sync_period":  "10s",
		"commitlog_segment_size": "8MiB",
		"seed_provider":          fmt.Sprintf(`[{class_name: org.apache.cassandra.locator.SimpleSeedProvider, parameters: [{seeds: "%s"}]}]`, hostPort(addresses[0], storagePort)),
		"listen_address":         addresses[i],
		"rpc_address":            addresses[i],
		"storage_port":           fmt.Sprint(storagePort),
		"native_transport_port":  fmt.Sprint(cqlPort),
		"auto_snapshot":          "false", // of what is dropped
		"endpoint_snitch":        "SimpleSnitch",
		"concurrent_compactors":  "1",
	}
	for _, line := range settings {
		key, value, _ := strings.Cut(line, ": ")
		yaml[key] = value
	}
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(yaml)) {
		fmt.Fprintf(&text, "%s: %s\n", key, yaml[key])
	}
	logback, err := files.ReadFile("cassandra/logback.xml")
	if err != nil {
		return err
	}
	err = errors.Join(
		os.WriteFile(filepath.Join(data, "cassandra.yaml"), []byte(text.String()), 0o644),
		os.WriteFile(filepath.Join(data, "logback.xml"), logback, 0o644))
	if err != nil {
		return err
	}
	args := append([]string{
		"-Xmx1g", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError",
		"-Dcassandra-foreground=yes",
		"-Dcassandra.config=file://" + filepath.Join(data, "cassandra.yaml"),
		"-Dlogback.configurationFile=" + filepath.Join(data, "logback.xml"),
		"-Dcassandra.storagedir=" + data,
		// What waits for others at the start of a node is for clusters whose
		// state is not known.
		"-Dcassandra.skip_wait_for_gossip_to_settle=0", "-Dcassandra.superuser_setup_delay_ms=0",
		fmt.Sprintf("-Dcassandra.ring_delay_ms=%d", ringDelay(len(addresses)).Milliseconds()),
	}, cassandraOptions()...)
	n.logPath = filepath.Join(dir, n.name+".log")
	n.args = append(args, "-cp", filepath.Join(lib, "*"), "org.apache.cassandra.service.CassandraDaemon")
	addr := hostPort(addresses[i], cqlPort)
	n.ready = func(ctx context.Context, nodes int) error { return nodeAnswers(ctx, addr, nodes) }
	return nil
}

// ringDelay is how long a node asks others for the state of the ring before it
// gives up: the first one then goes on alone, and the others end.
func ringDelay(nodes int) time.Duration {
	if nodes == 1 {
		return time.Millisecond
	}
	return 10 * time.Second // a busy machine may take seconds to answer
}

// tokenOf spreads n nodes evenly over the ring, from -2^63 to 2^63-1.
func tokenOf(i, n int) string {
	token := new(big.Int).Lsh(big.NewInt(int64(i)), 64)
	token.Div(token, big.NewInt(int64(n)))
	token.Sub(token, new(big.Int).Lsh(big.NewInt(1), 63))
	return token.Add(token, big.NewInt(1)).String() // the least token is reserved
}

// nodeAnswers asks the node at addr for its peers: with them and itself, it must
// know of n nodes.
func nodeAnswers(ctx context.Context, addr string, n int) error {
	cluster := gocql.NewCluster(addr)
	// This node, and no other that it knows of.
	cluster.DisableInitialHostLookup = true
	cluster.NumConns = 1
	cluster.Metadata.CacheMode = gocql.Disabled
	// The readiness of a node that asks for a password is that it asks.
	session, err := cluster.CreateSession()
	if err != nil {
		if strings.Contains(err.Error(), "authentication required") {
			return nil
		}
		return err
	}
	defer session.Close()
	known := 1
	peers := session.Query("SELECT peer FROM system.peers_v2").IterContext(ctx).Scanner()
	for peers.Next() {
		known++
	}
	if err := peers.Err(); err != nil {
		return err
	}
	if known < n {
		return fmt.Errorf("it knows of %d nodes, and there are %d", known, n)
	}
	return nil
}
