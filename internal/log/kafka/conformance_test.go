package kafka_test

import (
	"fmt"
	"testing"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/log/kafka"
	"github.com/chatcluster/chatcluster/internal/log/logtest"
)

func TestConformance(t *testing.T) {
	for _, partitions := range []int32{1, 8} {
		t.Run(fmt.Sprintf("%d partitions", partitions), func(t *testing.T) {
			o := options(t)
			shared := newLog(t, o, partitions)
			logtest.Run(t, logtest.Backend{
				Open: func(*testing.T) chat.Log { return shared },
				Reopen: func(t *testing.T, _ chat.Log) chat.Log {
					l, err := kafka.Open(testContext(t), o)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { l.Close() })
					return l
				},
				TooLarge: 1<<20 + 1,
			})
		})
	}
}
