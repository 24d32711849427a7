// Command run starts a Kafka broker and a Cassandra node for development and
// tests.
//
//	go run ./test/backends/run                     prints how to reach them, and runs until Ctrl-C
//	go run ./test/backends/run go test ./...       runs a command beside them, and ends with it
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/chatcluster/chatcluster/test/backends"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, "run:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, command []string) (err error) {
	kafka, cassandra, stop, err := backends.Both(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	variables := []string{
		backends.KafkaVariable + "=" + strings.Join(kafka, ","),
		backends.CassandraVariable + "=" + strings.Join(cassandra, ","),
	}
	if len(command) == 0 {
		fmt.Println("export", strings.Join(variables, " "))
		<-ctx.Done()
		return nil
	}
	// The terminal sends Ctrl-C to the command too, which ends by itself.
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), variables...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}
