// Package gateway is the log, fanned out to WebSockets.
//
// A Gateway serves two kinds of sockets: that of one session, which only
// receives, and that of many rooms, on which a client joins, leaves, sends and
// asks who is there. It keeps nothing that it could not rebuild: rooms, rights
// and history are package chat's, and who is in which room is kept under the
// gateway's lease so that others notice when it dies.
//
// Run owns all goroutines but those of the HTTP handlers. Everything exported
// is safe for concurrent use.
package gateway
