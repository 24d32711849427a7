// Package charts tests what the charts render, by helm. The tests have the build
// tag charts, since helm takes minutes to compile; make charts runs them.
package charts
