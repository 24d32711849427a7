// Command chatd is the chat server.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/chatcluster/chatcluster/internal/config"
	"github.com/spf13/cobra"

	// What a system without files lacks, as the image is one.
	_ "time/tzdata"

	_ "golang.org/x/crypto/x509roots/fallback"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks, the second one ends the process at once.
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr})
	if err != nil {
		fmt.Fprintln(os.Stderr, "chatd:", err)
		os.Exit(exitCode(err))
	}
}

// streams are a process's standard streams.
type streams struct {
	in       *os.File
	out, err io.Writer
}

// usageError is a call that cannot be understood; its exit code is 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func exitCode(err error) int {
	if errors.As(err, &usageError{}) {
		return 2
	}
	return 1
}

func run(ctx context.Context, args []string, s streams) error {
	root := rootCommand(s)
	root.SetArgs(args)
	root.SetOut(s.out)
	root.SetErr(s.err)
	return root.ExecuteContext(ctx)
}

func rootCommand(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:           "chatd",
		Short:         "A chat server that starts as one process and grows into a cluster",
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w (see chatd --help)", err)}
	})
	// Without a sub-command the server runs, so the root takes its flags too.
	bindStandalone(root, s)
	standalone := &cobra.Command{Use: "standalone", Short: "Run the whole server in this process (the default)", Args: cobra.NoArgs}
	bindStandalone(standalone, s)
	root.AddCommand(standalone, cleanCommand(s), superuserCommand(s), versionCommand(s))
	root.AddCommand(clusterCommands(s)...)
	return root
}

func bindStandalone(cmd *cobra.Command, s streams) {
	configure := bindConfig(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := configure()
		if err != nil {
			return err
		}
		return runStandalone(cmd.Context(), c, s)
	}
}

// bindConfig adds the settings to the command's flags and returns what loads
// them once the flags are parsed.
func bindConfig(cmd *cobra.Command) func() (config.Config, error) {
	c := config.Default()
	fs := cmd.Flags()
	config.Bind(fs, &c)
	return func() (config.Config, error) {
		if err := config.Load(fs, &c, os.Environ()); err != nil {
			return config.Config{}, usageError{fmt.Errorf("bad configuration:\n%w", err)}
		}
		return c, nil
	}
}

func versionCommand(s streams) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(s.out, "chatd", version)
			return err
		},
	}
}
