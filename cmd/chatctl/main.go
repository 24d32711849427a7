// Chatctl uses a chat server from the command line.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/chatcluster/chatcluster/internal/ctl"

	// What a system without files lacks, as the image is one.
	_ "time/tzdata"

	_ "golang.org/x/crypto/x509roots/fallback"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "chatctl:", err)
		os.Exit(ctl.ExitCode(err))
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// Whoever interrupts a second time does not want to wait for a clean end.
	context.AfterFunc(ctx, stop)
	config, err := os.UserConfigDir()
	if err != nil {
		return err
	}
	return ctl.Run(ctx, os.Args[1:], ctl.Env{
		Stdin:        os.Stdin,
		Stdout:       os.Stdout,
		Stderr:       os.Stderr,
		Getenv:       os.Getenv,
		Environ:      os.Environ(),
		ConfigDir:    filepath.Join(config, "chatctl"),
		ReadPassword: ctl.TerminalPassword(os.Stdin, os.Stderr),
	})
}
