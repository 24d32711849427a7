package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/chatcluster/chatcluster/internal/archive"
	"github.com/chatcluster/chatcluster/internal/config"
	"github.com/chatcluster/chatcluster/internal/lifecycle"
	"github.com/chatcluster/chatcluster/internal/readiness"
	"github.com/spf13/cobra"
)

// roleCommand is a role of a cluster.
func roleCommand(use, short string, s streams, run func(context.Context, config.Config, streams) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short + " (needs kafka-brokers and cassandra-hosts)", Args: cobra.NoArgs}
	configure := bindConfig(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := configure()
		if err != nil {
			return err
		}
		if !c.Cluster() {
			return usageError{fmt.Errorf("%s is a role of a cluster: set kafka-brokers and cassandra-hosts", use)}
		}
		return run(cmd.Context(), c, s)
	}
	return cmd
}

func clusterCommands(s streams) []*cobra.Command {
	return []*cobra.Command{
		roleCommand("api", "Serve the API, the pages and the socket of many rooms", s, runAPI),
		roleCommand("gateway", "Serve sockets", s, runGateway),
		roleCommand("archive", "Move messages from Kafka to Cassandra", s, runArchive),
		roleCommand("migrate", "Make the topics and the schema, or bring them up to date", s, runMigrate),
	}
}

func runMigrate(ctx context.Context, c config.Config, s streams) error {
	if err := migrate(ctx, c, newLogger(c, s.err)); err != nil {
		return err
	}
	_, err := fmt.Fprintln(s.out, "Topics and schema are up to date.")
	return err
}

// runRole opens the role's listeners and the cluster, waiting for its backends,
// and runs the role's parts until ctx ends.
func runRole(ctx context.Context, c config.Config, s streams, fetchLinger time.Duration, role func(*cluster, listeners, func()) [][]lifecycle.Part) error {
	l, err := listen(c)
	if err != nil {
		return err
	}
	k, err := awaitCluster(ctx, c, fetchLinger, newLogger(c, s.err), l)
	switch {
	case ctx.Err() != nil && k == nil:
		return l.close() // told to stop while it waited
	case err != nil:
		return errors.Join(err, l.close())
	}
	return stopWithin(ctx, c.StopWithin(), func() error {
		err := lifecycle.Run(ctx, role(k, l, func() { k.greet(l, "Kafka and Cassandra", s.out) })...)
		return errors.Join(err, k.close())
	})
}

// runAPI serves /chat/stream/ too, which is on the page's own host.
func runAPI(ctx context.Context, c config.Config, s streams) error {
	c.GatewayAddr = ""
	return runRole(ctx, c, s, 0, func(k *cluster, l listeners, ready func()) [][]lifecycle.Part {
		return k.frontStages(l, ready, func(f *frontends) lifecycle.Part { return k.serve("api", l.api, f.front()) })
	})
}

func runGateway(ctx context.Context, c config.Config, s streams) error {
	c.APIAddr = ""
	return runRole(ctx, c, s, 0, func(k *cluster, l listeners, ready func()) [][]lifecycle.Part {
		return k.frontStages(l, ready, func(f *frontends) lifecycle.Part { return k.serve("gateway address", l.gateway, f.delivery()) })
	})
}

// frontStages are the parts of a role that clients reach by one entrance.
func (k *cluster) frontStages(l listeners, ready func(), entrance func(*frontends) lifecycle.Part) [][]lifecycle.Part {
	watch := k.watchBackends(true)
	f := k.newFrontends(processName(), watch.Checks)
	foundation := append(k.observe(l, f.inside()), lifecycle.Part{Name: "watch", Run: watch.Run})
	return append(f.stages(ready, entrance(f)), foundation)
}

func runArchive(ctx context.Context, c config.Config, s streams) error {
	c.APIAddr, c.GatewayAddr = "", ""
	return runRole(ctx, c, s, archive.Linger, func(k *cluster, l listeners, ready func()) [][]lifecycle.Part {
		ready()
		watch := k.watchBackends(false)
		archiver := lifecycle.Part{Name: "archiver", Run: func(ctx context.Context) error {
			return k.kafka.Assignments(ctx, c.Kafka.ArchiverGroup, k.archiver.ArchivePartition)
		}}
		readyz := readiness.Handler(func() readiness.Report { return readiness.Judge(ctx.Err() != nil, watch.Checks()) })
		return [][]lifecycle.Part{{archiver}, append(k.observe(l, map[string]http.Handler{"/readyz": readyz}), lifecycle.Part{Name: "watch", Run: watch.Run})}
	})
}
