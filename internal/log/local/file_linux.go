package local

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// dataFile syncs by fdatasync, which leaves out the file's times.
type dataFile struct{ *os.File }

func (f dataFile) Sync() error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
