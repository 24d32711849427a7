package resources

import "time"

// Validate reports what chatd would refuse of the settings that the Inputs give.
func Validate(in Inputs) error {
	c := settings(in)
	s := in.Cluster.Spec
	c.Kafka.Partitions, c.Kafka.ReplicationFactor = s.Kafka.Partitions, int(s.Kafka.ReplicationFactor)
	c.Kafka.MinInsync, c.Kafka.Retention = int(s.Kafka.MinInsyncReplicas), time.Duration(s.Kafka.RetentionHours)*time.Hour
	g := s.Gateway
	c.MaxSockets, c.SendQueueBytes, c.RingBytes = int(g.MaxSockets), int(g.SendQueueBytes), int(g.RingBytes)
	if n := cacheEntries(in); n != 0 {
		c.CacheEntries = int(n)
	}
	c.DrainDelay, c.DrainWindow = drain(in)
	// The user may be in the Secret: it reaches chatd by a variable then.
	if s.Kafka.SASL != nil && c.Kafka.Username == "" {
		c.Kafka.Username = s.Kafka.SASL.Credentials.UsernameKey
	}
	if s.Cassandra.Credentials != nil && c.Cassandra.Username == "" {
		c.Cassandra.Username = s.Cassandra.Credentials.UsernameKey
	}
	return c.Validate()
}
