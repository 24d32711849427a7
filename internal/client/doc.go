// Package client talks to a chat server from outside: accounts, sessions,
// messages and history over REST, and live delivery over a WebSocket that
// reconnects and resumes by itself. It knows the server by its documented wire
// contract only.
//
// A Client is safe for concurrent use and read-only after New. No call leaves a
// goroutine behind: what Receive starts has ended when it returns.
package client
