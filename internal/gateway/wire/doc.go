// Package wire holds what the gateway's sockets say and hear: RFC 6455 frames
// that are built once and shared by all who receive them, the JSON in them,
// and the commands of the many-room socket.
//
// Everything here is a pure function or an immutable value, safe for
// concurrent use.
package wire
