package ctl

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/chatcluster/chatcluster/internal/client"
)

func (a *app) check() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Send a message as a new user, and see it arrive",
		Long: `Send a message as a new user, and see it arrive.

It makes a user and a session, connects to the gateway, sends a message, and
sees it arrive there and in the history. Each step is printed when it is done.
The user and the session remain, since nothing deletes users; nobody knows the
user's password.`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if timeout <= 0 {
				return usagef("--timeout must be positive")
			}
			c, err := a.anonymous()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeoutCause(cmd.Context(), timeout, fmt.Errorf("not done after %v", timeout))
			defer cancel()
			err = a.checkMessage(ctx, c)
			if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
				return fmt.Errorf("%w (%w)", err, cause)
			}
			return err
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long it may take")
	return cmd
}

// passed is a step of check that succeeded.
type passed struct {
	Step    string `json:"step"`
	Finding string `json:"finding"`
}

func (a *app) passed(step, format string, args ...any) error {
	p := passed{step, printable(fmt.Sprintf(format, args...))}
	return a.print(p, "ok    %-7s  %s", p.Step, p.Finding)
}

func (a *app) checkMessage(ctx context.Context, c *client.Client) error {
	username, password := "check-"+strings.ToLower(client.NewKey()), client.NewKey()
	if _, err := c.Register(ctx, username, password, ""); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	token, err := c.Login(ctx, username, password)
	if err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	c = c.WithToken(token)
	if err := a.passed("account", "%s is made and logged in at %s", username, c.Server()); err != nil {
		return err
	}

	uri, err := c.CreateSession(ctx)
	if err != nil {
		return fmt.Errorf("make a session: %w", err)
	}
	if err := a.passed("session", "%s is made", uri); err != nil {
		return err
	}

	sent, err := a.checkDelivery(ctx, c, uri)
	if err != nil {
		return err
	}

	page, err := c.History(ctx, uri, client.Page{Limit: 1})
	if err != nil {
		return fmt.Errorf("read the history: %w", err)
	}
	if len(page.Messages) != 1 || page.Messages[0].ID != sent.ID {
		return fmt.Errorf("the history does not end with the message %s", sent.ID)
	}
	if err := a.passed("history", "the message is in the history"); err != nil {
		return err
	}
	if err := c.Logout(ctx); err != nil {
		return fmt.Errorf("log out: %w", err)
	}
	return nil
}

// errArrived ends the receiving.
var errArrived = errors.New("arrived")

// checkDelivery sends a message once the gateway delivers, and waits until it
// comes.
func (a *app) checkDelivery(ctx context.Context, c *client.Client, uri string) (client.Message, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var sent client.Message
	options := client.ReceiveOptions{
		// Whatever comes meanwhile waits on the connection, or for a resume.
		OnConnected: func(string) {
			if sent.ID != "" {
				return
			}
			var err error
			if err = a.passed("gateway", "connected to the session"); err == nil {
				sent, err = a.checkSend(ctx, c, uri)
			}
			if err != nil {
				stop(err)
			}
		},
		OnRetry: func(err error, wait time.Duration) {
			a.note("no connection (%v); next try in %v", err, wait.Round(100*time.Millisecond))
		},
	}
	err := c.Receive(ctx, uri, options, func(m client.Message) error {
		if m.ID == sent.ID {
			return errArrived
		}
		return nil
	})
	if !errors.Is(err, errArrived) {
		return sent, fmt.Errorf("receive: %w", err)
	}
	return sent, a.passed("receive", "the message came by the WebSocket")
}

func (a *app) checkSend(ctx context.Context, c *client.Client, uri string) (client.Message, error) {
	sent, err := c.Send(ctx, uri, "Is anybody there?", client.NewKey())
	if err != nil {
		return sent, fmt.Errorf("send: %w", err)
	}
	return sent, a.passed("send", "the server took the message %s", sent.ID)
}
