package web_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
	locallog "github.com/chatcluster/chatcluster/internal/log/local"
	localstore "github.com/chatcluster/chatcluster/internal/store/local"
)

const (
	// failedLogins is how many log-ins may fail before there are too many.
	failedLogins = 5
	tokenTTL     = time.Hour
)

// newAccounts returns Accounts over the embedded adapters.
func newAccounts(t *testing.T) *chat.Accounts {
	t.Helper()
	log, err := locallog.Open(t.TempDir(), locallog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Errorf("close log: %v", err)
		}
	})
	store, err := localstore.Open(t.TempDir(), localstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return chat.NewAccounts(store, chat.NewPublisher(log), chat.AccountsOptions{
		TokenTTL:         tokenTTL,
		LoginsPerAccount: chat.Rate{PerSecond: 0.001, Burst: failedLogins},
		Now:              time.Now,
	})
}

// do sends the request and reads the answer to its end.
func do(t *testing.T, client *http.Client, request *http.Request) (*http.Response, string) {
	t.Helper()
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}
