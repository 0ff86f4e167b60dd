package badgerstore

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/wontopos/latchkey/apikey"
)

// Badger writes through mapped memory into files that have a size but no blocks yet. If the file system has none left,
// the kernel sends SIGBUS, and the process ends. So nothing is written for which there is no space yet:
//
//   - The log of the memtable, and the log of the next one, get their blocks before Badger uses them: Badger opens the
//     second, of size 0, where it would otherwise create one. Whatever fits into the log needs no further space.
//   - A full memtable becomes a table, in one of Badger's goroutines. A write that may start this is admitted only if
//     there is space for the table, and for a file as large (the ballast). The ballast stays while Badger writes the
//     table, in case somebody else fills the disk: then it is given up.
//   - [Store.compactor] compacts tables when there is space for all of them once more. A memtable that would become a
//     table without leaving that space is not filled: tables that nobody can compact would occupy the disk for good.
//
// Badger does not say how full the memtable is. It is counted here, never too low.
type reserve struct {
	dir    string
	size   int64         // of a memtable, after which Badger goes on to the next
	newest func() uint64 // the highest version in a table
	tables func() int64  // bytes in tables
	log    *slog.Logger

	mu       sync.Mutex
	used     int64         // of the memtable, as an upper bound
	current  string        // its log
	logFile  fs.FileInfo   // of current
	manifest fs.FileInfo   // of Badger's list of tables
	ready    bool          // current has its blocks
	spare    string        // the log of the next memtable, with its blocks; "" if there is none
	ballast  bool          // the ballast is there
	files    []*os.File    // entries in the table of open files that a turn needs
	hold     int           // so many of them
	flushing bool          // a memtable is being written to a table
	written  uint64        // the highest version in a table, when the last memtable became one
	flushed  chan struct{} // closed when the memtable has become one
	plain    bool          // the file system cannot reserve blocks

	writing sync.RWMutex // shared by writes that cannot fill the log; the next one waits for them

	stuck   atomic.Pointer[error]  // why tables that should be compacted are not
	refuses atomic.Pointer[error]  // why changes are refused
	gone    atomic.Pointer[error]  // see lost
	missing atomic.Pointer[string] // a table that was taken away

	turned  chan struct{} // a memtable became a table: tables may have to be compacted
	stop    chan struct{} // closed by close
	running sync.WaitGroup
}

const (
	floor      = 1 << 20   // below this much free space, new keys and counts are refused
	brim       = 128 << 10 // below this much, somebody has filled the disk during the writing of a table
	heldFiles  = 16        // open files: a turn needs two, others may be faster to take some
	flushWait  = 5 * time.Second
	ballastFor = "BALLAST"
)

// logSize is the maximum size of a memtable's log: Badger goes on to the next when it has reached the memtable's size,
// and a transaction takes less than a quarter of that.
func (r *reserve) logSize() int64 { return r.size + r.size/4 }

func openReserve(dir string, size int64, newest func() uint64, tables func() int64, log *slog.Logger) (*reserve, error) {
	r := &reserve{
		dir: dir, size: size, newest: newest, tables: tables, log: log, hold: heldFiles, turned: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		logs, err := files(dir, ".mem")
		switch {
		case err != nil:
			return nil, err
		case len(logs) == 0:
			return nil, fmt.Errorf("badgerstore: open: directory %s was taken away", dir)
		case len(logs) == 1:
			r.current = logs[0]
		case time.Since(begin) > closeWait:
			return nil, fmt.Errorf("badgerstore: open: what is in the logs of directory %s could not be written as tables: Badger's log says why", dir)
		}
		if r.current != "" { // the logs of a process that died have become tables, which needed the space first
			break
		}
	}
	var err, merr error
	r.logFile, err = os.Lstat(r.current)
	if r.manifest, merr = os.Lstat(filepath.Join(dir, badger.ManifestFilename)); err != nil || merr != nil {
		return nil, fmt.Errorf("badgerstore: open: directory %s was taken away: %w", dir, errors.Join(err, merr))
	}
	r.written = newest()
	_ = r.look()
	return r, nil
}

// write lets f commit rows with the given number of bytes, if there is space for them. An urgent write, a change of an
// existing key, is admitted even after new keys and counts are refused, until the log is full.
func (r *reserve) write(bytes int64, urgent bool, f func() error) error {
	r.mu.Lock()
	for waited := false; r.flushing && r.used >= r.size && !waited; {
		flushed := r.flushed // the next log can be created when the previous one is a table, which takes some 50 ms
		r.mu.Unlock()
		select {
		case <-flushed:
		case <-time.After(flushWait):
			waited = true
		}
		r.mu.Lock()
	}
	always, usually := r.check()
	r.tell(errors.Join(always, usually))
	if err := always; err != nil || !urgent && usually != nil {
		r.mu.Unlock()
		return refusal(errors.Join(err, usually))
	}
	r.used += bytes
	if r.used < r.size {
		r.writing.RLock()
		defer r.writing.RUnlock()
		r.mu.Unlock()
		return f()
	}
	defer r.mu.Unlock()
	r.writing.Lock() // alone, while Badger may go on to the next log: if it cannot, the next write would end the process
	defer r.writing.Unlock()
	r.letFilesGo()
	err := f()
	if err != nil && strings.Contains(err.Error(), "cannot create new mem table") {
		return r.lose(err)
	}
	_ = r.holdFiles()
	r.turn(bytes)
	return err
}

