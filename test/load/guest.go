package load

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/chatcluster/chatcluster/test/chatdtest"
	"github.com/chatcluster/chatcluster/test/checker"
)

const (
	// guestStays is how long a guest is a member, and guestTries how long they
	// go on trying when they were removed.
	guestStays = 2 * time.Second
	guestTries = 3 * time.Second
	// guestPause is the longest time between two requests of the guest, and
	// between two messages of their host.
	guestPause = 200 * time.Millisecond
)

// guest is a user who is let into one session after the other, and removed from
// each.
type guest struct {
	host, user user
	// rooms are the sessions so far.
	rooms []string
	turn  int
}

// next is a user as a client of the next replica.
func (g *guest) next(u user) *chatdtest.Client {
	g.turn++
	return u[g.turn%len(u)]
}

// visits has the guest come and go until ctx ends.
func (l *Load) visits(ctx context.Context, g *guest) {
	for ; ctx.Err() == nil; wait(ctx, readPause) {
		if uri, ok := l.invite(ctx, g); ok {
			g.rooms = append(g.rooms, uri)
			l.visit(ctx, g, uri)
		}
	}
}

// invite makes a session with the guest in it. One of which it is not known
// whether the guest is in it is of no use: they might be let in at any time.
func (l *Load) invite(ctx context.Context, g *guest) (uri string, ok bool) {
	answer := l.change(ctx, "to make a session", g.next(g.host), http.MethodPost, "/api/chats/", nil)
	var session struct {
		URI string `json:"uri"`
	}
	if answer.Status != http.StatusOK || json.Unmarshal(answer.Body, &session) != nil {
		return "", false
	}
	username := g.user[0].Username
	answer = l.change(ctx, "to add a member", g.next(g.host), http.MethodPatch, "/api/chats/"+session.URI+"/", url.Values{"username": {username}})
	return session.URI, answer.Status == http.StatusOK
}

// change makes a call that changes something; for an answer that no fault
// explains it fails the test.
func (l *Load) change(ctx context.Context, what string, c *chatdtest.Client, method, path string, form url.Values) chatdtest.Answer {
	answer := l.call(ctx, c, method, path, form)
	l.explain(ctx, what, answer)
	return answer
}

// visit has the guest receive, send and read in the session, while the host
// sends. Then the host removes the guest, who goes on trying.
func (l *Load) visit(ctx context.Context, g *guest, uri string) {
	visit, end := context.WithCancel(ctx)
	var clients sync.WaitGroup
	defer clients.Wait()
	defer end()
	c := *g.user[0]
	r := &receiver{Receiver: c.NewReceiver(l.log, uri), client: &c, room: uri}
	clients.Go(func() {
		for visit.Err() == nil {
			r.receiveFrom(visit, l.options.Gateways, l.options.Stay)
		}
	})
	clients.Go(func() { l.talk(visit, g.host, sender{room: uri}) })
	clients.Go(func() { l.talk(visit, g.user, sender{room: uri, mayBeDenied: true}) })
	clients.Go(func() { l.look(visit, g.user, uri) })
	pause(ctx, guestStays)
	l.remove(ctx, g, uri)
	pause(ctx, guestTries)
}

// talk sends one message after the other, each to the next replica.
func (l *Load) talk(ctx context.Context, u user, s sender) {
	for turn := 0; ctx.Err() == nil; turn++ {
		s.text = "message " + strconv.FormatInt(l.texts.Add(1), 10)
		l.log.AddSend(l.attempt(ctx, &s, u[turn%len(u)]))
		wait(ctx, guestPause)
	}
}

// look reads as long as that is allowed, and goes on asking.
func (l *Load) look(ctx context.Context, u user, uri string) {
	for turn := 0; ctx.Err() == nil; turn++ {
		_ = l.readNewest(ctx, u[turn%len(u)], uri) // from some time on it is refused
		wait(ctx, guestPause)
	}
}

// remove has the host remove the guest until it is acknowledged.
func (l *Load) remove(ctx context.Context, g *guest, uri string) {
	username := g.user[0].Username
	for ; ctx.Err() == nil; wait(ctx, guestPause) {
		path := "/api/chats/" + uri + "/members/" + username + "/"
		if l.change(ctx, "to remove a member", g.next(g.host), http.MethodDelete, path, nil).Status/100 == 2 {
			l.log.AddRemoval(checker.Removal{Room: uri, Member: username, End: time.Now()})
			return
		}
	}
}
