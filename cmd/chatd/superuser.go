package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/control"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func superuserCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use: "create-superuser", Short: "Make an administrator",
		Long: "Make an administrator, whether or not a server is running on the data directory.\nWhat the flags do not say is asked for on a terminal.",
		Args: cobra.NoArgs,
	}
	n := chat.NewUser{IsStaff: true}
	var passwordStdin bool
	cmd.Flags().StringVar(&n.Username, "username", "", "name to log in with")
	cmd.Flags().StringVar(&n.Email, "email", "", "email address")
	cmd.Flags().BoolVar(&passwordStdin, "password-stdin", false, "read the password from the first line of the standard input")
	configure := bindConfig(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := configure()
		if err != nil {
			return err
		}
		if err := completeUser(&n, cmd.Flags().Changed("email"), passwordStdin, s); err != nil {
			return err
		}
		return withOperations(cmd.Context(), c, s, func(ctx context.Context, ops control.Operations) error {
			user, err := ops.CreateSuperuser(ctx, n)
			if err != nil {
				return fmt.Errorf("create superuser: %w", err)
			}
			_, err = fmt.Fprintf(s.out, "Superuser %s created with id %d.\n", user.Username, user.ID)
			return err
		})
	}
	return cmd
}

// completeUser asks for what the flags do not say.
func completeUser(n *chat.NewUser, emailGiven, passwordStdin bool, s streams) error {
	input := bufio.NewReader(s.in)
	interactive := term.IsTerminal(int(s.in.Fd()))
	if !interactive && (n.Username == "" || !passwordStdin) {
		return usageError{errors.New("without a terminal, --username and --password-stdin are needed")}
	}
	var err error
	if n.Username == "" {
		if n.Username, err = ask(input, s.err, "Username: "); err != nil {
			return err
		}
	}
	if interactive && !emailGiven {
		if n.Email, err = ask(input, s.err, "Email address: "); err != nil {
			return err
		}
	}
	if passwordStdin {
		n.Password, err = ask(input, io.Discard, "")
		return err
	}
	n.Password, err = askPassword(s)
	return err
}

func ask(input *bufio.Reader, prompts io.Writer, prompt string) (string, error) {
	fmt.Fprint(prompts, prompt)
	line, err := input.ReadString('\n')
	if err != nil && (!errors.Is(err, io.EOF) || line == "") {
		return "", fmt.Errorf("read answer: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

func askPassword(s streams) (string, error) {
	first, err := readHidden(s, "Password: ")
	if err != nil {
		return "", err
	}
	second, err := readHidden(s, "Password (again): ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the two passwords differ")
	}
	return first, nil
}

func readHidden(s streams, prompt string) (string, error) {
	fmt.Fprint(s.err, prompt)
	password, err := term.ReadPassword(int(s.in.Fd()))
	fmt.Fprintln(s.err)
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	return string(password), nil
}
