package badgerstore

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/wontopos/latchkey/storage"
)

// Store is a [storage.Store] and a [storage.Notifier] in a directory, and keeps
// the limiter's windows as well. Make one with [Open]; it may be used
// concurrently.
type Store struct {
	hub  storage.Hub
	life life
	log  *slog.Logger
	db   *badger.DB

	// flow keeps all other writers out between a change's commit and its sync: a
	// change locks it exclusively, all other writers share it. See commit.
	flow sync.RWMutex
	sync func() error // db.Sync

	lock    *os.File // of the directory
	reserve *reserve
	held    heldWindows
	saving  sync.RWMutex // locked exclusively while a held window is written

	pending pending       // changes that wait for a leader
	lead    chan struct{} // holds a token while somebody leads
	seq     uint64        // of the newest audit entry; owned by the leader
	broken  error         // why no change is accepted any more; owned by the leader

	bounds bounds    // of List
	began  time.Time // the time since which scopes are counted

	usage    sync.Mutex // one batch of usage at a time: it reads, adds, writes
	maintain sync.Mutex // one maintenance at a time

	pacing  sync.Mutex  // held by the one goroutine of a compaction that rests
	hurried atomic.Bool // a compaction does not rest: somebody waits for it

	wanted        chan chan error // of Maintain
	stop, stopped chan struct{}   // of keepTidy
	closing       sync.Once
	closed        error // of Close
}

var (
	_ storage.Store    = (*Store)(nil)
	_ storage.Notifier = (*Store)(nil)
)

// Options configures [Open]. The zero value is ready to use.
type Options struct {
	// Logger receives damaged records at level Error, and Badger's own news at
	// Debug. Nil means [slog.Default].
	Logger *slog.Logger
}

// Open opens the store in dir, and creates both if they do not exist. Nobody else may have the directory open, and
// nothing else may be in it. All tables are read and checked first, a second for some gigabytes: a damaged directory is
// an error, never a store with keys missing.
//
// With 100,000 keys the store takes about 10 MiB of heap, and up to 100 MiB for a while when thousands of changes a
// second make Badger compact. It owns about 15 goroutines, which do next to nothing while nothing changes.
//
// # Room
//
// The store reserves 10 MiB on the disk from the start, so that a full file system neither ends the process nor loses
// an acknowledged change. Compacting takes as much space as the tables hold: provide twice that on the file system,
// plus 40 MiB. If less is free than the tables hold plus 26 MiB, or less than 1 MiB, the store refuses new keys and
// counts. Existing keys can still be changed, above all revoked, until the reserved part is full: two megabytes, on
// average. A refusal is [apikey.Unavailable] with the reason in it, which [Store.Refusing] and latchkey.Health report
// as well; it ends on its own when there is space. Where space cannot be reserved (Windows; file systems without
// fallocate) everything is refused below 15 MiB.
func Open(dir string, opts Options) (*Store, error) { return open(dir, opts, nil) }

// open lets tests tune Badger.
func open(dir string, opts Options, tune func(*badger.Options)) (_ *Store, err error) {
	if dir, err = filepath.Abs(dir); err != nil { // the program may change its working directory
		return nil, fmt.Errorf("badgerstore: open: %w", err)
	}
	log := opts.Logger
	if log == nil {
		log = slog.Default()
	}
	s := &Store{
		log: log, lead: make(chan struct{}, 1), bounds: usualBounds,
		wanted: make(chan chan error), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	o := badgerOptions(dir, bridge{log: log, beforeTable: s.beforeTable})
	if tune != nil {
		tune(&o)
	}
	defer func() {
		if err != nil && s.lock != nil {
			s.lock.Close()
		}
	}()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("badgerstore: open: directory %s cannot be made: give the store another one: %w", dir, err)
	}
	if s.lock, err = lockDir(dir); errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("badgerstore: open: directory %s cannot be read: let this program do that, or give it another directory: %w", dir, err)
	} else if err != nil {
		return nil, fmt.Errorf("badgerstore: open: directory %s is %w", dir, err)
	}
	newest, err := preflight(o)
	if err != nil {
		return nil, fmt.Errorf("badgerstore: open: directory %s %w", dir, err)
	}
	if s.db, err = openBadger(o); err != nil {
		putBack(dir)
		if strings.Contains(err.Error(), "Another process is using this Badger database") {
			err = errInUse
		}
		return nil, fmt.Errorf("badgerstore: open: directory %s cannot be opened: %w", dir, err)
	}
	s.sync = s.db.Sync
	if err = s.prepare(dir, newest); err == nil {
		s.reserve, err = openReserve(dir, o.MemTableSize, s.newestTable, s.tableBytes, log)
	}
	if err == nil {
		s.life.reserve = s.reserve
		s.reserve.running.Go(s.compactor) // an upgrade may write more tables than Badger tolerates uncompacted
		err = s.begin(dir)
	}
	if err != nil {
		if serr := s.shut(); serr != nil {
			s.lock = nil // Badger is still working in it
			err = errors.Join(err, serr)
		}
		return nil, err
	}
	go s.keepTidy(time.Hour)
	return s, nil
}

