package api

import (
	"context"
	"net/http"

	"github.com/chatcluster/chatcluster/internal/chat"
)

type roomList struct {
	Status string `json:"status"`
	Rooms  []room `json:"rooms"`
}

// listRooms lists the rooms that the caller may enter; to staff, all of them.
func (a *API) listRooms(ctx context.Context, req *request) (answer, error) {
	found, err := a.rooms.Listed(ctx, req.caller.User)
	if err != nil {
		return answer{}, err
	}
	list := roomList{Status: success, Rooms: make([]room, len(found))}
	for i, r := range found {
		list.Rooms[i] = viewRoom(r)
	}
	return reply(list)
}

func (a *API) createRoom(ctx context.Context, req *request) (answer, error) {
	title, staffOnly := req.body.required("title"), req.body.flag("staff_only")
	if err := req.body.err(); err != nil {
		return answer{}, err
	}
	created, err := a.rooms.CreateRoom(ctx, req.caller.User, title, staffOnly != nil && *staffOnly)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusCreated, body: viewRoom(created)}, nil
}

func (a *API) updateRoom(ctx context.Context, req *request) (answer, error) {
	change := chat.RoomChange{Title: req.body.text("title"), StaffOnly: req.body.flag("staff_only")}
	if err := req.body.err(); err != nil {
		return answer{}, err
	}
	r, err := a.adminRoom(ctx, req)
	if err != nil {
		return answer{}, err
	}
	changed, err := a.rooms.UpdateRoom(ctx, req.caller.User, r, change)
	if err != nil {
		return answer{}, err
	}
	return reply(viewRoom(changed))
}

func (a *API) deleteRoom(ctx context.Context, req *request) (answer, error) {
	r, err := a.adminRoom(ctx, req)
	if err != nil {
		return answer{}, err
	}
	if err := a.rooms.DeleteRoom(ctx, req.caller.User, r); err != nil {
		return answer{}, err
	}
	return noContent()
}

func (a *API) adminRoom(ctx context.Context, req *request) (chat.Room, error) {
	id, err := req.variable("id")
	if err != nil {
		return chat.Room{}, err
	}
	ref, err := a.rooms.Lookup(ctx, id)
	return ref.Room, err
}
