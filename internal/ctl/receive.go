package ctl

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/chatcluster/chatcluster/internal/client"
)

func (a *app) receive() *cobra.Command {
	var uri, after string
	var raw bool
	cmd := &cobra.Command{
		Use:   "receive",
		Short: "Print a session's messages as they come, until interrupted",
		Long: `Print a session's messages as they come, until interrupted.

A lost connection is replaced, and goes on after the last message. With --raw
there is one plain connection, and each frame is printed with its length in
bytes before it.`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, l, err := a.client()
			if err != nil {
				return err
			}
			if l.Token == "" && uri == "" {
				return usagef("name the session with -u, or log in with: %s", a.command("login USERNAME"))
			}
			ctx := cmd.Context()
			if uri, err = session(ctx, c, uri); err != nil {
				return err
			}
			if raw {
				err = a.receiveRaw(ctx, c, uri)
			} else {
				err = a.receiveMessages(ctx, c, uri, after)
			}
			if err != nil && ctx.Err() == nil {
				return fmt.Errorf("receive: %w", err)
			}
			return nil // to be interrupted is its regular end
		},
	}
	sessionFlag(cmd, &uri)
	cmd.Flags().StringVar(&after, "after", "", "begin after the message with this id instead of now")
	cmd.Flags().BoolVar(&raw, "raw", false, "print the frames of one connection as they are")
	cmd.MarkFlagsMutuallyExclusive("after", "raw")
	return cmd
}

func (a *app) receiveRaw(ctx context.Context, c *client.Client, uri string) error {
	return c.ReceiveRaw(ctx, uri, func(frame []byte) error {
		_, err := fmt.Fprintf(a.env.Stdout, "%d %s\n", len(frame), frame)
		return err
	})
}

func (a *app) receiveMessages(ctx context.Context, c *client.Client, uri, after string) error {
	options := client.ReceiveOptions{
		After:       after,
		OnConnected: func(string) { a.note("connected to %s", uri) },
		OnRetry: func(err error, wait time.Duration) {
			a.note("no connection (%v); next try in %v", err, wait.Round(100*time.Millisecond))
		},
		OnLoss: func(loss client.Loss) {
			a.note("messages between %s and %s may be missing: the server no longer has them", loss.After, loss.Before)
		},
	}
	return c.Receive(ctx, uri, options, a.printMessage)
}
