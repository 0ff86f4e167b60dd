// Package pgstore keeps keys in PostgreSQL (13 or later): a [storage.Store]
// that any number of processes share, the [storage.Feed] that keeps their caches
// correct, and a [limiter.Limiter] that counts for all of them together.
//
//	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
//	…
//	store, err := pgstore.New(ctx, pool, pgstore.Options{AutoMigrate: true})
//
// What it promises:
//
//   - A change is one transaction: the record under compare-and-swap, its audit
//     entry and its place in the feed, all or none. When Apply returns it is as
//     durable as the server's synchronous_commit makes it; by default it is on
//     disk. With synchronous_commit off, a crash of the server may undo a
//     revocation that was acknowledged: leave it on.
//   - Positions in the feed have no gaps and follow the order of the commits,
//     because a counter in one row is locked from its increment to the commit.
//     So changes of keys, of all keys together, take turns. The price is one
//     commit at a time, some hundreds to thousands a second. Requests are not
//     changes.
//   - Revoked stays revoked in the database as well: a trigger refuses an
//     update that undoes a revocation and the deletion of a key that is not
//     revoked, whichever program sends it. A WHERE clause would protect against
//     this program only.
//   - A record that is damaged, or was edited behind the store's back, is an
//     error ([storage.ErrCorrupt]) for its key alone. List leaves it out and
//     logs it.
//   - A creation can be a part of the caller's own transaction: [WithTx].
//
// An error of the server that its operator can do something about says what: the
// disk is full (SQLSTATE 53100), the server is a replica or read-only, it gives no
// more connections (53300), it is starting or shutting down (57P03, 57P01). Changes
// begin their transactions read write, so default_transaction_read_only does not
// stop them.
//
// What it does not do: read from replicas, retry what failed, or set time
// limits. Give each call a context with one. A DSN of several hosts needs
// target_session_attrs=read-write, so that a connection goes to the primary.
//
// # Setting up
//
// [Migrate] creates the schema and brings it up to date; [New] and [Open]
// refuse a schema that is not up to date ([Validate]). A program that must not
// create tables leaves that to a deployment step with [Migrate], to psql with
// the text of [MigrateDryRun], or to a tool of yours with [Migrations]. The
// role that uses the schema needs USAGE on it, SELECT, INSERT, UPDATE and
// DELETE on its tables, and EXECUTE on its functions if that was revoked from
// PUBLIC. A migration may add tables: grant again after it, or give the role
// default privileges.
//
// A store opens connections beside the pool, configured like those of the pool:
// one that polls the feed (for a moment two), so that a busy pool never ends
// the lease of an instance, and one on which changes are pushed through LISTEN.
// Reads on behalf of requests use at most half of the pool itself. LISTEN does
// not work behind PgBouncer in transaction mode: set [Options.NoListen], and
// default_query_exec_mode=exec in the DSN unless the pooler supports prepared
// statements. Changes are then found by polling.
//
// [Store.CopyFrom] moves here from another store, and the command
// cmd/badger2pg does so from package badgerstore.
//
// # Lists
//
// Keys are listed from indexes, by time and by name, and a search looks up
// words in a table of its own. The program folds letter case, not the server,
// whose locale and version would change the result. So a migration cannot write
// the names of existing keys. [Migrate] and [New] do, in short transactions:
// some ten seconds for 100,000 keys. Instances of the previous version may keep
// running meanwhile: a trigger marks what they write, and a list that needs its
// name first writes the missing ones. An index is never trusted: the record
// decides.
//
// # Limits
//
// [Limiter] keeps the counts of the limits in the same schema: a row for each
// subject, decided and charged by one call of a function in the database, at
// the database's time. It is as exact as [limiter.Window], over all processes.
// Put a [limiter.Shared] in front of it, for when the database is away. Its
// commits do not wait for the disk, except for credits: a crash of the server
// loses at most about 0.6 seconds of the other counts. It works unchanged behind
// PgBouncer, also in transaction mode.
//
// Keys, audit trail, feed and usage are plain tables that can be read with SQL:
// package storage decodes the record column. Rows of usage and of the audit
// trail may be deleted, and so may rows of limits, which forgets their counts;
// leave the feed and its counter to the store.
package pgstore
