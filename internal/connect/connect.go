// Package connect makes of the configuration what the adapters of a cluster
// need to reach Kafka and Cassandra, for every command that takes it.
package connect

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/chatcluster/chatcluster/internal/config"
	"github.com/chatcluster/chatcluster/internal/log/kafka"
	"github.com/chatcluster/chatcluster/internal/store/cassandra"
)

// Options say how to reach Kafka and Cassandra; clientID names this process in
// the brokers' logs. Kafka's lack Epochs. An error is a file that cannot be
// used: a certificate, a key or a password.
func Options(c config.Config, clientID string, logger *slog.Logger) (kafka.Options, cassandra.Options, error) {
	log, logErr := kafkaOptions(c.Kafka, clientID, logger)
	store, storeErr := cassandraOptions(c.Cassandra, logger)
	return log, store, errors.Join(logErr, storeErr)
}

func kafkaOptions(k config.Kafka, clientID string, logger *slog.Logger) (kafka.Options, error) {
	tls, tlsErr := k.TLS().Config()
	password, secretErr := k.Secret()
	if err := errors.Join(tlsErr, secretErr); err != nil {
		return kafka.Options{}, fmt.Errorf("settings of Kafka: %w", err)
	}
	o := kafka.Options{Brokers: k.Brokers, TopicPrefix: k.TopicPrefix, TLS: tls, ClientID: clientID, Logger: logger}
	if k.Mechanism != "" {
		o.SASL = &kafka.SASL{Mechanism: k.Mechanism, Username: k.Username, Password: password}
	}
	return o, nil
}

func cassandraOptions(c config.Cassandra, logger *slog.Logger) (cassandra.Options, error) {
	tls, tlsErr := c.TLS().Config()
	password, secretErr := c.Secret()
	if err := errors.Join(tlsErr, secretErr); err != nil {
		return cassandra.Options{}, fmt.Errorf("settings of Cassandra: %w", err)
	}
	return cassandra.Options{
		Hosts: c.Hosts, Keyspace: c.Keyspace, Replication: c.Replication,
		DC: c.Datacenter, Username: c.Username, Password: password,
		TLS: tls, Timeout: c.Timeout, Logger: logger,
	}, nil
}
