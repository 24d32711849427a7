package backends

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/segmentio/kafka-go"
)

// kafkaClusterID is any id; the brokers of a cluster have the same.
const kafkaClusterID = "Y2hhdGNsdXN0ZXJ0ZXN0MQ"

// startKafka starts n brokers and waits until they answer.
func startKafka(ctx context.Context, n int, settings []string) (*Cluster, error) {
	return startCluster(ctx, "kafka", func(c *Cluster, lib string) error { return c.runKafka(ctx, lib, n, settings) })
}

func (c *Cluster) runKafka(ctx context.Context, lib string, n int, settings []string) error {
	const address = "127.0.0.1"
	var voters []string
	ports := make([]int, 2*n) // a broker's and a controller's for each node
	for i := range ports {
		var err error
		if ports[i], err = freePort(address); err != nil {
			return err
		}
		if i >= n {
			voters = append(voters, fmt.Sprintf("%d@%s", i-n+1, hostPort(address, ports[i])))
		}
	}
	for i := range n {
		node, err := newBroker(ctx, c.place.dir, lib, i+1, n, hostPort(address, ports[i]), hostPort(address, ports[n+i]), voters, settings)
		if err != nil {
			return err
		}
		if err := node.start(); err != nil {
			return err
		}
		c.Nodes = append(c.Nodes, node)
	}
	return c.await(ctx)
}

// newBroker formats the storage of a broker.
func newBroker(ctx context.Context, dir, lib string, id, n int, addr, controllerAddr string, voters, settings []string) (*Node, error) {
	name := fmt.Sprintf("kafka-%d", id)
	data, config := filepath.Join(dir, name), filepath.Join(dir, name+".properties")
	lines := append([]string{
		"process.roles=broker,controller",
		fmt.Sprintf("node.id=%d", id),
		"controller.quorum.voters=" + strings.Join(voters, ","),
		fmt.Sprintf("listeners=PLAINTEXT://%s,CONTROLLER://%s", addr, controllerAddr),
		"controller.listener.names=CONTROLLER",
		"log.dirs=" + data,
		fmt.Sprintf("default.replication.factor=%d", min(n, 3)),
		fmt.Sprintf("offsets.topic.replication.factor=%d", min(n, 3)),
		fmt.Sprintf("transaction.state.log.replication.factor=%d", min(n, 3)),
		fmt.Sprintf("min.insync.replicas=%d", min(n, 2)),
		fmt.Sprintf("transaction.state.log.min.isr=%d", min(n, 2)),
		"offsets.topic.num.partitions=4",
		"group.initial.rebalance.delay.ms=0",
		"unclean.leader.election.enable=false",
		// A topic that nobody has made is an error, not a topic with settings
		// that nobody has chosen.
		"auto.create.topics.enable=false",
	}, settings...) // of two lines with one key, Java takes the later
	if err := os.WriteFile(config, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		return nil, err
	}
	java := []string{"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.apache.logging.log4j.level=WARN", "-cp", filepath.Join(lib, "*")}
	format := exec.CommandContext(ctx, "java", append(java, "kafka.tools.StorageTool", "format", "-t", kafkaClusterID, "-c", config)...)
	if output, err := format.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("format the storage of %s: %w\n%s", name, err, output)
	}
	return &Node{
		Addr: addr, name: name, logPath: data + ".log",
		args:  append(java, "kafka.Kafka", config),
		ready: func(ctx context.Context) error { return brokerAnswers(ctx, addr, n) },
	}, nil
}

// brokerAnswers asks the broker for its metadata, until it knows of all n
// brokers.
func brokerAnswers(ctx context.Context, addr string, n int) error {
	conn, err := kafka.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	brokers, err := conn.Brokers()
	if err != nil {
		return err
	}
	if len(brokers) < n {
		return fmt.Errorf("it knows of %d brokers, and there are %d", len(brokers), n)
	}
	return nil
}
