package load_test

import (
	"os"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/test/chatdtest"
	"github.com/chatcluster/chatcluster/test/load"
)

func TestMain(m *testing.M) {
	code := m.Run()
	chatdtest.RemoveBinaries()
	os.Exit(code)
}

// TestLoad runs the clients on a standalone server, also while it is away.
func TestLoad(t *testing.T) {
	s := chatdtest.Start(t, t.TempDir())
	l := load.New(t, load.Options{APIs: []string{s.API}, Gateways: []string{s.Gateway}, Stay: time.Minute, SettleTimeout: time.Minute})
	goOn := func() {
		for before := l.Counts(); ; time.Sleep(10 * time.Millisecond) {
			if done := l.Counts().Sub(before); done.Acked >= 20 && done.Received >= 20 && done.Reads >= 5 && done.Removed >= 1 {
				return
			}
			if t.Context().Err() != nil {
				t.Fatal("the clients stand still")
			}
		}
	}
	l.During(func() {
		goOn()
		s = s.Restart(t)
		goOn()
	})
	if c := l.Counts(); c.Reconnects == 0 {
		t.Errorf("the server was killed, and got %v: want sockets lost", c)
	}
	l.Check(t, "a restart")
}
