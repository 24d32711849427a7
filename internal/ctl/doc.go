// Package ctl is the command line of a chat server: accounts, sessions,
// messages and live delivery for people and scripts, and the doctor for
// operators.
//
// What a command answers goes to standard output, everything else to standard
// error. It starts no goroutine that outlives Run, except a prompt for a
// password that the user broke off.
package ctl
