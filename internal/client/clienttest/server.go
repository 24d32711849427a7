// Package clienttest has a chat server in memory that speaks the wire contract,
// for tests of whatever uses package client. Its sockets can be told to
// misbehave.
//
// A Server is safe for concurrent use; each socket is served on the goroutine
// of its HTTP request and ends with CloseSockets or when its client goes.
package clienttest

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Fault is what a socket does wrong about a message.
type Fault int

// The faults.
const (
	// None delivers the message.
	None Fault = iota
	// Cut breaks the connection off instead.
	Cut
	// CutAfter breaks the connection off right after the message.
	CutAfter
	// Skip leaves the message out, unless a resume has promised it.
	Skip
	// Double delivers it twice.
	Double
)

// Server is a chat server in memory.
type Server struct {
	mu       sync.Mutex // guards all below
	users    []account
	tokens   map[string]int64 // user ids
	rooms    map[string]*room
	lastID   int
	faults   func(text string) Fault
	sockets  map[*socket]struct{}
	connects []string
	opened   int
	more     *sync.Cond // opened has grown
}

type account struct {
	user
	password string
}

type user struct {
	ID        int64  `json:"id"`
	Username  string `json:"username"`
	Email     string `json:"email"`
	FirstName string `json:"first_name"`
	LastName  string `json:"last_name"`
}

type room struct {
	uri      string
	id       int
	members  []int64
	messages []message
	byKey    map[string]message
	// readable is the index of the oldest message that has not expired.
	readable int
	// link: possession of the URI is the right to read.
	link bool
	// changed is closed and replaced with each new message.
	changed chan struct{}
}

type message struct {
	User user      `json:"user"`
	Text string    `json:"message"`
	ID   string    `json:"id"`
	Time time.Time `json:"time"`
}

// New returns a server without users.
func New() *Server {
	s := &Server{tokens: map[string]int64{}, rooms: map[string]*room{}, sockets: map[*socket]struct{}{}}
	s.more = sync.NewCond(&s.mu)
	return s
}

// AddUser registers a user with the password "secret-password" and answers a
// token.
func (s *Server) AddUser(username string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.login(s.addUser(username, "secret-password", username+"@mail.com"))
}

func (s *Server) addUser(username, password, email string) user {
	u := user{ID: int64(len(s.users) + 1), Username: username, Email: email}
	s.users = append(s.users, account{user: u, password: password})
	return u
}

func (s *Server) login(u user) string {
	token := fmt.Sprintf("%040x", len(s.tokens)+1)
	s.tokens[token] = u.ID
	return token
}

// AddSession makes a session with the users as members and answers its URI.
func (s *Server) AddSession(usernames ...string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var members []int64
	for _, name := range usernames {
		u, _ := s.userByName(name)
		members = append(members, u.ID)
	}
	return s.addRoom(members).uri
}

func (s *Server) addRoom(members []int64) *room {
	n := len(s.rooms) + 1
	r := &room{uri: fmt.Sprintf("%015x", n), id: n, members: members, byKey: map[string]message{}, changed: make(chan struct{})}
	s.rooms[r.uri] = r
	return r
}

// OpenByLink lets everyone who knows the URI receive.
func (s *Server) OpenByLink(uri string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rooms[uri].link = true
}

// Post sends messages to the session as its first member and answers the id of
// the last.
func (s *Server) Post(uri string, texts ...string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var id string
	r := s.rooms[uri]
	for _, text := range texts {
		id = s.post(r, s.users[r.members[0]-1].user, text, "").ID
	}
	return id
}

func (s *Server) post(r *room, sender user, text, key string) message {
	key = sender.Username + "\x00" + key
	if first, ok := r.byKey[key]; ok {
		return first
	}
	// Ids of one session are not consecutive: other sessions share the log.
	s.lastID += 3
	m := message{User: sender, Text: text, ID: messageID(s.lastID), Time: time.Now().UTC().Truncate(time.Millisecond)}
	r.messages = append(r.messages, m)
	if key != sender.Username+"\x00" {
		r.byKey[key] = m
	}
	close(r.changed)
	r.changed = make(chan struct{})
	return m
}

func messageID(n int) string { return fmt.Sprintf("%028x", n) }

// Expire makes all but the newest keep messages of the session unreadable.
func (s *Server) Expire(uri string, keep int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rooms[uri]
	r.readable = max(r.readable, len(r.messages)-keep)
}

// Texts are the messages of the session.
func (s *Server) Texts(uri string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var texts []string
	for _, m := range s.rooms[uri].messages {
		texts = append(texts, m.Text)
	}
	return texts
}

// Misbehave asks faults what to do about each message that a socket is about to
// deliver. It is called for one message at a time.
func (s *Server) Misbehave(faults func(text string) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = faults
}

// AskToReconnect tells the clients that asked for ids to connect again after
// the delay, in milliseconds, from the position that it answers. The sockets
// stay open.
func (s *Server) AskToReconnect(delay int64) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastID++ // another session's event came last
	for socket := range s.sockets {
		if socket.ids {
			_ = socket.conn.WriteJSON(map[string]any{"reconnect": delay, "after": messageID(s.lastID)})
		}
	}
	return messageID(s.lastID)
}

// CloseSockets closes all sockets with a close code.
func (s *Server) CloseSockets(code int, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for socket := range s.sockets {
		socket.closeWith(code, reason)
	}
}

// AwaitSockets waits until n sockets have been opened since the start: what is
// posted from then on goes to the n-th too.
func (s *Server) AwaitSockets(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.opened < n {
		s.more.Wait()
	}
}

// Connects are the query strings of the sockets that were opened, in order.
func (s *Server) Connects() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.connects)
}

func (s *Server) userByName(username string) (account, bool) {
	i := slices.IndexFunc(s.users, func(a account) bool { return a.Username == username })
	if i < 0 {
		return account{}, false
	}
	return s.users[i], true
}
