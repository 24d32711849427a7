package ctl

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chatcluster/chatcluster/internal/client"
)

// The variables that stand in for flags.
const (
	serverVariable  = "CHATCTL_SERVER"
	gatewayVariable = "CHATCTL_GATEWAY"
	tokenVariable   = "CHATCTL_TOKEN"
)

// The forms of output.
const (
	outputText = "text"
	outputJSON = "json"
)

// Env is what the commands know of the process that they run in.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Getenv reads an environment variable.
	Getenv func(string) string
	// Environ are all of them, as os.Environ has them: for chatd's settings.
	Environ []string
	// ConfigDir is the folder for the tokens of log-ins; it need not exist.
	ConfigDir string
	// ReadPassword asks the user for a password.
	ReadPassword func(ctx context.Context, prompt string) (string, error)
}

// Run runs the command of args, without the program's name, until it is done
// or ctx ends. The error is fit for the user's eyes; ExitCode tells how it
// ends the process.
func Run(ctx context.Context, args []string, env Env) error {
	a := &app{env: env}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	if err := root.ExecuteContext(ctx); err != nil {
		return a.explain(ctx, err)
	}
	return nil
}

// app is one run: its environment and the flags of all commands.
type app struct {
	env    Env
	flags  client.Options // Server, Gateway and Token
	output string
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "chatctl",
		Short: "Use a chat server from the command line",
		Long: `chatctl uses a chat server from the command line.

  chatctl register user_a && chatctl login user_a
  chatctl sessions create
  chatctl send -u 040213b14a02451 'Hello!'
  chatctl receive -u 040213b14a02451`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			// Cobra checks this too, but its error is not told from others.
			if err := cmd.ValidateFlagGroups(); err != nil {
				return &usageError{err}
			}
			if a.output != outputText && a.output != outputJSON {
				return usagef("--output is %s or %s, not %q", outputText, outputJSON, a.output)
			}
			return nil
		},
	}
	group(root)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	flags := root.PersistentFlags()
	flags.StringVar(&a.flags.Server, "server", "", "URL of the API (or "+serverVariable+"; default "+client.DefaultServer+")")
	flags.StringVar(&a.flags.Gateway, "gateway", "", "URL of live delivery (or "+gatewayVariable+"; default: the server's host, port 8081 beside 8000)")
	flags.StringVar(&a.flags.Token, "token", "", "token of a log-in (better in "+tokenVariable+": others can see command lines; default: that of chatctl login)")
	flags.StringVarP(&a.output, "output", "o", outputText, "form of the output: text, or json (lists of messages as one object per line)")
	root.AddCommand(a.register(), a.login(), a.logout(), a.sessions(), a.send(), a.history(), a.receive(), a.check(), a.doctor())
	return root
}

// group makes a command that has only subcommands show its help, and tell what
// it does not know.
func group(cmd *cobra.Command) {
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		text := fmt.Sprintf("there is no command %q", cmd.CommandPath()+" "+args[0])
		cmd.SuggestionsMinimumDistance = 2
		if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
			text += "; did you mean " + strings.Join(similar, " or ") + "?"
		}
		return usagef("%s", text)
	}
}

// arguments makes a wrong number of them a usage error.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usagef("%w; usage: %s", err, cmd.UseLine())
		}
		return nil
	}
}

// anonymous is a client without a token.
func (a *app) anonymous() (*client.Client, error) {
	c, err := client.New(client.Options{
		Server:  cmp.Or(a.flags.Server, a.env.Getenv(serverVariable)),
		Gateway: cmp.Or(a.flags.Gateway, a.env.Getenv(gatewayVariable)),
	})
	if err != nil {
		return nil, &usageError{err}
	}
	return c, nil
}

// client is a client for whoever is logged in, if anyone is, and that log-in;
// of a token that was given by hand only the token is known.
func (a *app) client() (*client.Client, login, error) {
	c, err := a.anonymous()
	if err != nil {
		return nil, login{}, err
	}
	l := login{Server: c.Server(), Token: cmp.Or(a.flags.Token, a.env.Getenv(tokenVariable))}
	if l.Token == "" {
		if l, err = loadLogin(a.env.ConfigDir, c.Server()); err != nil {
			return nil, login{}, err
		}
	}
	return c.WithToken(l.Token), l, nil
}

// member is a client for a command that needs a log-in.
func (a *app) member() (*client.Client, login, error) {
	c, l, err := a.client()
	if err == nil && l.Token == "" {
		return nil, login{}, client.ErrUnauthenticated
	}
	return c, l, err
}

// sessionFlag adds -u.
func sessionFlag(cmd *cobra.Command, uri *string) {
	cmd.Flags().StringVarP(uri, "uri", "u", "", "the session's URI; may be left out if you have just one session")
}

// session is the URI of the flag, or the user's only session.
func session(ctx context.Context, c *client.Client, uri string) (string, error) {
	if uri != "" {
		return uri, nil
	}
	all, err := c.Sessions(ctx)
	switch {
	case err != nil:
		return "", fmt.Errorf("look for your session: %w", err)
	case len(all) == 0:
		return "", usagef("you have no session; make one with: chatctl sessions create")
	case len(all) > 1:
		var uris []string
		for _, s := range all {
			uris = append(uris, s.URI)
		}
		return "", usagef("you have %d sessions; name one with -u: %s", len(all), strings.Join(uris, ", "))
	}
	return all[0].URI, nil
}
