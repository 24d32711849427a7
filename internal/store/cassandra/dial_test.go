package cassandra_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/store/cassandra"
)

// TestOpenEndsWithItsContext: also where a node takes the connection and says
// nothing.
func TestOpenEndsWithItsContext(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err = cassandra.Open(ctx, cassandra.Options{Hosts: []string{silent.Addr().String()}})
	if !errors.Is(err, chat.ErrUnavailable) {
		t.Errorf("got error %v, want ErrUnavailable", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v, want it to end with its context", took)
	}
}

// TestOpenOfWhatMayCome: a node that hangs, one that is not there, and a name
// that leads nowhere are unavailable, and not wrong for good.
func TestOpenOfWhatMayCome(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	for name, host := range map[string]string{
		"hangs": silent.Addr().String(), "not there": gone.Addr().String(), "no such name": "cassandra.invalid:9042",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := cassandra.Open(t.Context(), cassandra.Options{Hosts: []string{host}}); !errors.Is(err, chat.ErrUnavailable) {
				t.Errorf("got error %v, want ErrUnavailable", err)
			}
		})
	}
}
