package local

// File is what the tests put in the place of segment files.
type File = file

// OpenFile opens a real one.
var OpenFile = openFile

// WithOpen returns the options with another way to open segment files.
func WithOpen(o Options, open func(path string, flag int) (File, error)) Options {
	o.open = open
	return o
}
