// Package faults breaks a cluster on purpose: two API replicas, two gateways
// and two archivers over three brokers and three Cassandra nodes, which are
// killed and paused, at random and in pairs, under load, while what the clients
// saw is checked against every promise.
//
// The schedule follows from a seed, so that a run can be repeated. The run
// itself has the build tag faults: it takes minutes and most of a machine.
package faults