// openBadger turns the panics and faults of damaged files into errors.
func openBadger(o badger.Options) (db *badger.DB, err error) {
	defer catchFaults()()
	defer recovered(&err)
	return badger.Open(o)
}

// prepare makes sure that all tables are there and not too many. At its stall limit Badger would hold back the log that
// a process left behind, and nobody compacts yet.
func (s *Store) prepare(dir string, newest uint64) error {
	if newest > s.db.MaxVersion() {
		putBack(dir)
		return fmt.Errorf("badgerstore: open: the MANIFEST of directory %s does not list tables that hold newer changes, it was cut short: %s", dir, restore)
	}
	aside, err := files(dir, unlisted)
	for _, name := range aside {
		err = errors.Join(err, os.Remove(name))
	}
	if err == nil && s.db.Levels()[0].NumTables >= s.db.Opts().NumLevelZeroTablesStall {
		if err := s.compact(); err != nil {
			s.log.Warn("badgerstore: tables are not compacted yet", "error", err)
		}
	}
	return err
}

// newestTable returns the highest version in a table.
func (s *Store) newestTable() (version uint64) {
	for _, t := range s.db.Tables() {
		version = max(version, t.MaxVersion)
	}
	return version
}

// tableBytes returns how much is in tables.
func (s *Store) tableBytes() (n int64) {
	for _, l := range s.db.Levels() {
		n += l.Size
	}
	return n
}

// begin reads what the store must know, and writes what a new directory lacks.
func (s *Store) begin(dir string) error {
	err := s.checkFormat(dir)
	if err == nil {
		err = s.loadSeq()
	}
	if err == nil {
		err = s.loadBegan()
	}
	return err
}

// badgerOptions keeps Badger small: small tables and memtables, no compression
// and so no block cache (blocks are read where the file is mapped). A block's
// checksum is verified when it is read.
//
// Values stay in the tree: maxValue is below ValueThreshold. So the value log
// stays empty, which avoids a class of faults (its collector has brought
// deleted values back: Badger's issue 2286).
//
// Badger's own compactors are off: see compact.go.
func badgerOptions(dir string, log bridge) badger.Options {
	o := badger.DefaultOptions(dir).
		WithLogger(log).
		WithMetricsEnabled(false).
		WithSyncWrites(false). // commit syncs what must be synced
		WithDetectConflicts(true).
		WithNumVersionsToKeep(1).
		WithMemTableSize(4 << 20).
		WithNumMemtables(2).
		WithBaseTableSize(1 << 20).
		WithNumCompactors(0).
		WithNumLevelZeroTables(1). // so that Flatten considers two too many
		WithNumLevelZeroTablesStall(40).
		WithBypassLockGuard(ownLock).
		WithValueThreshold(512 << 10).
		WithValueLogFileSize(1 << 20).
		WithCompression(options.None).
		WithBlockCacheSize(0).
		WithChecksumVerificationMode(options.OnBlockRead)
	if strconv.IntSize == 32 {
		// There Badger damages a table whose building outgrows the first buffer: the power of two from twice the base size
		// up, whatever the table's level. Blocks that have to grow take up to 3.5 times the size of the table, which may be
		// half a megabyte larger than planned. So tables of 4 MiB get a buffer of 16.
		o = o.WithMemTableSize(15 << 18).WithBaseTableSize(4<<20 + 1)
		o.TableSizeMultiplier = 1
	}
	return o
}

