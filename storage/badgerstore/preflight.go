package badgerstore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
)

// Badger trusts its directory. It ends the process if a table is truncated, leaves out one whose index is damaged,
// deletes all tables if MANIFEST is gone, and those that a truncated MANIFEST does not list. So the directory is
// checked before Badger opens it.

var errInUse = errors.New("in use: is another process of this program running? " +
	"Only one process at a time can use it; for several, use a store that they can share")

const (
	restore  = "restore the directory from a backup"
	unlisted = ".unlisted" // appended to the names of tables that MANIFEST does not list
)

// files returns the files of dir whose names end in suffix.
func files(dir, suffix string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	return names, err
}

// preflight prepares the directory for Badger, or says what is wrong with it. It returns the newest version in tables
// that MANIFEST does not list: another file must have it, too. The caller holds the lock.
func preflight(o badger.Options) (newest uint64, err error) {
	dir := o.Dir
	defer recovered(&err)
	names, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("cannot be read: let this program do that, or give it another directory: %w", err)
	}
	if err := mayWrite(dir); err != nil {
		return 0, fmt.Errorf("cannot be written to: let this program do that, or give it another directory: %w", err)
	}
	if err := mayUse(dir, names); err != nil {
		return 0, err
	}
	tables, err := listed(o)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, strangers(names)
	}
	if err != nil {
		return 0, fmt.Errorf("its MANIFEST cannot be read, it is damaged or another version's: %s: %w", restore, err)
	}
	if err := mayOpen(len(tables) + 32); err != nil {
		return 0, err
	}
	if err := tidy(dir); err != nil {
		return 0, err
	}
	for id, t := range tables {
		if t.KeyID != 0 { // encrypted: not this store's
			continue
		}
		if _, err := checkTable(table.NewFilename(id, dir), t.Compression); err != nil {
			return 0, fmt.Errorf("table %d is missing or damaged: %s: %w", id, restore, err)
		}
	}
	newest, err = setAside(dir, tables)
	if err != nil {
		return 0, err
	}
	return newest, hasRoom(dir)
}

// mayUse checks whether the files may be read and written: a program that once ran as another user left files of that user.
func mayUse(dir string, names []fs.DirEntry) error {
	for _, e := range names {
		if name := e.Name(); !e.Type().IsRegular() || name[0] == '.' {
			continue
		}
		f, err := os.OpenFile(filepath.Join(dir, e.Name()), os.O_RDWR, 0)
		if errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("holds a file that this program may not read and write, perhaps another user's: give the program all files in it: %w", err)
		}
		f.Close()
	}
	return nil
}

// listed returns the tables that MANIFEST lists.
func listed(o badger.Options) (map[uint64]badger.TableManifest, error) {
	f, err := os.Open(filepath.Join(o.Dir, badger.ManifestFilename))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, _, err := badger.ReplayManifestFile(f, o.ExternalMagicVersion, o)
	return m.Tables, err
}

// strangers refuses to create a store among somebody else's files.
func strangers(names []fs.DirEntry) error {
	for _, e := range names {
		switch name := e.Name(); {
		case strings.HasSuffix(name, ".sst"), strings.HasSuffix(name, ".vlog"), strings.HasSuffix(name, ".mem"):
			return fmt.Errorf("holds a database whose MANIFEST is missing: %s", restore)
		case name == "LOCK", name == "KEYREGISTRY", name == "MANIFEST-REWRITE", name == "lost+found", name == heldRoom, name[0] == '.':
		default:
			return fmt.Errorf("holds files of something else (%s): give the store a directory of its own", name)
		}
	}
	return nil
}

// tidy removes files that hold nothing but would stop Badger or end the process: space that was put aside, logs that
// were created or emptied when the process died, statistics of the wrong size.
func tidy(dir string) error {
	remove := []string{filepath.Join(dir, heldRoom), filepath.Join(dir, ballastFor)}
	for _, suffix := range []string{".mem", ".vlog"} {
		logs, err := files(dir, suffix)
		if err != nil {
			return err
		}
		for _, name := range logs {
			if info, err := os.Stat(name); err == nil && info.Size() == 0 {
				remove = append(remove, name)
			}
		}
	}
	statistics := filepath.Join(dir, "DISCARD")
	if info, err := os.Stat(statistics); err == nil && info.Mode().IsRegular() && (info.Size()%16 != 0 || info.Size() < 1<<10) {
		remove = append(remove, statistics)
	}
	for _, name := range remove {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, name := range []string{statistics, filepath.Join(dir, "KEYREGISTRY")} {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", restore, err)
		}
		f.Close()
	}
	return nil
}

