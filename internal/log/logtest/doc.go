// Package logtest is the conformance suite of chat.Log: what every adapter
// must do, and what the rest of the server relies on.
//
// It takes into account that a log may hold other records already, that offsets
// rise but have gaps and begin anywhere, and that an answer may take a while.
// Nobody else may append while it runs.
package logtest
