// Package readiness decides whether a process should get work: it watches what
// the process depends on, and forgives short interruptions.
//
// A Watch owns the goroutines of its Run. Everything is safe for concurrent
// use.
package readiness
