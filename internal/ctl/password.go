package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// maxPasswordInput bounds what is read for a password, in bytes.
const maxPasswordInput = 64 << 10

// TerminalPassword asks for passwords on a terminal, without echo.
func TerminalPassword(in *os.File, out io.Writer) func(context.Context, string) (string, error) {
	return func(ctx context.Context, prompt string) (string, error) {
		fd := int(in.Fd())
		state, err := term.GetState(fd)
		if err != nil {
			return "", usagef("there is no terminal to ask for the password; use --password-stdin")
		}
		fmt.Fprint(out, prompt)
		defer fmt.Fprintln(out)
		type answer struct {
			password []byte
			err      error
		}
		answers := make(chan answer, 1)
		// A read of a terminal cannot be broken off: when the user interrupts,
		// the goroutine is left to the end of the process.
		go func() {
			password, err := term.ReadPassword(fd)
			answers <- answer{password, err}
		}()
		select {
		case a := <-answers:
			return string(a.password), a.err
		case <-ctx.Done():
			return "", errors.Join(context.Cause(ctx), term.Restore(fd, state))
		}
	}
}

func passwordFlag(cmd *cobra.Command, fromStdin *bool) {
	cmd.Flags().BoolVar(fromStdin, "password-stdin", false, "read the password from standard input instead of asking for it")
}

// password reads a password from standard input, or asks for it, twice if it is
// a new one.
func (a *app) password(ctx context.Context, fromStdin, isNew bool) (string, error) {
	if fromStdin {
		data, err := io.ReadAll(io.LimitReader(a.env.Stdin, maxPasswordInput))
		if err != nil {
			return "", fmt.Errorf("read password: %w", err)
		}
		return strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r"), nil
	}
	password, err := a.env.ReadPassword(ctx, "Password: ")
	if err != nil || !isNew {
		return password, err
	}
	again, err := a.env.ReadPassword(ctx, "Password again: ")
	if err != nil {
		return "", err
	}
	if again != password {
		return "", errors.New("the two passwords are not the same")
	}
	return password, nil
}
