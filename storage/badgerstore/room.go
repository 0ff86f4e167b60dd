package badgerstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/dgraph-io/badger/v4"
)

// check says why nothing can be written, or why it must be urgent. It holds mu.
func (r *reserve) check() (always, usually error) {
	if err := r.lost(); err != nil {
		return err, nil
	}
	if err := mayWrite(r.dir); err != nil {
		return fmt.Errorf("the directory can no longer be written to: give it back to this program, or mount it again: %w", err), nil
	}
	err := r.taken()
	if err != nil { // the log may be a table, and the next log begun unseen
		r.turn(0)
		err = r.taken()
	}
	if err != nil {
		return fmt.Errorf("the database's files have been taken away: put the directory back as it was, or restore a backup, and restart: %w", err), nil
	}
	free, err := freeBytes(r.dir)
	if err != nil {
		return err, nil
	}
	full := func(err error) error {
		switch {
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
			return fmt.Errorf("this process has too many files open: allow it more (ulimit -n): %w", err)
		case errors.Is(err, syscall.EFBIG):
			return fmt.Errorf("this process may not make a file of %d KiB: allow it larger ones (ulimit -f): %w", 2*r.size>>10, err)
		case err == nil:
			err = errors.New("too little")
		}
		return fmt.Errorf("the file system of %s has %d KiB free (%w): make room on it, or enlarge it; the store then goes on by itself", r.dir, free>>10, err)
	}
	if !r.ready && !r.plain {
		if err := r.putAside(r.current, os.O_WRONLY); err != nil {
			return full(err), nil
		}
		r.ready = !r.plain
	}
	if r.plain {
		if free < 3*r.logSize() {
			return full(nil), nil
		}
	} else if r.needsSpare() {
		if err := r.makeSpare(); err != nil {
			usually = full(err)
		}
	}
	if needed := r.roomToCompact(); usually == nil && r.used >= r.size/2 && free < needed { // the other half is for what is urgent
		usually = fmt.Errorf("the file system of %s has %d KiB free, to compact the tables after the next one takes %d: make room on it, or enlarge it; the store then goes on by itself",
			r.dir, free>>10, needed>>10)
	}
	if r.used >= r.size { // what is written next may turn the log
		switch {
		case usually != nil:
			return usually, nil
		case r.spare == "" && !r.plain:
			return errors.New("the disk is too slow: what came before is not written yet: try again in a moment"), nil
		case r.stuck.Load() != nil:
			return *r.stuck.Load(), nil
		}
		if err := r.makeBallast(); err != nil {
			return full(err), nil
		}
		if err := r.holdFiles(); err != nil {
			return full(err), nil
		}
	}
	if free < floor && usually == nil {
		usually = full(nil)
	}
	return nil, usually
}

// taken says which file of the database is not the one that Badger writes to: what is written would be lost.
func (r *reserve) taken() error {
	info, err := os.Lstat(r.current)
	if err == nil && !os.SameFile(info, r.logFile) {
		err = &os.PathError{Op: "look at", Path: r.current, Err: errReplaced}
	}
	if err != nil {
		return err
	}
	name := filepath.Join(r.dir, badger.ManifestFilename)
	if info, err = os.Lstat(name); err != nil {
		return err
	}
	if !os.SameFile(info, r.manifest) {
		if !isOpen(info) { // Badger itself replaces it after some thousand compactions
			return &os.PathError{Op: "look at", Path: name, Err: errReplaced}
		}
		r.manifest = info
	}
	if table := r.missing.Load(); table != nil {
		return &os.PathError{Op: "look at", Path: *table, Err: fs.ErrNotExist}
	}
	return nil
}

var errReplaced = errors.New("the file was replaced by another one")

// roomToCompact returns how much must be free to make a table of the memtable, and then compact all tables. The ballast
// stays besides, for when somebody else takes that room.
func (r *reserve) roomToCompact() int64 {
	needed := r.tables() + r.logSize() + compactRoom
	if !r.ballast {
		needed += r.logSize()
	}
	if r.flushing {
		needed += r.logSize()
	}
	return needed
}

// nearlyCramped reports whether there is room for about one more table.
func (r *reserve) nearlyCramped() bool {
	r.mu.Lock()
	needed := r.roomToCompact() + r.logSize()
	r.mu.Unlock()
	free, err := freeBytes(r.dir)
	return err == nil && free < needed
}

// putAside gives a log its blocks.
func (r *reserve) putAside(name string, flags int) error {
	f, err := os.OpenFile(name, flags, 0o666)
	if err != nil {
		return err
	}
	defer f.Close()
	err = allocate(f, r.logSize())
	if errors.Is(err, errors.ErrUnsupported) {
		r.plain = true
		return nil
	}
	return err
}

// needsSpare reports whether there is no spare, or somebody has taken it away before its turn.
func (r *reserve) needsSpare() bool {
	if r.spare != "" && r.used >= r.size {
		if _, err := os.Lstat(r.spare); err != nil {
			r.spare = ""
		}
	}
	return r.spare == "" && !r.flushing
}

// makeSpare makes the log of the next memtable, in the place where Badger will look for it.
func (r *reserve) makeSpare() error {
	name := nextLog(r.current)
	err := r.putAside(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil || r.plain {
		_ = os.Remove(name)
		return err
	}
	r.spare = name
	return nil
}

func (r *reserve) makeBallast() error {
	if r.ballast || r.plain {
		return nil
	}
	name := filepath.Join(r.dir, ballastFor)
	err := r.putAside(name, os.O_WRONLY|os.O_CREATE)
	if err == nil {
		err = os.Truncate(name, 2*r.size) // as Badger does with its next log: it must not meet a limit on the size of files
	}
	if err != nil {
		_ = os.Remove(name)
		return err
	}
	r.ballast = true
	return nil
}

// holdFiles keeps places in the process's table of open files: when Badger cannot open a new log it ends the process.
func (r *reserve) holdFiles() error {
	for len(r.files) < r.hold {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return err
		}
		r.files = append(r.files, f)
	}
	return nil
}

func (r *reserve) letFilesGo() {
	for _, f := range r.files {
		f.Close()
	}
	r.files = nil
}
