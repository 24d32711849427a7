package local

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Errors of Open that callers may branch on. In each case what is in the
// directory has been left as it was.
var (
	// ErrLocked: a store is open in the directory.
	ErrLocked = errors.New("the directory is in use by another process")
	// ErrForeign: the directory holds something else.
	ErrForeign = errors.New("the directory is not empty and holds no store")
	// ErrNewer: the store was written by a later release.
	ErrNewer = errors.New("the store is of a newer version")
	// ErrDamaged: the store's files are incomplete or corrupt.
	ErrDamaged = errors.New("the store is damaged")
)

// A store's directory holds these. The engine's own files are made under
// another name and only take their place once they and formatFile are complete:
// without formatFile nothing was ever stored, and with it the engine's files
// must be there.
const (
	formatFile    = "FORMAT"
	formatFileNew = "FORMAT.new"
	lockFile      = "LOCK"
	engineDir     = "pebble"
	engineDirNew  = "pebble.new"

	formatName    = "chatcluster-store"
	formatVersion = 1
)

// checkFormat refuses what is no store of ours, and says whether there is one
// already. It changes nothing.
func checkFormat(disk vfs.FS, dir string) (exists bool, err error) {
	names, err := disk.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var foreign []string
	for _, name := range names {
		switch name {
		case formatFile:
			exists = true
		case lockFile, formatFileNew, engineDirNew:
		case "lost+found": // in the root of a volume of its own
		default:
			foreign = append(foreign, name)
		}
	}
	if exists {
		return true, checkVersion(disk, filepath.Join(dir, formatFile))
	}
	if len(foreign) > 0 {
		const shown = 3
		return false, fmt.Errorf("%w: it has no file %s, but %s (%d entries)",
			ErrForeign, formatFile, strings.Join(foreign[:min(shown, len(foreign))], ", "), len(foreign))
	}
	return false, nil
}

func checkVersion(disk vfs.FS, path string) error {
	f, err := disk.Open(path)
	if err != nil {
		return err
	}
	const longest = 64
	text, err := io.ReadAll(io.LimitReader(f, longest))
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	var name string
	var version int
	if _, err := fmt.Sscanf(string(text), "%s %d\n", &name, &version); err != nil || name != formatName || version < 1 {
		return fmt.Errorf("%w: its file %s says %q, not %q", ErrForeign, formatFile, text, formatText())
	}
	if version > formatVersion {
		return fmt.Errorf("%w: it is version %d, and this release reads up to version %d", ErrNewer, version, formatVersion)
	}
	return nil
}

func formatText() string { return fmt.Sprintf("%s %d\n", formatName, formatVersion) }

// openDir opens the engine in dir on the disk, and makes it if there is nothing
// yet. The options hold the fence of that disk, which is for the engine alone.
func (f *fault) openDir(dir string, disk vfs.FS, opts *pebble.Options) (_ *pebble.DB, _ io.Closer, err error) {
	// First without the lock, whose file would be a change.
	if _, err := checkFormat(disk, dir); err != nil {
		return nil, nil, err
	}
	if err := makeDir(disk, dir); err != nil {
		return nil, nil, err
	}
	lock, err := pebble.LockDirectory(dir, disk)
	if pathErr := (*fs.PathError)(nil); err != nil && !errors.As(err, &pathErr) {
		return nil, nil, fmt.Errorf("%w (%w)", ErrLocked, err)
	}
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		// A store that failed while it was opened keeps the lock.
		if err != nil && f.err() == nil {
			err = errors.Join(err, lock.Close())
		}
	}()
	exists, err := checkFormat(disk, dir)
	if err != nil {
		return nil, nil, err
	}
	if !exists {
		if err := f.makeStore(dir, disk, opts); err != nil {
			return nil, nil, fmt.Errorf("make a new store: %w", err)
		}
	}
	path := filepath.Join(dir, engineDir)
	if err := settle(disk, dir, path); err != nil {
		return nil, nil, err
	}
	opts = opts.Clone()
	opts.ErrorIfNotExists = true
	db, err := f.openEngine(path, opts)
	if pebble.IsCorruptionError(err) || errors.Is(err, pebble.ErrDBDoesNotExist) || errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%w and was left as it is: %w", ErrDamaged, err)
	}
	return db, lock, err
}

func (f *fault) openEngine(path string, opts *pebble.Options) (*pebble.DB, error) {
	var db *pebble.DB
	err := f.guard(func() (err error) {
		db, err = pebble.Open(path, opts)
		return err
	})
	if err != nil {
		return nil, err
	}
	return db, nil
}

// makeStore makes an empty store, up to its last step.
func (f *fault) makeStore(dir string, disk vfs.FS, opts *pebble.Options) error {
	path := filepath.Join(dir, engineDirNew)
	// What a start that was cut short has left.
	if err := disk.RemoveAll(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := f.openEngine(path, opts)
	if err != nil {
		return err
	}
	if err := f.guard(db.Close); err != nil {
		return err
	}
	return writeFormat(disk, dir)
}

func writeFormat(disk vfs.FS, dir string) error {
	path := filepath.Join(dir, formatFileNew)
	file, err := disk.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = io.WriteString(file, formatText())
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := disk.Rename(path, filepath.Join(dir, formatFile)); err != nil {
		return err
	}
	return syncDir(disk, dir)
}

// settle takes the last step of makeStore, if it has not been taken.
func settle(disk vfs.FS, dir, path string) error {
	if _, err := disk.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := disk.Rename(filepath.Join(dir, engineDirNew), path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: it has a file %s, but no directory %s", ErrDamaged, formatFile, engineDir)
	}
	if err != nil {
		return err
	}
	return syncDir(disk, dir)
}

// makeDir makes the directory, and its parents, if they are missing, durably: a
// store that is synced must not vanish with the entry of its directory.
func makeDir(disk vfs.FS, dir string) error {
	if _, err := disk.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := makeDir(disk, parent); err != nil {
		return err
	}
	if err := disk.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(disk, parent)
}

func syncDir(disk vfs.FS, dir string) error {
	d, err := disk.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
