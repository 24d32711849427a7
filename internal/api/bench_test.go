package api_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// BenchmarkSend is a sender on one connection; the sync of the log is most of
// it.
func BenchmarkSend(b *testing.B) {
	s, path, token := benchmarkSession(b)
	c := call{method: "POST", path: path, token: token, json: `{"message":"Hello!"}`}
	for b.Loop() {
		s.roundTrip(b, c)
	}
}

// BenchmarkHistory reads the largest page.
func BenchmarkHistory(b *testing.B) {
	s, path, token := benchmarkSession(b)
	for i := range 1000 {
		s.roundTrip(b, call{method: "POST", path: path, token: token, json: fmt.Sprintf(`{"message":"Hello! %d"}`, i)})
	}
	c := call{method: "GET", path: path, token: token}
	for b.Loop() {
		s.roundTrip(b, c)
	}
}

func benchmarkSession(b *testing.B) (s *server, path, token string) {
	s = start(b)
	a := s.user(b, "user_a")
	return s, "/api/chats/" + s.session(b, chat.AccessMembers, a).URI + "/messages/", a.token
}

// roundTrip is a call that is not checked against the document.
func (s *server) roundTrip(b *testing.B, c call) {
	response, err := s.Client().Do(c.request(s.URL))
	if err != nil {
		b.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
		b.Fatalf("got %d, %v, want 200", response.StatusCode, err)
	}
}
