// Package web gives the pages that people use: sign-up, log-in, log-out and
// the chat itself. The pages are plain HTML, CSS and JavaScript modules,
// embedded in the binary and served as they are; everything that the chat page
// knows it asks of the API and the socket, as any other client would.
//
// A Web is safe for concurrent use and owns no goroutine.
package web
