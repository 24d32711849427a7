// Package storetest is the conformance suite of the port chat.Store: every
// adapter runs it against its own backend.
//
// It holds an adapter to what the port's comments say and to no more. It takes
// the store as it finds it, so that many runs can share one database: names,
// URIs and partitions are drawn at random, and ids are only unique, positive
// and rising. Times are whole milliseconds, which is what each adapter keeps,
// and are to come back in UTC.
package storetest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"testing"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// Run runs the suite. open returns a store that is closed when its test ends;
// it may be the same one each time.
func Run(t *testing.T, open func(t *testing.T) chat.Store) {
	groups := []struct {
		name  string
		tests []storeTest
	}{
		{"users", userTests},
		{"tokens", tokenTests},
		{"rooms", roomTests},
		{"members", memberTests},
		{"messages", messageTests},
		{"watermarks", watermarkTests},
		{"foreign records", foreignTests},
		{"retention", retentionTests},
		{"presence", presenceTests},
	}
	for _, group := range groups {
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) {
					test.run(&suite{T: t, store: open(t), ctx: t.Context()})
				})
			}
		})
	}
}

// storeTest is one test of the suite.
type storeTest struct {
	name string
	run  func(*suite)
}

// suite is a running test and its store.
type suite struct {
	*testing.T
	store chat.Store
	ctx   context.Context
}

// start is the time that tests count from: a whole second, close enough to the
// clock for stores that let rows expire by themselves.
var start = time.Now().UTC().Truncate(time.Second)

// at is n milliseconds after start.
func at(n int) time.Time { return start.Add(time.Duration(n) * time.Millisecond) }

// unique is a name that nobody has used before.
func unique(prefix string) string { return prefix + randomHex(12) }

// uniqueURI is a room's URI that nobody has used before.
func uniqueURI() string { return randomHex(8)[:chat.URIDigits] }

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// uniqueID is a large positive number that nobody has used before, for ids of
// what no test creates.
func uniqueID() int64 {
	n, err := rand.Int(rand.Reader, big.NewInt(1<<40))
	if err != nil {
		panic(err)
	}
	return 1<<40 + n.Int64()
}

func uniqueHash() (hash chat.TokenHash) {
	_, _ = rand.Read(hash[:]) // never fails
	return hash
}

// must ends the test on an error.
func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("got error %v, want none", err)
	}
}

// wantError fails the test unless err is target.
func (s *suite) wantError(what string, err, target error) {
	s.Helper()
	if !errors.Is(err, target) {
		s.Errorf("%s: got error %v, want %v", what, err, target)
	}
}

// check fails the test unless got equals want.
func check[T any](s *suite, what string, got, want T) {
	s.Helper()
	if !reflect.DeepEqual(got, want) {
		s.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

// race runs n calls of f at the same time, with 0 to n-1, and returns their
// errors.
func race(n int, f func(i int) error) []error {
	errs := make([]error, n)
	begin := make(chan struct{})
	done := make(chan struct{})
	for i := range n {
		go func() {
			<-begin
			errs[i] = f(i)
			done <- struct{}{}
		}()
	}
	close(begin)
	for range n {
		<-done
	}
	return errs
}

// wantOneWinner fails the test unless one error is nil and the others are
// chat.ErrTaken, and returns the place of the nil.
func (s *suite) wantOneWinner(errs []error) int {
	s.Helper()
	winner, winners := -1, 0
	for i, err := range errs {
		switch {
		case err == nil:
			winner = i
			winners++
		case !errors.Is(err, chat.ErrTaken):
			s.Errorf("loser %d: got error %v, want %v", i, err, chat.ErrTaken)
		}
	}
	if winners != 1 {
		s.Fatalf("got %d winners, want 1", winners)
	}
	return winner
}

func ptr[T any](v T) *T { return &v }

// texts are the texts of messages, for failure texts that can be read.
func texts(messages []chat.Message) []string {
	list := make([]string, len(messages))
	for i, m := range messages {
		list[i] = fmt.Sprintf("%d/%d %s", m.ID.Epoch, m.ID.Offset, m.Text)
	}
	return list
}
