package badgerstore

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// Store is an [apikey.Store] and an [apikey.Notifier] in a directory, and keeps
// the limiter's windows as well. Make one with [Open]; it may be used from
// several goroutines at once.
type Store struct {
	hub  storage.Hub
	life life
	log  *slog.Logger
	db   *badger.DB

	// flow keeps all other writers away between a change's commit and its
	// sync: the changes hold it alone, the others together. See commit.
	flow sync.RWMutex
	sync func() error // db.Sync

	pending pending       // changes that wait for a leader
	lead    chan struct{} // holds a token while somebody leads
	seq     uint64        // of the newest audit entry; the leader's
	broken  error         // why no change is accepted any more; the leader's

	bounds bounds    // of List
	began  time.Time // since when scopes are counted

	usage    sync.Mutex // one batch of usage at a time: it reads, adds, writes
	maintain sync.Mutex // one maintenance at a time

	stop, stopped chan struct{} // of keepTidy
	closing       sync.Once
	closed        error // of Close
}

var (
	_ apikey.Store    = (*Store)(nil)
	_ apikey.Notifier = (*Store)(nil)
)

// Options adjusts [Open]. The zero value is good.
type Options struct {
	// Logger gets what the store has to say: damaged records at level Error,
	// Badger's own news at Debug. Nil means [slog.Default].
	Logger *slog.Logger
}

// Open opens the store in dir, and makes both when they do not exist. Nobody
// else may have the directory open.
//
// With 100,000 keys the store takes about 10 MiB of heap, and up to 100 MiB for a
// while when thousands of changes a second make Badger compact. It owns about 15
// goroutines; while nothing changes they do nothing to speak of.
func Open(dir string, opts Options) (*Store, error) { return open(dir, opts, nil) }

// open lets tests tune Badger.
func open(dir string, opts Options, tune func(*badger.Options)) (*Store, error) {
	log := opts.Logger
	if log == nil {
		log = slog.Default()
	}
	o := badgerOptions(dir, log)
	if tune != nil {
		tune(&o)
	}
	db, err := badger.Open(o)
	if err != nil {
		if strings.Contains(err.Error(), "Another process is using this Badger database") {
			return nil, fmt.Errorf("badgerstore: open: directory %s is in use: is another process of this program running? "+
				"Only one process at a time can use it; for several, use a store that they can share: %w", dir, err)
		}
		return nil, fmt.Errorf("badgerstore: open %s: %w", dir, err)
	}
	s := &Store{
		log: log, db: db, sync: db.Sync, lead: make(chan struct{}, 1), bounds: usualBounds,
		stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	if err = s.checkFormat(dir); err == nil {
		err = s.loadSeq()
	}
	if err == nil {
		err = s.loadBegan()
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	go s.keepTidy(time.Hour)
	return s, nil
}

// badgerOptions makes Badger small: small tables and memtables, no compression
// and so no block cache (blocks are read where the file is mapped), two
// compactors (the minimum). A block's checksum is verified when it is read.
//
// Values stay in the tree: maxValue is below ValueThreshold. So the value log
// stays empty, and with it a class of faults (its collector has brought deleted
// values back: Badger's issue 2286).
func badgerOptions(dir string, log *slog.Logger) badger.Options {
	return badger.DefaultOptions(dir).
		WithLogger(bridge{log}).
		WithMetricsEnabled(false).
		WithSyncWrites(false). // commit syncs what must be synced
		WithDetectConflicts(true).
		WithNumVersionsToKeep(1).
		WithMemTableSize(4 << 20).
		WithNumMemtables(2).
		WithBaseTableSize(1 << 20).
		WithNumCompactors(2).
		WithValueThreshold(512 << 10).
		WithValueLogFileSize(1 << 20).
		WithCompression(options.None).
		WithBlockCacheSize(0).
		WithChecksumVerificationMode(options.OnBlockRead)
}

// Close waits for the calls that are running and closes the directory. Calls
// after it return [apikey.ErrClosed]; closing again returns the same error. A
// subscriber must not call it: it would wait for itself.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.life.end()
		close(s.stop)
		<-s.stopped
		if err := s.db.Close(); err != nil {
			s.closed = fmt.Errorf("badgerstore: close: %w", err)
		}
	})
	return s.closed
}

// format is the number of the layout that this program reads and writes. It
// brings a directory of the one before up to date.
const format = 3

// checkFormat refuses a directory that this program would misread, and signs a
// new one.
func (s *Store) checkFormat(dir string) error {
	key := []byte{tableFormat}
	found := format
	err := s.db.Update(func(txn *badger.Txn) error {
		item, err := txn.Get(key)
		if errors.Is(err, badger.ErrKeyNotFound) {
			it := txn.NewIterator(badger.IteratorOptions{})
			defer it.Close()
			if it.Rewind(); it.Valid() {
				return fmt.Errorf("badgerstore: open: directory %s holds a Badger database that is not a key store", dir)
			}
			return txn.Set(key, strconv.AppendInt(nil, format, 10))
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

// loadBegan reads since when scopes are counted: since the first program that
// does so opened the directory, whatever programs came after.
func (s *Store) loadBegan() error {
	key, fresh := []byte{tableBegan}, false
	err := s.db.Update(func(txn *badger.Txn) error {
		err := read(txn, key, func(v []byte) (err error) { s.began, err = decodeHour(v); return err })
		if errors.Is(err, badger.ErrKeyNotFound) || errors.Is(err, storage.ErrCorrupt) {
			s.began, fresh = time.Now().UTC().Truncate(time.Second), true
			return txn.Set(key, appendHour(nil, s.began))
		}
		return err
	})
	if err == nil && fresh {
		err = s.sync()
	}
	if err != nil {
		return fmt.Errorf("badgerstore: open: since when scopes are counted: %w", err)
	}
	return nil
}