// setAside renames the tables that MANIFEST does not list, which Badger would delete. A process that dies also leaves
// some whose contents are elsewhere.
func setAside(dir string, tables map[uint64]badger.TableManifest) (newest uint64, err error) {
	found, err := files(dir, ".sst")
	if err != nil {
		return 0, err
	}
	for _, name := range found {
		if id, ok := table.ParseFileID(name); !ok {
			return 0, fmt.Errorf("holds a file of something else (%s): take it away", filepath.Base(name))
		} else if _, ok := tables[id]; ok {
			continue
		}
		if err := os.Rename(name, name+unlisted); err != nil {
			return 0, err
		}
	}
	aside, err := files(dir, ".sst"+unlisted)
	for _, name := range aside {
		if version, err := checkTable(name, options.None); err == nil { // an unfinished table is in nobody's way
			newest = max(newest, version)
		}
	}
	return newest, err
}

// putBack undoes setAside.
func putBack(dir string) {
	aside, _ := files(dir, unlisted)
	for _, name := range aside {
		_ = os.Rename(name, strings.TrimSuffix(name, unlisted))
	}
}

// mayOpen checks whether n more files can be opened.
func mayOpen(n int) error {
	open := make([]*os.File, 0, n)
	defer func() {
		for _, f := range open {
			f.Close()
		}
	}()
	for range n {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return fmt.Errorf("this process needs %d more open files: allow it them (ulimit -n): %w", n, err)
		}
		open = append(open, f)
	}
	return nil
}

// hasRoom checks whether the logs of a process that died can become tables.
func hasRoom(dir string) error {
	logs, err := files(dir, ".mem")
	if err != nil {
		return err
	}
	needed := int64(256 << 10)
	for _, name := range logs {
		used, err := contentSize(name)
		if err != nil {
			return err
		}
		needed += used + used/4
	}
	free, err := freeBytes(dir)
	if err != nil {
		return err
	}
	if free < needed {
		return fmt.Errorf("its file system has %d KiB free, to open it takes %d: make room, and start again; nothing is lost", free>>10, needed>>10)
	}
	return nil
}

// contentSize is the offset at which a log's trailing zeros begin.
func contentSize(name string) (size int64, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	buf := make([]byte, 64<<10)
	for at := int64(0); ; {
		n, err := io.ReadFull(f, buf)
		if i := slices.IndexFunc(buf[:n], func(b byte) bool { return b != 0 }); i >= 0 {
			size = at + int64(n)
		}
		at += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return size, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// checkTable reads a table, and returns its newest version. Badger's own code checks a copy in memory: it panics if the
// table is truncated.
func checkTable(name string, c options.CompressionType) (version uint64, err error) {
	defer recovered(&err)
	data, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	t, err := table.OpenInMemoryTable(data, 0, &table.Options{BlockSize: 4 << 10, Compression: c})
	if err != nil {
		return 0, err
	}
	return t.MaxVersion(), t.VerifyChecksum()
}

// recovered turns a panic into an error, including the fault when a mapped file cannot be read because the disk fails
// or the file was truncated. It is deferred.
func recovered(err *error) {
	switch v := recover().(type) {
	case nil:
	case runtime.Error:
		*err = fmt.Errorf("a file of the database cannot be read: %s: %w", restore, v)
	default: // Badger dumps the file
		*err = fmt.Errorf("a file of the database cannot be read: %s", restore)
	}
}

// catchFaults turns the faults of this goroutine into panics, for recovered.
func catchFaults() (undo func()) {
	before := debug.SetPanicOnFault(true)
	return func() { debug.SetPanicOnFault(before) }
}
