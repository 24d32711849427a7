//go:build !linux

package local

import "os"

type dataFile struct{ *os.File }
