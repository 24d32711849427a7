package local_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/store/local"
	"github.com/chatcluster/chatcluster/internal/store/storetest"
)

// openStore opens the store in dir until the test ends, and then sees to it
// that no goroutine is left. (TestMain cannot: a store that has failed leaves
// some behind, as its Close says.)
func openStore(t testing.TB, dir string) *local.Store {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	s, err := local.Open(dir, local.Options{})
	if err != nil {
		t.Fatalf("open store: got error %v, want none", err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func closeStore(t testing.TB, s *local.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("close store: got error %v, want none", err)
	}
}

func TestConformance(t *testing.T) {
	t.Run("a store for each test", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) chat.Store { return openStore(t, t.TempDir()) })
	})
	t.Run("one store for all", func(t *testing.T) {
		s := openStore(t, t.TempDir())
		storetest.Run(t, func(*testing.T) chat.Store { return s })
	})
}
