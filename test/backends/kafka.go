package backends

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/segmentio/kafka-go"
)

// kafkaClusterID is any id; the brokers of a cluster have the same.
const kafkaClusterID = "Y2hhdGNsdXN0ZXJ0ZXN0MQ"

// startKafka starts n brokers and waits until they answer.
func startKafka(ctx context.Context, n int, lines bool, settings []string) (*Cluster, error) {
	return startCluster(ctx, "kafka", func(c *Cluster, lib string) error { return c.runKafka(ctx, lib, n, lines, settings) })
}

// brokerAddrs are the listeners of a broker, as host:port.
type brokerAddrs struct {
	// clients is that of clients, and advertised what they are told of it.
	clients, advertised string
	brokers, controller string
}

func (c *Cluster) runKafka(ctx context.Context, lib string, n int, lines bool, settings []string) error {
	addrs := make([]brokerAddrs, n)
	var voters []string
	for i := range addrs {
		a := &addrs[i]
		for _, addr := range []*string{&a.clients, &a.brokers, &a.controller} {
			port, err := freePort(loopback)
			if err != nil {
				return err
			}
			*addr = hostPort(loopback, port)
		}
		voters = append(voters, fmt.Sprintf("%d@%s", i+1, a.controller))
	}
	for i, a := range addrs {
		line, err := newLine(lines, hostPort(loopback, 0), a.clients)
		if err != nil {
			return err
		}
		if a.advertised = a.clients; line != nil {
			a.advertised = line.Addr()
		}
		// It is the cluster's to stop, whatever fails from here on.
		node := &Node{Addr: a.advertised, Line: line, name: fmt.Sprintf("kafka-%d", i+1)}
		c.Nodes = append(c.Nodes, node)
		if err := node.makeBroker(ctx, c.place.dir, lib, i+1, n, a, voters, settings); err != nil {
			return err
		}
		if err := node.start(); err != nil {
			return err
		}
	}
	return c.await(ctx)
}

// makeBroker formats the storage of a broker.
func (n *Node) makeBroker(ctx context.Context, dir, lib string, id, brokers int, addrs brokerAddrs, voters, settings []string) error {
	data, config := filepath.Join(dir, n.name), filepath.Join(dir, n.name+".properties")
	lines := append([]string{
		"process.roles=broker,controller",
		fmt.Sprintf("node.id=%d", id),
		"controller.quorum.voters=" + strings.Join(voters, ","),
		fmt.Sprintf("listeners=PLAINTEXT://%s,BROKERS://%s,CONTROLLER://%s", addrs.clients, addrs.brokers, addrs.controller),
		fmt.Sprintf("advertised.listeners=PLAINTEXT://%s,BROKERS://%s", addrs.advertised, addrs.brokers),
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,BROKERS:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"inter.broker.listener.name=BROKERS",
		"controller.listener.names=CONTROLLER",
		"log.dirs=" + data,
		fmt.Sprintf("default.replication.factor=%d", min(brokers, 3)),
		fmt.Sprintf("offsets.topic.replication.factor=%d", min(brokers, 3)),
		fmt.Sprintf("transaction.state.log.replication.factor=%d", min(brokers, 3)),
		fmt.Sprintf("min.insync.replicas=%d", min(brokers, 2)),
		fmt.Sprintf("transaction.state.log.min.isr=%d", min(brokers, 2)),
		"offsets.topic.num.partitions=4",
		"group.initial.rebalance.delay.ms=0",
		"unclean.leader.election.enable=false",
		// A topic that nobody has made is an error, not a topic with settings
		// that nobody has chosen.
		"auto.create.topics.enable=false",
	}, settings...) // of two lines with one key, Java takes the later
	if err := os.WriteFile(config, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		return err
	}
	java := []string{"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.apache.logging.log4j.level=WARN", "-cp", filepath.Join(lib, "*")}
	format := exec.CommandContext(ctx, "java", append(java, "kafka.tools.StorageTool", "format", "-t", kafkaClusterID, "-c", config)...)
	if output, err := format.CombinedOutput(); err != nil {
		return fmt.Errorf("format the storage of %s: %w\n%s", n.name, err, output)
	}
	n.logPath = data + ".log"
	n.args = append(java, "kafka.Kafka", config)
	n.ready = func(ctx context.Context, nodes int) error { return brokerAnswers(ctx, addrs.clients, id, nodes) }
	return nil
}

// brokerAnswers asks the broker at addr for its metadata: it must know of so
// many brokers, itself among them.
func brokerAnswers(ctx context.Context, addr string, id, n int) error {
	conn, err := kafka.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	brokers, err := conn.Brokers()
	if err != nil {
		return err
	}
	self := slices.ContainsFunc(brokers, func(b kafka.Broker) bool { return b.ID == id })
	if len(brokers) < n || !self {
		return fmt.Errorf("it knows of the brokers %v, and has to know of %d, itself among them", brokers, n)
	}
	return nil
}
