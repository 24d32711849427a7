// Package decide holds the operator's decisions: pure functions from what was
// observed to what shall be done or reported. Nothing here reads a clock or a
// cluster.
package decide
