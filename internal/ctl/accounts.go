package ctl

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/chatcluster/chatcluster/internal/client"
)

func (a *app) register() *cobra.Command {
	var fromStdin bool
	var email string
	cmd := &cobra.Command{
		Use:   "register USERNAME",
		Short: "Make an account",
		Args:  arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.anonymous()
			if err != nil {
				return err
			}
			password, err := a.password(cmd.Context(), fromStdin, true)
			if err != nil {
				return err
			}
			user, err := c.Register(cmd.Context(), args[0], password, email)
			if err != nil {
				return fmt.Errorf("register: %w", err)
			}
			name := printable(user.Username)
			return a.print(user, "Registered %s. Log in with: %s", name, a.command("login "+name))
		},
	}
	cmd.Flags().StringVar(&email, "email", "", "email address of the account")
	passwordFlag(cmd, &fromStdin)
	return cmd
}

func (a *app) login() *cobra.Command {
	var fromStdin bool
	cmd := &cobra.Command{
		Use:   "login USERNAME",
		Short: "Log in and keep the token for the commands that follow",
		Args:  arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.anonymous()
			if err != nil {
				return err
			}
			password, err := a.password(cmd.Context(), fromStdin, false)
			if err != nil {
				return err
			}
			token, err := c.Login(cmd.Context(), args[0], password)
			if err != nil {
				return fmt.Errorf("log in: %w", err)
			}
			l := login{Server: c.Server(), Username: args[0], Token: token}
			if err := l.save(a.env.ConfigDir); err != nil {
				return err
			}
			return a.printLogin(l, "Logged in to %s as %s.", l.Server, l.Username)
		},
	}
	passwordFlag(cmd, &fromStdin)
	return cmd
}

func (a *app) logout() *cobra.Command {
	return &cobra.Command{
		Use:   "logout",
		Short: "End the log-in and forget its token",
		Args:  arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, l, err := a.client()
			if err != nil {
				return err
			}
			if l.Token == "" {
				return a.printLogin(l, "You are not logged in to %s.", l.Server)
			}
			// A token that is dead already needs no end, only to be forgotten.
			if err := c.Logout(cmd.Context()); err != nil && !errors.Is(err, client.ErrUnauthenticated) {
				return fmt.Errorf("log out: %w", err)
			}
			kept, err := loadLogin(a.env.ConfigDir, l.Server)
			if err != nil {
				return err
			}
			if kept.Token == l.Token {
				if err := l.forget(a.env.ConfigDir); err != nil {
					return err
				}
			}
			return a.printLogin(l, "Logged out of %s.", l.Server)
		},
	}
}

// printLogin prints a log-in without its token, which does not belong on
// screens and in logs.
func (a *app) printLogin(l login, format string, args ...any) error {
	return a.print(map[string]string{"server": l.Server, "username": l.Username}, format, args...)
}
