package clienttest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// API is the handler of the REST endpoints.
func (s *Server) API() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /auth/users/create/", s.serveRegister)
	mux.HandleFunc("POST /auth/token/login/", s.serveLogin)
	mux.HandleFunc("POST /auth/token/logout/", s.authorized(s.serveLogout))
	mux.HandleFunc("POST /api/chats/{$}", s.authorized(s.serveCreate))
	mux.HandleFunc("GET /api/chats/{$}", s.authorized(s.serveSessions))
	mux.HandleFunc("PATCH /api/chats/{uri}/{$}", s.authorized(s.serveJoin))
	mux.HandleFunc("POST /api/chats/{uri}/messages/", s.authorized(s.serveSend))
	mux.HandleFunc("GET /api/chats/{uri}/messages/", s.authorized(s.serveHistory))
	return mux
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func refuse(w http.ResponseWriter, status int, detail string) {
	answer(w, status, map[string]string{"detail": detail})
}

// authorized runs the handler under the lock, for the user of the token.
func (s *Server) authorized(handle func(http.ResponseWriter, *http.Request, user)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		caller, ok := s.caller(r)
		if !ok {
			w.Header().Set("WWW-Authenticate", "Token")
			refuse(w, http.StatusUnauthorized, "Invalid token.")
			return
		}
		handle(w, r, caller)
	}
}

func (s *Server) caller(r *http.Request) (user, bool) {
	id, ok := s.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Token ")]
	if !ok {
		return user{}, false
	}
	return s.users[id-1].user, true
}

func (s *Server) serveRegister(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.userByName(r.FormValue("username")); taken {
		answer(w, http.StatusBadRequest, map[string][]string{"username": {"A user with that username already exists."}})
		return
	}
	u := s.addUser(r.FormValue("username"), r.FormValue("password"), r.FormValue("email"))
	answer(w, http.StatusCreated, map[string]any{"email": u.Email, "username": u.Username, "id": u.ID})
}

func (s *Server) serveLogin(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.userByName(r.FormValue("username"))
	if !ok || u.password != r.FormValue("password") {
		answer(w, http.StatusBadRequest, map[string][]string{"non_field_errors": {"Unable to log in with provided credentials."}})
		return
	}
	answer(w, http.StatusOK, map[string]string{"auth_token": s.login(u.user)})
}

func (s *Server) serveLogout(w http.ResponseWriter, r *http.Request, _ user) {
	// The entry stays, for the numbers of later tokens, but is nobody's.
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Token ")
	delete(s.tokens, token)
	s.tokens["dead "+token] = 0
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) serveCreate(w http.ResponseWriter, _ *http.Request, caller user) {
	answer(w, http.StatusOK, map[string]string{
		"status": "SUCCESS", "uri": s.addRoom([]int64{caller.ID}).uri, "message": "New chat session created",
	})
}

func (s *Server) members(r *room) []user {
	var members []user
	for _, id := range r.members {
		members = append(members, s.users[id-1].user)
	}
	return members
}

func (s *Server) serveSessions(w http.ResponseWriter, _ *http.Request, caller user) {
	sessions := []map[string]any{}
	for n := range len(s.rooms) {
		r := s.rooms[fmt.Sprintf("%015x", n+1)]
		if slices.Contains(r.members, caller.ID) {
			sessions = append(sessions, map[string]any{"uri": r.uri, "members": s.members(r)})
		}
	}
	answer(w, http.StatusOK, map[string]any{"status": "SUCCESS", "sessions": sessions})
}

func (s *Server) serveJoin(w http.ResponseWriter, r *http.Request, caller user) {
	room, ok := s.rooms[r.PathValue("uri")]
	if !ok {
		refuse(w, http.StatusNotFound, "Not found.")
		return
	}
	joiner, ok := s.userByName(r.FormValue("username"))
	switch {
	case !ok:
		answer(w, http.StatusBadRequest, map[string][]string{"username": {"No such user."}})
		return
	case joiner.ID != caller.ID && caller.ID != room.members[0]:
		refuse(w, http.StatusForbidden, "Only the session's creator may add others.")
		return
	case !slices.Contains(room.members, joiner.ID):
		room.members = append(room.members, joiner.ID)
	}
	answer(w, http.StatusOK, map[string]any{
		"status": "SUCCESS", "members": s.members(room), "message": joiner.Username + " joined that chat", "user": joiner.user,
	})
}

// membersRoom is the room of the path, if it is the caller's to use.
func (s *Server) membersRoom(w http.ResponseWriter, r *http.Request, caller user) (*room, bool) {
	room, ok := s.rooms[r.PathValue("uri")]
	switch {
	case !ok:
		refuse(w, http.StatusNotFound, "Not found.")
	case !slices.Contains(room.members, caller.ID):
		refuse(w, http.StatusForbidden, "You are not a member of this session.")
		return nil, false
	}
	return room, ok
}

func (s *Server) serveSend(w http.ResponseWriter, r *http.Request, caller user) {
	room, ok := s.membersRoom(w, r, caller)
	if !ok {
		return
	}
	if strings.TrimSpace(r.FormValue("message")) == "" {
		answer(w, http.StatusBadRequest, map[string][]string{"message": {"This field may not be blank."}})
		return
	}
	m := s.post(room, caller, r.FormValue("message"), r.Header.Get("Idempotency-Key"))
	answer(w, http.StatusOK, map[string]any{
		"status": "SUCCESS", "uri": room.uri, "message": m.Text, "user": m.User, "id": m.ID, "time": m.Time,
	})
}

func (s *Server) serveHistory(w http.ResponseWriter, r *http.Request, caller user) {
	room, ok := s.membersRoom(w, r, caller)
	if !ok {
		return
	}
	after, before := r.FormValue("after"), r.FormValue("before")
	limit, err := strconv.Atoi(r.FormValue("limit"))
	if err != nil {
		limit = 100
	}
	page := slices.DeleteFunc(slices.Clone(room.messages[room.readable:]), func(m message) bool {
		return m.ID <= after || before != "" && m.ID >= before
	})
	all, forward := len(page), after != "" && before == ""
	if forward {
		page = page[:min(limit, all)]
	} else {
		page = page[all-min(limit, all):]
	}
	if len(page) > 0 && !forward && all > limit {
		w.Header().Add("Link", fmt.Sprintf(`<http://elsewhere.invalid%s?before=%s&limit=%d>; rel="prev"`, r.URL.Path, page[0].ID, limit))
	}
	if len(page) > 0 && forward && all > limit {
		w.Header().Add("Link", fmt.Sprintf(`<http://elsewhere.invalid%s?after=%s&limit=%d>; rel="next"`, r.URL.Path, page[len(page)-1].ID, limit))
	}
	answer(w, http.StatusOK, map[string]any{"id": room.id, "uri": room.uri, "messages": page})
}
