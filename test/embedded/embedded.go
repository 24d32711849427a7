// Package embedded opens the embedded log and store for tests.
package embedded

import (
	"errors"
	"testing"

	loglocal "github.com/chatcluster/chatcluster/internal/log/local"
	storelocal "github.com/chatcluster/chatcluster/internal/store/local"
)

// Open opens both in directories of the test's own and closes them when it
// ends.
func Open(t testing.TB, o loglocal.Options) (*loglocal.Log, *storelocal.Store) {
	t.Helper()
	log, err := loglocal.Open(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	store, err := storelocal.Open(t.TempDir(), storelocal.Options{})
	if err != nil {
		t.Fatal(errors.Join(err, log.Close()))
	}
	t.Cleanup(func() {
		if err := errors.Join(store.Close(), log.Close()); err != nil {
			t.Error(err)
		}
	})
	return log, store
}
