package clienttest

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/gorilla/websocket"
)

// resumeLimit is the most messages that a socket resumes with.
const resumeLimit = 20

// socket is one open delivery socket.
type socket struct {
	conn *websocket.Conn
	// ids is whether the client has asked for them.
	ids bool
	// gone is closed when the client has gone or the socket has been closed.
	gone chan struct{}
}

func (k *socket) closeWith(code int, reason string) {
	_ = k.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(time.Second))
	k.conn.Close()
}

// Gateway is the handler of live delivery.
func (s *Server) Gateway() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{uri}", s.serveSocket)
	return mux
}

func (s *Server) serveSocket(w http.ResponseWriter, r *http.Request) {
	room, ok := s.admit(w, r)
	if !ok {
		return
	}
	conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	k := &socket{conn: conn, gone: make(chan struct{})}
	go func() {
		defer close(k.gone)
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return
			}
		}
	}()
	defer func() {
		conn.Close()
		<-k.gone
		s.mu.Lock()
		delete(s.sockets, k)
		s.mu.Unlock()
	}()
	s.deliver(k, room, r)
}

func (s *Server) admit(w http.ResponseWriter, r *http.Request) (*room, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	room, ok := s.rooms[r.PathValue("uri")]
	if !ok {
		refuse(w, http.StatusNotFound, "Not found.")
		return nil, false
	}
	caller, known := s.caller(r)
	switch {
	case !known && !room.link:
		refuse(w, http.StatusUnauthorized, "Authentication credentials were not provided.")
		return nil, false
	case !room.link && !slices.Contains(room.members, caller.ID):
		refuse(w, http.StatusForbidden, "You are not a member of this session.")
		return nil, false
	}
	s.connects = append(s.connects, r.URL.RawQuery)
	return room, true
}

// opening is the first frame of a socket, nil if it gets none, the position in
// it, and the index of the first message that it delivers. The caller holds the
// lock.
func (s *Server) opening(room *room, after string, ids bool) (first map[string]any, position string, next int) {
	// Another session's event came last: the position is no message of this one.
	s.lastID++
	end, position := len(room.messages), messageID(s.lastID)
	if after != "" {
		next := slices.IndexFunc(room.messages, func(m message) bool { return m.ID > after })
		if next < 0 {
			next = end
		}
		if next < room.readable || end-next > resumeLimit {
			return map[string]any{"recovered": false, "position": position}, position, end
		}
		return map[string]any{"recovered": true, "position": position}, position, next
	}
	if ids {
		return map[string]any{"position": position}, position, end
	}
	return nil, position, end
}

func (s *Server) deliver(k *socket, room *room, r *http.Request) {
	after := r.FormValue("after")
	ids := after != "" || r.FormValue("ids") == "1"
	s.mu.Lock()
	k.ids = ids
	first, position, next := s.opening(room, after, ids)
	s.sockets[k] = struct{}{}
	s.opened++
	s.more.Broadcast()
	s.mu.Unlock()
	if first != nil && k.conn.WriteJSON(first) != nil {
		return
	}
	for {
		s.mu.Lock()
		pending, changed := slices.Clone(room.messages[next:]), room.changed
		var prev string
		if next > 0 {
			prev = room.messages[next-1].ID
		}
		s.mu.Unlock()
		for _, m := range pending {
			fault, live := s.faultOf(m), m.ID > position
			if live {
				prev = max(prev, position)
			} else if fault == Skip {
				fault = None
			}
			if !k.send(m, prev, ids, fault) {
				return
			}
			prev = m.ID
		}
		next += len(pending)
		select {
		case <-changed:
		case <-k.gone:
			return
		}
	}
}

func (s *Server) faultOf(m message) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.faults == nil {
		return None
	}
	return s.faults(m.Text)
}

// send delivers one message, or does with it what the fault says; false ends
// the connection.
func (k *socket) send(m message, prev string, ids bool, fault Fault) bool {
	if fault == Cut {
		return false
	}
	frame := map[string]any{"user": m.User, "message": m.Text}
	if ids {
		frame["id"], frame["prev"], frame["time"] = m.ID, prev, m.Time
	}
	data, err := json.Marshal(frame)
	if err != nil {
		return false
	}
	times := map[Fault]int{None: 1, CutAfter: 1, Double: 2}[fault]
	for range times {
		if k.conn.WriteMessage(websocket.TextMessage, data) != nil {
			return false
		}
	}
	return fault != CutAfter
}
