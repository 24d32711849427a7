package api

import (
	"context"
	"math"
	"time"

	"github.com/chatcluster/chatcluster/internal/chat"
)

// maxID is the largest id of a user.
const maxID = math.MaxInt64

// maxSeconds is the longest time.Duration in seconds.
const maxSeconds = int64(math.MaxInt64 / time.Second)

type sessionCreated struct {
	Status  string `json:"status"`
	URI     string `json:"uri"`
	Message string `json:"message"`
	ID      int64  `json:"id"`
}

func (a *API) createSession(ctx context.Context, req *request) (answer, error) {
	change := readSettings(req.body)
	if err := req.body.err(); err != nil {
		return answer{}, err
	}
	var chosen chat.Room
	change.Apply(&chosen)
	created, err := a.rooms.CreateSession(ctx, req.caller.User, chat.SessionSettings{
		Title: chosen.Title, Access: chosen.Access, MessageTTL: chosen.MessageTTL,
	})
	if err != nil {
		return answer{}, err
	}
	return reply(sessionCreated{success, created.URI, "New chat session created", created.ID})
}

// readSettings reads the fields that a session's creator may choose.
func readSettings(in *fields) chat.RoomChange {
	change := chat.RoomChange{Title: in.text("title")}
	if text := in.text("access"); text != nil {
		access, known := chat.ParseAccess(*text)
		if !known {
			in.errs.Add("access", "%q is not a valid choice: members or link.", *text)
		}
		change.Access = &access
	}
	if seconds := in.integer("message_ttl", 0, maxSeconds); seconds != nil {
		ttl := time.Duration(*seconds) * time.Second
		change.MessageTTL = &ttl
	}
	return change
}

type sessionList struct {
	Status   string    `json:"status"`
	Sessions []session `json:"sessions"`
}

func (a *API) listSessions(ctx context.Context, req *request) (answer, error) {
	found, err := a.rooms.SessionsOf(ctx, req.caller.User)
	if err != nil {
		return answer{}, err
	}
	list := sessionList{Status: success, Sessions: make([]session, len(found))}
	for i, r := range found {
		members, err := a.rooms.Members(ctx, r)
		if err != nil {
			return answer{}, err
		}
		list.Sessions[i] = viewSession(r, members)
	}
	return reply(list)
}

// lookup finds the room of the path.
func (a *API) lookup(ctx context.Context, req *request) (chat.RoomRef, error) {
	ref, err := req.variable("uri")
	if err != nil {
		return chat.RoomRef{}, err
	}
	return a.rooms.Lookup(ctx, ref)
}

// readable finds the room of the path, if the caller may read it.
func (a *API) readable(ctx context.Context, req *request) (chat.Room, error) {
	ref, err := a.lookup(ctx, req)
	if err != nil {
		return chat.Room{}, err
	}
	return ref.Room, a.rooms.AuthorizeRead(ctx, &req.caller.User, ref)
}

func (a *API) showSession(ctx context.Context, req *request) (answer, error) {
	r, err := a.readable(ctx, req)
	if err != nil {
		return answer{}, err
	}
	return a.sessionAnswer(ctx, r)
}

func (a *API) sessionAnswer(ctx context.Context, r chat.Room) (answer, error) {
	members, err := a.rooms.Members(ctx, r)
	if err != nil {
		return answer{}, err
	}
	return reply(viewSession(r, members))
}

// patchSession changes the settings that the body names; without any it joins
// a user, which is what the first clients know of it.
func (a *API) patchSession(ctx context.Context, req *request) (answer, error) {
	change := readSettings(req.body)
	username := req.body.textOr("username", "")
	if err := req.body.err(); err != nil {
		return answer{}, err
	}
	settings := change != chat.RoomChange{}
	if settings && req.body.has("username") {
		return answer{}, chat.FieldErrors{chat.NonField: {"Join a user and change the settings in two requests."}}
	}
	ref, err := a.lookup(ctx, req)
	if err != nil {
		return answer{}, err
	}
	if !settings {
		return a.join(ctx, req, ref, username)
	}
	changed, err := a.rooms.UpdateSession(ctx, req.caller.User, ref.Room, change)
	if err != nil {
		return answer{}, err
	}
	return a.sessionAnswer(ctx, changed)
}

type joined struct {
	Status  string `json:"status"`
	Members []user `json:"members"`
	Message string `json:"message"`
	User    user   `json:"user"`
}

func (a *API) join(ctx context.Context, req *request, ref chat.RoomRef, username string) (answer, error) {
	caller := req.caller.User
	// The URI is the invitation. An integer id can be guessed: it admits only
	// those who are in already, and staff.
	if !ref.ByURI && !caller.IsStaff {
		if err := a.rooms.AuthorizeWrite(ctx, caller, ref.Room); err != nil {
			return answer{}, err
		}
	}
	who, err := a.rooms.Join(ctx, caller, ref.Room, username)
	if err != nil {
		return answer{}, err
	}
	members, err := a.rooms.Members(ctx, ref.Room)
	if err != nil {
		return answer{}, err
	}
	return reply(joined{success, viewUsers(members), who.Username + " joined that chat", viewUser(who.Profile)})
}

type memberList struct {
	Status  string `json:"status"`
	Members []user `json:"members"`
}

func (a *API) listMembers(ctx context.Context, req *request) (answer, error) {
	r, err := a.readable(ctx, req)
	if err != nil {
		return answer{}, err
	}
	members, err := a.rooms.Members(ctx, r)
	if err != nil {
		return answer{}, err
	}
	return reply(memberList{success, viewUsers(members)})
}

// removeMember is how callers leave, and how the creator puts others out.
func (a *API) removeMember(ctx context.Context, req *request) (answer, error) {
	username, err := req.variable("username")
	if err != nil {
		return answer{}, err
	}
	ref, err := a.lookup(ctx, req)
	if err != nil {
		return answer{}, err
	}
	if err := a.rooms.Remove(ctx, req.caller.User, ref.Room, username); err != nil {
		return answer{}, err
	}
	return noContent()
}
