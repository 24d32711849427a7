package cassandra_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/store/cassandra"
)

// nodeTimeout is how long the driver waits for a silent node. It is so long that
// also on a busy machine it cannot be mistaken for what a context ends.
const nodeTimeout = time.Minute

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
	_, err = cassandra.Open(ctx, cassandra.Options{Hosts: []string{silent.Addr().String()}, Timeout: nodeTimeout})
	if !errors.Is(err, chat.ErrUnavailable) {
		t.Errorf("got error %v, want ErrUnavailable", err)
	}
	if took := time.Since(began); took > nodeTimeout/2 {
		t.Errorf("it took %v, want it to end with its context", took)
	}
}

// TestOpenAfterItsContext: no connection outlives a context that had ended before
// it was there, whichever of the two is noticed first.
func TestOpenAfterItsContext(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ended, end := context.WithCancel(t.Context())
	end()
	began := time.Now()
	var opens sync.WaitGroup
	for range 200 {
		opens.Go(func() {
			if _, err := cassandra.Open(ended, cassandra.Options{Hosts: []string{silent.Addr().String()}, Timeout: nodeTimeout}); err == nil {
				t.Error("it opened, want an error")
			}
		})
	}
	opens.Wait()
	if took := time.Since(began); took > nodeTimeout/2 {
		t.Errorf("it took %v, want none to wait for the node", took)
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
