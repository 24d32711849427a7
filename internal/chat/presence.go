package chat

import (
	"context"
	"fmt"
	"time"
)

// PresentUser is one whom a room has seen within the PresenceWindow.
type PresentUser struct {
	User Profile
	// Left is true if none of the user's sockets is in the room.
	Left bool
	// Updated is the time of the user's last join or message.
	Updated time.Time
}

// RoomUsers is everyone whom the room has seen in the last PresenceWindow, by
// user id, whichever gateway their sockets are at.
func RoomUsers(ctx context.Context, store PresenceStore, room Room, now time.Time) (map[int64]PresentUser, error) {
	rows, err := store.PresenceOfRoom(ctx, room.URI)
	if err != nil {
		return nil, fmt.Errorf("read presence: %w", err)
	}
	users := map[int64]PresentUser{}
	for _, row := range rows {
		user, known := users[row.User.ID]
		if !known {
			user = PresentUser{User: row.User, Left: true}
		}
		user.Left = user.Left && row.Left
		if row.Updated.After(user.Updated) {
			user.User, user.Updated = row.User, row.Updated
		}
		users[row.User.ID] = user
	}
	for id, user := range users {
		if user.Left && user.Updated.Before(now.Add(-PresenceWindow)) {
			delete(users, id)
		}
	}
	return users, nil
}
