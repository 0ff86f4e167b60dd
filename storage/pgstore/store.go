package pgstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/wontopos/latchkey/storage"
)

// Store is a [storage.Store] and a [storage.Feed] in a schema of a PostgreSQL
// database. Make one with [New] or [Open]; it may be used concurrently, and by
// as many processes as the database has connections for.
type Store struct {
	life   life
	pool   *pgxpool.Pool
	owned  bool // the pool: Close closes it
	schema string
	sql    statements
	log    *slog.Logger

	batches chan struct{} // holds a token for each GetBatch that runs
	polls   *pgxpool.Pool // connections for Poll, which waits for nothing else

	bounds    bounds        // of List
	retention time.Duration // of the feed
	timeline  bool          // the server reports its timeline
	tidied    clock         // when this store last removed old rows

	listener *listener // nil if it does not listen
	closing  sync.Once
	patience time.Duration // of Close

	refusing atomic.Pointer[string] // see Refusing
}

var (
	_ storage.Store       = (*Store)(nil)
	_ storage.Feed        = (*Store)(nil)
	_ storage.BatchGetter = (*Store)(nil)
)

// Options configures [New], [Open] and the functions that migrate. The zero
// value is ready to use.
type Options struct {
	// Schema is where the tables are; default "latchkey". It is taken literally,
	// including capitals and quotes. Stores in different schemas know nothing
	// about each other.
	Schema string
	// AutoMigrate lets [New] and [Open] call [Migrate]. The program then needs the
	// right to create tables; without AutoMigrate, somebody else must migrate
	// first.
	AutoMigrate bool
	// NoListen says that a connection does not keep its server session, as behind
	// PgBouncer in transaction mode, so that LISTEN is of no use: [Store.Await]
	// then returns [storage.ErrNoPush].
	NoListen bool
	// FeedRetention is how long changes stay in the feed; default 24 hours, at
	// least one minute. A reader that was away for longer is told so.
	FeedRetention time.Duration
	// Logger receives damaged records at level Error, and a lost LISTEN connection
	// at Warn. Nil means [slog.Default].
	Logger *slog.Logger
}

const (
	defaultSchema    = "latchkey"
	defaultRetention = 24 * time.Hour
	maxSchema        = 63 // bytes of a name, in PostgreSQL
)

func (o *Options) prepare() error {
	if o.Schema == "" {
		o.Schema = defaultSchema
	}
	if o.FeedRetention == 0 {
		o.FeedRetention = defaultRetention
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if len(o.Schema) > maxSchema || !storable(o.Schema) {
		return fmt.Errorf("pgstore: Options.Schema: %q is no name of a schema: at most %d bytes of UTF-8 without NUL", o.Schema, maxSchema)
	}
	if o.FeedRetention < time.Minute {
		return fmt.Errorf("pgstore: Options.FeedRetention: %v is less than a minute", o.FeedRetention)
	}
	return nil
}

// New returns a store on a pool that remains the caller's: close it after the store. Beside the pool it opens
// connections like those of the pool: one that listens for changes, and one for [Store.Poll], which therefore never
// waits for another user's connection (a second one while two polls run). It checks, with ctx, that the schema is what
// this version needs ([Validate]) and fails if it is not. Then it indexes the names of keys that programs before this
// version wrote, if there are any: some ten seconds for 100,000 keys, once.
//
// The pool may use any of pgx's ways to run a query except the simple protocol, which puts values into the text of
// statements.
func New(ctx context.Context, pool *pgxpool.Pool, o Options) (*Store, error) {
	if pool == nil {
		return nil, errors.New("pgstore: new: the pool is nil")
	}
	if err := o.prepare(); err != nil {
		return nil, err
	}
	if err := checkMode(pool); err != nil {
		return nil, err
	}
	if o.AutoMigrate {
		if err := Migrate(ctx, pool, o); err != nil {
			return nil, err
		}
	}
	if err := Validate(ctx, pool, o); err != nil {
		return nil, err
	}
	s := &Store{pool: pool, schema: o.Schema, sql: render(o.Schema), log: o.Logger, retention: o.FeedRetention, bounds: usualBounds, patience: closePatience}
	err := s.findTimeline(ctx)
	if err != nil {
		return nil, failed(ctx, "new", err)
	}
	if err := s.names().catchUp(ctx); err != nil {
		return nil, failed(ctx, "new", err)
	}
	s.batches = make(chan struct{}, max(1, pool.Config().MaxConns/2))
	if s.polls, err = newPolls(ctx, pool.Config()); err != nil {
		return nil, failed(ctx, "new", err)
	}
	if !o.NoListen {
		s.listener = newListener(pool.Config(), o.Schema, o.Logger)
	}
	s.life.init()
	return s, nil
}

// Open connects to the database that dsn names and returns a store with its own
// pool, which Close closes. The dsn is a URL or a list of key=value, as
// [pgxpool.ParseConfig] reads it.
func Open(ctx context.Context, dsn string, o Options) (*Store, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("pgstore: open: %w", err) // pgx omits the password
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("pgstore: open: %w", err)
	}
	s, err := New(ctx, pool, o)
	if err != nil {
		pool.Close()
		return nil, err
	}
	s.owned = true
	return s, nil
}

// closePatience is how long Close waits for running calls.
const closePatience = 10 * time.Second

// Close ends the store's goroutine and waits for running calls, ten seconds at
// most: then they are cancelled, with [apikey.Closed]. Calls that wait in
// [Store.Await] return at once. Close closes the pool if [Open] made it, for
// which pgx may take another fifteen seconds if connections do not answer.
// Later calls return [apikey.Closed]; closing again does nothing.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.life.shut(s.patience)
		s.life.end()
		if s.listener != nil {
			s.listener.stop()
		}
		s.polls.Close()
		if s.owned {
			s.pool.Close()
		}
	})
	return nil
}

func checkMode(pool *pgxpool.Pool) error {
	if pool.Config().ConnConfig.DefaultQueryExecMode == pgx.QueryExecModeSimpleProtocol {
		return errors.New("pgstore: the pool uses the simple protocol (default_query_exec_mode=simple_protocol), which is refused: " +
			"behind a pooler that knows no prepared statements use exec, and set Options.NoListen")
	}
	return nil
}
