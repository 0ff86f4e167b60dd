package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/storage"
)

// Store is a [storage.Store]. Open makes one; it may be used concurrently.
type Store struct {
	hub   storage.Hub
	write *sql.DB // one connection: changes take turns, and SQLite allows no more
	read  *sql.DB // reads see the last commit, and wait for no change
	lock  *sql.Tx // held while the store is open
	locks *sql.DB // where lock is
	began time.Time

	life   sync.RWMutex // held for reading by every call
	closed bool
}

// What a store may be besides, and this one is. It is no Feed, because one
// process uses it, and no BatchGetter, because no round trip is saved.
var (
	_ storage.Store     = (*Store)(nil)
	_ storage.Notifier  = (*Store)(nil)
	_ storage.Announcer = (*Store)(nil)
	_ limiter.Journal   = (*Store)(nil)
)

// Open opens the file, or creates it. Next to it are files of the same name
// with -wal, -shm and .lock after it.
func Open(path string) (*Store, error) {
	s := new(Store)
	err := s.open(path)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) open(path string) (err error) {
	// The lock is a transaction on a file of its own: the system takes it back
	// when the process dies, however it dies.
	if s.locks, err = database(path+".lock", "_txlock=exclusive"); err != nil {
		return err
	}
	if s.lock, err = s.locks.Begin(); err != nil {
		return fmt.Errorf("sqlitestore: %s is open in another process, or cannot be locked: %w", path, err)
	}
	// With synchronous(FULL) a commit in WAL mode is an fsync.
	if s.write, err = database(path, "_txlock=immediate", "_pragma=busy_timeout(10000)", "_pragma=journal_mode(WAL)", "_pragma=synchronous(FULL)"); err != nil {
		return err
	}
	s.write.SetMaxOpenConns(1)
	if s.read, err = database(path, "_pragma=busy_timeout(10000)", "_pragma=query_only(1)"); err != nil {
		return err
	}
	connections := max(4, runtime.GOMAXPROCS(0))
	s.read.SetMaxOpenConns(connections)
	s.read.SetMaxIdleConns(connections)
	return s.prepare(context.Background())
}

func database(path string, options ...string) (*sql.DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("sqlitestore: %w", err)
	}
	if path = filepath.ToSlash(path); path[0] != '/' {
		path = "/" + path // C:/…
	}
	u := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: strings.Join(options, "&")}
	return sql.Open("sqlite", u.String())
}

// Close waits for calls that have begun; later ones return [apikey.Closed].
func (s *Store) Close() error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	var errs []error
	for _, db := range []*sql.DB{s.read, s.write} {
		if db != nil { // nil where Open failed half-way
			errs = append(errs, db.Close())
		}
	}
	if s.lock != nil { // last: the next process may come now
		errs = append(errs, s.lock.Rollback())
	}
	if s.locks != nil {
		errs = append(errs, s.locks.Close())
	}
	return errors.Join(errs...)
}

// Subscribe implements [storage.Notifier].
func (s *Store) Subscribe(f func(storage.Notice)) (cancel func()) { return s.hub.Subscribe(f) }

// Announce implements [storage.Announcer].
func (s *Store) Announce(ctx context.Context, topic string) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	leave()
	s.hub.Publish(storage.Notice{ID: topic})
	return nil
}

// enter is the first step of every call, leave the last.
func (s *Store) enter(ctx context.Context) (leave func(), err error) {
	s.life.RLock()
	if s.closed {
		err = apikey.Closed
	} else {
		err = ctx.Err()
	}
	if err != nil {
		s.life.RUnlock()
		return nil, err
	}
	return s.life.RUnlock, nil
}
