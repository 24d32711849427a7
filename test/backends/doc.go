// Package backends gives Go tests a real Kafka and a real Cassandra without
// containers: it runs them from their published jars.
//
// Kafka and Cassandra answer the addresses that KAFKA_BROKERS and
// CASSANDRA_HOSTS name, where they are set; else the first call in a test
// process starts a single node, which lives as long as the process. To share
// nodes between the packages of one `go test` there is no supervisor that
// outlives its users: `go run ./test/backends/run go test ./...` starts both
// once, as the parent of the tests. KafkaCluster and CassandraCluster start
// nodes of their own, which a test may kill, pause and restart;
// KafkaBehindLines and CassandraBehindLines put a line before each that a test
// may break.
//
// Nothing is left behind, however a test ends: the kernel kills a node when its
// test process dies, and data directories are held by a file lock that dies
// with the process, so that a later run removes them. That takes Linux.
//
// What is missing (java, mvn) is an error of the test, which names the command
// that installs it; no test is skipped.
package backends
