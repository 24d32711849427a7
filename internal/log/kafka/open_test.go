package kafka_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/log/kafka"
)

// noEpochs is never asked: nothing answers before.
type noEpochs struct{}

func (noEpochs) Epoch(context.Context, string, string) (uint32, error) {
	return 0, errors.New("asked for an epoch")
}

// Brokers that are not there, or hang, are unavailable, and not wrong for good.
func TestOpenOfWhatMayCome(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	for name, broker := range map[string]string{
		"hangs": silent.Addr().String(), "not there": gone.Addr().String(), "no such name": "kafka.invalid:9092",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := kafka.Open(t.Context(), kafka.Options{
				Brokers: []string{broker}, Epochs: noEpochs{}, DialTimeout: 200 * time.Millisecond,
			})
			var denied *kafka.DeniedError
			if !errors.Is(err, chat.ErrUnavailable) || errors.As(err, &denied) {
				t.Errorf("got error %v, want ErrUnavailable and no DeniedError", err)
			}
		})
	}
}
