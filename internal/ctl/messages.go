package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chatcluster/chatcluster/internal/client"
)

// maxTextInput bounds the text that send reads, in bytes; the server's own
// bound is lower.
const maxTextInput = 16 << 20

func (a *app) send() *cobra.Command {
	var uri, key string
	cmd := &cobra.Command{
		Use:   "send TEXT|-",
		Short: "Send a message; - takes the text from standard input",
		Args:  arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.member()
			if err != nil {
				return err
			}
			text, err := a.text(args)
			if err != nil {
				return err
			}
			if uri, err = session(cmd.Context(), c, uri); err != nil {
				return err
			}
			if key == "" {
				key = client.NewKey()
			}
			sent, err := c.Send(cmd.Context(), uri, text, key)
			if err != nil {
				return fmt.Errorf("send: %w", a.settle(err, key))
			}
			return a.printMessage(sent)
		},
	}
	sessionFlag(cmd, &uri)
	cmd.Flags().StringVar(&key, "key", "", "idempotency key: the server keeps one message for each (default: a new one)")
	return cmd
}

// text is what to send: the arguments, as echo joins them, or standard input.
func (a *app) text(args []string) (string, error) {
	if len(args) > 1 || args[0] != "-" {
		return strings.Join(args, " "), nil
	}
	data, err := io.ReadAll(io.LimitReader(a.env.Stdin, maxTextInput))
	if err != nil {
		return "", fmt.Errorf("read text: %w", err)
	}
	return strings.TrimSuffix(string(data), "\n"), nil
}

// settle adds how to find out about a message that may or may not have been
// sent.
func (a *app) settle(err error, key string) error {
	refused, ok := errors.AsType[*client.Error](err)
	if ok && refused.Status < 500 {
		return err
	}
	return fmt.Errorf("%w\nthe message may have been sent; send it again with --key %s, and there is one of it", err, key)
}

func (a *app) history() *cobra.Command {
	var uri string
	var all bool
	var page client.Page
	cmd := &cobra.Command{
		Use:   "history",
		Short: "Print a session's messages, oldest first",
		Args:  arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if page.Limit < 1 {
				return usagef("--limit is at least 1")
			}
			c, _, err := a.member()
			if err != nil {
				return err
			}
			if uri, err = session(cmd.Context(), c, uri); err != nil {
				return err
			}
			if err := a.printHistory(cmd.Context(), c, uri, page, all); err != nil {
				return fmt.Errorf("read history: %w", err)
			}
			return nil
		},
	}
	sessionFlag(cmd, &uri)
	cmd.Flags().IntVarP(&page.Limit, "limit", "n", 100, "print at most so many messages")
	cmd.Flags().BoolVar(&all, "all", false, "print all messages, however many")
	cmd.Flags().StringVar(&page.After, "after", "", "print the messages after the one with this id, beginning with the oldest of them")
	cmd.Flags().StringVar(&page.Before, "before", "", "print the messages before the one with this id")
	cmd.MarkFlagsMutuallyExclusive("all", "limit")
	cmd.MarkFlagsMutuallyExclusive("after", "before")
	return cmd
}

func (a *app) printHistory(ctx context.Context, c *client.Client, uri string, page client.Page, all bool) error {
	var newestFirst []client.Message
	messages := c.Backward(ctx, uri, page.Before)
	if page.After != "" {
		messages = c.Forward(ctx, uri, page.After)
	}
	n := 0
	for m, err := range messages {
		if err != nil {
			return err
		}
		if page.After == "" {
			newestFirst = append(newestFirst, m)
		} else if err := a.printMessage(m); err != nil {
			return err
		}
		if n++; n == page.Limit && !all {
			break
		}
	}
	for _, m := range slices.Backward(newestFirst) {
		if err := a.printMessage(m); err != nil {
			return err
		}
	}
	return nil
}
