package ctl

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/chatcluster/chatcluster/internal/client"
)

func (a *app) sessions() *cobra.Command {
	cmd := &cobra.Command{Use: "sessions", Short: "Make, list and join sessions"}
	group(cmd)
	cmd.AddCommand(a.sessionsCreate(), a.sessionsList(), a.sessionsJoin())
	return cmd
}

func (a *app) sessionsCreate() *cobra.Command {
	return &cobra.Command{
		Use:   "create",
		Short: "Make a session and print its URI",
		Args:  arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.member()
			if err != nil {
				return err
			}
			uri, err := c.CreateSession(cmd.Context())
			if err != nil {
				return fmt.Errorf("create session: %w", err)
			}
			return a.print(map[string]string{"uri": uri}, "%s", printable(uri))
		},
	}
}

func (a *app) sessionsList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List your sessions with their members",
		Args:  arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.member()
			if err != nil {
				return err
			}
			sessions, err := c.Sessions(cmd.Context())
			if err != nil {
				return fmt.Errorf("list sessions: %w", err)
			}
			if a.output == outputJSON {
				// An empty list is [], not null.
				return a.print(append([]client.Session{}, sessions...), "")
			}
			for _, s := range sessions {
				if err := a.print(s, "%s  %s", printable(s.URI), usernames(s.Members)); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (a *app) sessionsJoin() *cobra.Command {
	return &cobra.Command{
		Use:   "join URI [USERNAME]",
		Short: "Join a session, or let another user join yours",
		Args:  arguments(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, l, err := a.member()
			if err != nil {
				return err
			}
			username := l.Username
			if len(args) == 2 {
				username = args[1]
			}
			if username == "" {
				return usagef("whose token that is is not known; give your username too")
			}
			members, err := c.Join(cmd.Context(), args[0], username)
			if err != nil {
				return fmt.Errorf("join: %w", err)
			}
			return a.print(client.Session{URI: args[0], Members: members}, "%s joined; the members are %s", username, usernames(members))
		},
	}
}
