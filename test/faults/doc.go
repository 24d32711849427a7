// Package faults breaks a cluster on purpose: two API replicas, two gateways
// and two archivers over three brokers and three Cassandra nodes. Processes are
// killed and paused, come and go, and have their clocks set; the lines between
// chatd and the backends, and between clients and chatd, are cut, slowed,
// half-open and lose answers: at random and in pairs, under load, while what the
// clients saw is checked against every promise.
//
// The schedule follows from a seed, so that a run can be repeated. The run
// itself has the build tag faults: it takes minutes and most of a machine.
package faults
