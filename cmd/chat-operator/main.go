// Command chat-operator runs ChatClusters on Kubernetes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/chatcluster/chatcluster/operator"
	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command(os.Stdout, os.Stderr).ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "chat-operator:", err)
		os.Exit(1)
	}
}

func command(out, errOut io.Writer) *cobra.Command {
	var (
		o                   operator.Options
		logLevel, logFormat string
	)
	root := &cobra.Command{
		Use: "chat-operator", Short: "Run ChatClusters on Kubernetes", Version: version,
		Args: cobra.NoArgs, SilenceErrors: true, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.Logger, err = newLogger(errOut, logLevel, logFormat); err != nil {
				return err
			}
			if o.LeaderElect && o.Namespace == "" {
				return errors.New("--leader-elect needs --operator-namespace, where the lease is kept")
			}
			if o.Config, err = ctrl.GetConfig(); err != nil {
				return fmt.Errorf("find the API server: %w", err)
			}
			return operator.Run(cmd.Context(), o)
		},
	}
	root.SetOut(out)
	fs := root.Flags()
	fs.StringSliceVar(&o.WatchNamespaces, "watch-namespaces", nil, "namespaces to look for ChatClusters in; all if empty")
	fs.BoolVar(&o.LeaderElect, "leader-elect", false, "have one of several operators act at a time")
	fs.StringVar(&o.MetricsAddr, "metrics-bind-address", ":8080", "address of /metrics; 0 for none")
	fs.StringVar(&o.HealthAddr, "health-probe-bind-address", ":8081", "address of /healthz and /readyz; 0 for none")
	fs.StringVar(&o.Namespace, "operator-namespace", os.Getenv("POD_NAMESPACE"), "namespace that the operator runs in")
	fs.StringVar(&logLevel, "log-level", "info", "debug, info, warn or error")
	fs.StringVar(&logFormat, "log-format", "json", "json or text")
	return root
}

func newLogger(out io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level: %w", err)
	}
	options := &slog.HandlerOptions{Level: l}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(out, options)), nil
	case "text":
		return slog.New(slog.NewTextHandler(out, options)), nil
	default:
		return nil, fmt.Errorf("--log-format must be json or text, not %q", format)
	}
}
