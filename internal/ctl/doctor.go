package ctl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/chatcluster/chatcluster/internal/config"
	"github.com/chatcluster/chatcluster/internal/connect"
	"github.com/chatcluster/chatcluster/internal/doctor"
)

const (
	// lagWarn is seconds of a busy partition's messages.
	lagWarn = 1000
	// lagFail is about where history answers 503, which is at a number of bytes.
	lagFail = 50_000
	// lagPause is long enough for an idle archiver to move.
	lagPause = 2 * time.Second
)

func (a *app) doctor() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Examine a cluster and say what to do",
		Long: `Examine a cluster from outside and say what to do. Nothing is changed.

Kafka and Cassandra are those of chatd's own settings: flags, CHATD_* variables
or --config. The API and a gateway are examined where --server and --gateway,
or their variables, name them. With a failed check the exit code is 1.`,
		Args: arguments(cobra.NoArgs),
	}
	flags := cmd.Flags()
	c := config.Default()
	config.Bind(flags, &c)
	hideForeign(flags)
	o := doctor.Options{LagPause: lagPause}
	flags.Int64Var(&o.LagWarn, "lag-warn", lagWarn, "records of a partition that may wait for an archiver before that is a warning")
	flags.Int64Var(&o.LagFail, "lag-fail", lagFail, "records of a partition that may wait for an archiver before that is a failure")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := config.Load(flags, &c, a.env.Environ); err != nil {
			return &usageError{fmt.Errorf("bad configuration:\n%w", err)}
		}
		if min(o.LagWarn, o.LagFail) < 1 {
			return usagef("--lag-warn and --lag-fail must be at least 1")
		}
		if _, err := a.anonymous(); err != nil {
			return err // a bad URL
		}
		o.Server = cmp.Or(a.flags.Server, a.env.Getenv(serverVariable))
		o.Gateway = cmp.Or(a.flags.Gateway, a.env.Getenv(gatewayVariable))
		if !c.Cluster() && o.Server == "" && o.Gateway == "" {
			return usagef("there is nothing to examine: set kafka-brokers and cassandra-hosts as for chatd, or --server, or --gateway")
		}
		// What the drivers log is in the findings.
		var err error
		if o.Kafka, o.Cassandra, err = connect.Options(c, "chatctl-doctor", slog.New(slog.DiscardHandler)); err != nil {
			return err
		}
		return a.examine(cmd.Context(), o)
	}
	return cmd
}

// hideForeign hides the settings of chatd that say nothing about its backends.
func hideForeign(flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) {
		backend := strings.HasPrefix(f.Name, "kafka-") || strings.HasPrefix(f.Name, "cassandra-")
		f.Hidden = !backend && f.Name != "config"
	})
}

// errExamined: the output says what is wrong.
var errExamined = errors.New("checks failed")

func (a *app) examine(ctx context.Context, o doctor.Options) error {
	findings := doctor.Examine(ctx, o)
	if err := ctx.Err(); err != nil {
		return err // and no findings about the cluster
	}
	if err := a.printFindings(findings); err != nil {
		return err
	}
	if n := doctor.Failed(findings); n > 0 {
		return fmt.Errorf("%d of %d %w", n, len(findings), errExamined)
	}
	return nil
}

func (a *app) printFindings(findings []doctor.Finding) error {
	if a.output == outputJSON {
		return a.print(findings, "")
	}
	width := 0
	for _, f := range findings {
		width = max(width, utf8.RuneCountInString(printable(f.Name)))
	}
	for _, f := range findings {
		line := fmt.Sprintf("%-4s  %-*s  %s", f.Level, width, printable(f.Name), printable(f.Finding))
		if f.Advice != "" {
			line += "  → " + printable(f.Advice)
		}
		if err := a.print(f, "%s", line); err != nil {
			return err
		}
	}
	return nil
}
