package client

import (
	"encoding/json"
	"fmt"
	"time"
)

// maxReconnectDelay bounds what a server can make a client wait.
const maxReconnectDelay = time.Hour

type frameKind int

const (
	// frameOther is a frame of a newer server; it is skipped.
	frameOther frameKind = iota
	// framePosition opens a connection that starts with what comes next.
	framePosition
	// frameRecovered and frameLost open one that was asked to resume.
	frameRecovered
	frameLost
	frameMessage
	// frameReconnect tells that the server will close this connection.
	frameReconnect
)

// frame is one text frame of the delivery socket.
type frame struct {
	kind frameKind
	// position is where the live messages start; all before it has been
	// received once the missed messages have. With frameReconnect, all before
	// it has been received.
	position string
	// delay is when to connect again, with frameReconnect.
	delay   time.Duration
	message Message
	// prev is the id of the message before this one in the session, or a
	// position before this one that no message follows until it; or empty.
	prev string
}

// decodeFrame reads a frame by the fields that it has: frames have no type
// field, since the plain message frame of the contract has none.
func decodeFrame(data []byte) (frame, error) {
	var wire struct {
		Position  string          `json:"position"`
		Recovered *bool           `json:"recovered"`
		Prev      string          `json:"prev"`
		User      json.RawMessage `json:"user"`
		Reconnect *int64          `json:"reconnect"`
		After     string          `json:"after"`
	}
	if err := json.Unmarshal(data, &wire); err != nil {
		return frame{}, fmt.Errorf("decode frame: %w", err)
	}
	f := frame{position: wire.Position, prev: wire.Prev}
	switch {
	case wire.User != nil:
		f.kind = frameMessage
		if err := json.Unmarshal(data, &f.message); err != nil {
			return frame{}, fmt.Errorf("decode message frame: %w", err)
		}
	case wire.Reconnect != nil:
		f.kind, f.position = frameReconnect, wire.After
		f.delay = time.Duration(min(max(*wire.Reconnect, 0), maxReconnectDelay.Milliseconds())) * time.Millisecond
	case wire.Recovered != nil && *wire.Recovered:
		f.kind = frameRecovered
	case wire.Recovered != nil:
		f.kind = frameLost
	case wire.Position != "":
		f.kind = framePosition
	}
	return f, nil
}