// lose notes that Badger could not open its next log. It has no log then, and panics whatever it is asked.
func (r *reserve) lose(why error) error {
	var err error = &apikey.Error{
		Code: apikey.Unavailable,
		Msg: "badgerstore: the database has stopped because its next log could not be opened; nothing that was acknowledged is lost: " +
			"restart the program, and let it have more open files (ulimit -n) or larger ones (ulimit -f), as the reason says",
		Err: why,
	}
	r.gone.Store(&err)
	r.refuses.Store(&err)
	r.log.Error("badgerstore: changes are refused, and only keys in the cache are verified", "error", err)
	return err
}

// lost says why nothing can be read or written until the directory is opened again, and is nil as long as it can.
func (r *reserve) lost() error {
	if err := r.gone.Load(); err != nil {
		return *err
	}
	return nil
}

// awaitLost is lost, after a write that is turning the log.
func (r *reserve) awaitLost() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost()
}

// turn checks whether Badger has begun the next log, with the given number of
// bytes in it.
func (r *reserve) turn(bytes int64) {
	next := nextLog(r.current)
	info, err := os.Lstat(next)
	if err != nil || info.Size() == 0 {
		return
	}
	full := r.current
	r.current, r.logFile, r.used, r.ready, r.spare = next, info, bytes, r.spare != "", ""
	r.flushing, r.flushed = true, make(chan struct{})
	r.letFilesGo()
	r.running.Go(func() { r.watch(full) })
}

// watch waits until a memtable is a table. Then its log is gone, unless somebody still reads the memtable; and some
// table has a version that none had before, which a compaction may remove again.
func (r *reserve) watch(full string) {
	for pause := 500 * time.Microsecond; ; {
		if info, err := os.Lstat(full); errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
			break
		}
		if pause > time.Millisecond && r.newest() > r.written { // only watch changes written
			break
		}
		if free, err := freeBytes(r.dir); err == nil && free < brim {
			_ = os.Remove(filepath.Join(r.dir, ballastFor))
		}
		select {
		case <-r.stop:
			return
		case <-time.After(pause):
		}
		pause = min(pause+pause/64, 50*time.Millisecond)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = os.Remove(filepath.Join(r.dir, ballastFor))
	r.ballast, r.flushing, r.written = false, false, max(r.written, r.newest())
	close(r.flushed)
	always, usually := r.check()
	r.tell(errors.Join(always, usually))
	select {
	case r.turned <- struct{}{}:
	default:
	}
}

// look returns why a write that is not urgent would be refused.
func (r *reserve) look() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	always, usually := r.check()
	err := errors.Join(always, usually)
	r.tell(err)
	return err
}

// tell records why changes are refused, and logs when that begins and ends.
func (r *reserve) tell(err error) {
	before := r.refuses.Load()
	switch {
	case err == nil && before != nil:
		r.refuses.Store(nil)
		r.log.Info("badgerstore: changes are accepted again")
	case err != nil:
		r.refuses.Store(&err)
		if before == nil {
			r.log.Error("badgerstore: changes are refused; keys go on being verified", "error", err)
		}
	}
}

func (r *reserve) refusing() error {
	if err := r.refuses.Load(); err != nil {
		return *err
	}
	return nil
}

// refusal is the answer to a change that was not made.
func refusal(err error) error {
	return &apikey.Error{Code: apikey.Unavailable, Msg: "badgerstore: the change was refused, nothing was written", Err: err}
}

// nextLog returns the name of the log that Badger creates after the given one.
func nextLog(name string) string {
	var n int
	_, _ = fmt.Sscanf(filepath.Base(name), "%d.mem", &n)
	return filepath.Join(filepath.Dir(name), fmt.Sprintf("%05d.mem", n+1))
}

// rowBytes is an upper bound on what the rows of a transaction take in a memtable: 64 bytes for each cover Badger's
// node and header.
func rowBytes(rows []row) int64 {
	n := int64(128)
	for _, w := range rows {
		n += int64(len(w.key)+len(w.value)) + 64
	}
	return n
}

// heldRoom is a file that reserves space while the store is closed, so that the store can be opened on a disk that has
// filled up.
const heldRoom = "RESERVE"

// close gives back the reserved space, which Badger needs to make a table of its memtable, and says why that cannot be
// done.
func (r *reserve) close() error {
	close(r.stop)
	ended := make(chan struct{})
	go func() { r.running.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(closeWait):
		return errors.New("a compaction waits for room on the disk")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.letFilesGo()
	_ = os.Remove(filepath.Join(r.dir, ballastFor))
	if r.spare != "" {
		_ = os.Remove(r.spare)
		r.spare = ""
	}
	if r.used == 0 && !r.flushing || r.lost() != nil {
		return nil
	}
	if err := mayWrite(r.dir); err != nil {
		return err
	}
	if err := r.taken(); err != nil {
		return err
	}
	if err := mayOpen(heldFiles); err != nil {
		return err
	}
	free, err := freeBytes(r.dir)
	if needed := min(r.used+r.used/8, r.logSize()) + 256<<10; err == nil && free < needed {
		err = fmt.Errorf("the file system of %s has %d KiB free, to close it takes %d", r.dir, free>>10, needed>>10)
	}
	return err
}

// holdRoom reserves space for the next time that the directory is opened.
func (r *reserve) holdRoom() {
	name := filepath.Join(r.dir, heldRoom)
	if r.plain || r.putAside(name, os.O_WRONLY|os.O_CREATE) != nil {
		_ = os.Remove(name)
	}
}
