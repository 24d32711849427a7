package resources

import (
	"fmt"
	"strconv"
	"time"

	"github.com/chatcluster/chatcluster/internal/config"
)

// reportFile is where the kubelet reads a container's last words.
const reportFile = "/dev/termination-log"

// flag is a setting of one part alone.
type flag struct{ name, value string }

// flags are the settings of a part that are not in the shared file.
func flags(in Inputs, part Part) []flag {
	listen := func(name string, port int32) flag { return flag{name, fmt.Sprintf(":%d", port)} }
	s := in.Cluster.Spec
	switch part {
	case PartAPI:
		api := append([]flag{listen("api-addr", PortAPI), listen("metrics-addr", PortMetrics)}, socketFlags(in)...)
		if n := cacheEntries(in); n != 0 {
			api = append(api, flag{"cache-entries", decimal(n)})
		}
		return api
	case PartGateway:
		return append([]flag{listen("gateway-addr", PortGateway), listen("metrics-addr", PortMetrics)}, socketFlags(in)...)
	case PartArchiver:
		return []flag{listen("metrics-addr", PortMetrics)}
	case PartMigrate:
		return []flag{
			{"kafka-partitions", decimal(s.Kafka.Partitions)},
			{"kafka-replication-factor", decimal(s.Kafka.ReplicationFactor)},
			{"kafka-min-insync-replicas", decimal(s.Kafka.MinInsyncReplicas)},
			{"kafka-retention", (time.Duration(s.Kafka.RetentionHours) * time.Hour).String()},
			{"cassandra-replication", replication(in)},
		}
	default:
		return nil
	}
}

// socketFlags are the same for API and gateways: both hold sockets.
func socketFlags(in Inputs) []flag {
	g := in.Cluster.Spec.Gateway
	delay, window := drain(in)
	return []flag{
		{"drain-delay", delay.String()},
		{"drain-window", window.String()},
		{"max-sockets", decimal(g.MaxSockets)},
		{"send-queue-bytes", decimal(g.SendQueueBytes)},
		{"ring-bytes", decimal(g.RingBytes)},
	}
}

// replication is the keyspace's, as CQL has it.
func replication(in Inputs) string {
	c := in.Cluster.Spec.Cassandra
	if c.Datacenter == "" {
		return fmt.Sprintf("{'class': 'SimpleStrategy', 'replication_factor': %d}", c.ReplicationFactor)
	}
	return fmt.Sprintf("{'class': 'NetworkTopologyStrategy', '%s': %d}", c.Datacenter, c.ReplicationFactor)
}

// cacheEntries is 0 where chatd needs no telling: it is its default, and images and
// CRDs from before there was this setting do not know it.
func cacheEntries(in Inputs) int32 {
	n := in.Cluster.Spec.API.CacheEntries
	if int(n) == config.Default().CacheEntries {
		return 0
	}
	return n
}

func decimal(n int32) string { return strconv.FormatInt(int64(n), 10) }

// commands are the sub-commands of chatd.
var commands = map[Part]string{
	PartAPI: "api", PartGateway: "gateway", PartArchiver: "archive", PartMigrate: "migrate", PartCleaner: "clean",
}

// args are the arguments of a part's container.
func args(in Inputs, part Part) []string {
	a := []string{commands[part], "--config=" + configDir + "/" + configFile}
	for _, f := range flags(in, part) {
		a = append(a, "--"+f.name+"="+f.value)
	}
	if part == PartCleaner {
		a = append(a, "-d", decimal(olderThanDays(in)), "--report-file", reportFile)
	}
	return a
}

func olderThanDays(in Inputs) int32 {
	if days := in.Cluster.Spec.Retention.Cleaner.OlderThanDays; days != nil {
		return *days
	}
	return 30
}

// gracePeriod is how long a pod of the part may take to stop: chatd itself says
// how long that is, with the settings that it is given.
func gracePeriod(in Inputs, part Part) time.Duration {
	c := config.Default()
	if hasSockets(part) {
		c.DrainDelay, c.DrainWindow = drain(in)
	}
	return c.StopWithin()
}

// drain is how long everything is still served after a stop has begun, and over
// how long the sockets are closed then.
func drain(in Inputs) (delay, window time.Duration) {
	d := in.Cluster.Spec.Gateway.Drain
	seconds := int32(5)
	if d.DelaySeconds != nil {
		seconds = *d.DelaySeconds
	}
	return time.Duration(seconds) * time.Second, time.Duration(d.WindowSeconds) * time.Second
}
