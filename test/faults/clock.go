package faults

import (
	"path/filepath"
	"syscall"

	"github.com/chatcluster/chatcluster/test/overlay"
)

// The signals that set the clock of a chatd that was built with a ClockOverlay:
// an hour ahead, and an hour back.
const (
	ClockAhead = syscall.SIGUSR1
	ClockBack  = syscall.SIGUSR2
)

// jumpFile gives chatd the signals. It is no part of the product: it is only
// there in a build with the overlay.
const jumpFile = `package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

func init() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		for s := range signals {
			if s == syscall.SIGUSR1 {
				time.SetWallClock(+3600)
			} else {
				time.SetWallClock(-3600)
			}
		}
	}()
}
`

// clockFile belongs to package time.
const clockFile = `package time

import "sync/atomic"

var wallClock atomic.Int64

// SetWallClock sets the wall clock ahead by some seconds.
func SetWallClock(seconds int64) { wallClock.Add(seconds) }
`

// now is the line of time.Now that reads the clock, and skewed what takes its
// place. The monotonic clock stays as it is, as it does where an administrator
// sets a machine's clock.
const (
	now    = "\tsec, nsec, mono := runtimeNow()\n\tif mono == 0 {\n"
	skewed = "\tsec, nsec, mono := runtimeNow()\n\tsec += wallClock.Load()\n\tif mono == 0 {\n"
)

// ClockOverlay writes into dir what `go build -overlay` needs to build a chatd
// whose clock can be set, and returns the path of the overlay's file. goroot is
// that of the go command, module the root of this module.
//
// It changes package time, and not the product, because the product has no
// setting for its clock and should have none; and because this reaches what
// its libraries do by the clock, too.
func ClockOverlay(dir, goroot, module string) (string, error) {
	timeFile := filepath.Join(goroot, "src", "time", "time.go")
	text, err := overlay.ReplaceOnce(timeFile, now, skewed)
	if err != nil {
		return "", err
	}
	return overlay.Write(dir, map[string]string{
		timeFile: text,
		filepath.Join(goroot, "src", "time", "wallclock.go"):      clockFile,
		filepath.Join(module, "cmd", "chatd", "clock_overlay.go"): jumpFile,
	})
}