// Close waits for running calls and closes the directory. Later calls return
// [apikey.Closed]; closing again returns the same error. A subscriber must
// not call it: it would wait for itself.
//
// If the disk is full, or the directory is gone, what is in the log cannot
// become a table. Then Close returns an error and leaves the directory locked
// until the process ends. What was acknowledged is in the log, and is there
// when the directory is opened again.
func (s *Store) Close() error {
	s.closing.Do(func() {
		close(s.stop)
		s.life.end()
		<-s.stopped
		s.writeHeld(true)
		if err := s.shut(); err != nil {
			s.closed = fmt.Errorf("badgerstore: close: %w", err)
		}
	})
	return s.closed
}

// shut closes Badger, if that is possible. Nobody uses it any more.
func (s *Store) shut() error {
	if s.reserve != nil {
		if err := s.reserve.close(); err != nil {
			return fmt.Errorf("the last changes stay in the log, end the process: they are there when the directory is opened again: %w", err)
		}
	}
	done := make(chan error, 1)
	go func() { // it tries for ever to write a table
		var err error
		defer func() { done <- err }()
		defer catchFaults()()
		defer recovered(&err)
		err = s.db.Close()
	}()
	select {
	case err := <-done:
		if s.reserve != nil {
			s.reserve.holdRoom()
		}
		if s.lock != nil {
			s.lock.Close()
		}
		return err
	case <-time.After(closeWait):
		return errors.New("the database cannot write its last table: the log has the reason; the changes are in its own log, and there when it is opened again")
	}
}

// closeWait is how long Close waits for Badger to write its last table and end
// a compaction.
const closeWait = 20 * time.Second

// Refusing returns nil while changes are accepted; otherwise it says why they
// are refused and what to do: see [Open]. latchkey.Service.Health calls it.
func (s *Store) Refusing() error { return s.reserve.refusing() }

// update writes rows with the given number of bytes in one transaction, or
// refuses to.
func (s *Store) update(bytes int64, f func(txn *badger.Txn) error) error {
	return s.reserve.write(bytes, false, func() error { return s.db.Update(f) })
}

// format is the number of the layout that this program reads and writes. The
// program upgrades a directory of an earlier format.
const format = 4

// checkFormat rejects a directory that this program would misread, and signs a
// new one.
func (s *Store) checkFormat(dir string) error {
	key := []byte{tableFormat}
	found := format
	err := s.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get(key)
		if errors.Is(err, badger.ErrKeyNotFound) {
			it := txn.NewIterator(badger.IteratorOptions{})
			defer it.Close()
			if it.Rewind(); it.Valid() {
				return fmt.Errorf("badgerstore: open: directory %s holds a Badger database that is not a key store", dir)
			}
			return s.update(256, func(txn *badger.Txn) error { return txn.Set(key, strconv.AppendInt(nil, format, 10)) })
		}
		if err != nil {
			return fmt.Errorf("badgerstore: open %s: %w", dir, err)
		}
		return item.Value(func(v []byte) error {
			n, err := strconv.Atoi(string(v))
			if err != nil || n < 1 || n > format {
				return fmt.Errorf("badgerstore: open: directory %s has format %q, this program knows %d: "+
					"it was made by a newer version; run that one, or give this one another directory", dir, v, format)
			}
			found = n
			return nil
		})
	})
	if err == nil {
		err = s.sync()
	}
	if err == nil && found < format {
		err = s.upgrade(found)
	}
	return err
}

// loadBegan reads the time since which scopes are counted: since the first
// program that counts them opened the directory, whatever programs came later.
func (s *Store) loadBegan() error {
	key, fresh := []byte{tableBegan}, false
	err := s.db.View(func(txn *badger.Txn) error {
		return read(txn, key, func(v []byte) (err error) { s.began, err = decodeHour(v); return err })
	})
	if errors.Is(err, badger.ErrKeyNotFound) || errors.Is(err, storage.ErrCorrupt) {
		s.began, fresh = time.Now().UTC().Truncate(time.Second), true
		err = s.update(256, func(txn *badger.Txn) error { return txn.Set(key, appendHour(nil, s.began)) })
	}
	if err == nil && fresh {
		err = s.sync()
	}
	if err != nil {
		return fmt.Errorf("badgerstore: open: since when scopes are counted: %w", err)
	}
	return nil
}
