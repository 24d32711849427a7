// Package browser drives the web pages with a real browser, against the whole
// server: what people see when two of them chat.
package browser
