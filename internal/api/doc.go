// Package api is the REST API: accounts, sessions, messages and rooms over
// HTTP, and the document that describes it. Its answers have the shapes of
// Django REST framework, which its first clients were written for.
//
// One table (routes.go) says which handler answers which method and path, and
// for whom. A handler returns what to say or why not; respond.go puts it on
// the wire, errors.go turns every error into its answer.
//
// An API is safe for concurrent use, keeps no state of its own but whether it
// drains, and starts no goroutine.
package api
