// Package pgstore keeps keys in PostgreSQL (13 or later): an [apikey.Store] that
// any number of processes share, the [apikey.Feed] that keeps their caches
// true, and a [limiter.Limiter] that counts for all of them together.
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
//     disk. With synchronous_commit off, a crash of the server may take back a
//     revocation that was acknowledged: leave it on.
//   - Positions in the feed have no gaps and the order of the commits, because a
//     counter in one row is locked from its increment to the commit. So changes
//     of keys, of all keys together, take turns: the price is one commit at a
//     time, some hundreds to thousands a second. Requests are not changes.
//   - Revoked stays revoked in the database as well: a trigger refuses the update
//     that takes a revocation back and the deletion of a key that is not revoked,
//     whichever program sends it. A WHERE clause would hold for this one only.
//   - A record that is damaged, or was edited behind its back, is an error
//     ([storage.ErrCorrupt]) for its key alone. List leaves it out and logs it.
//   - A creation can be a part of the caller's own transaction: [WithTx].
//
// What it does not: read from replicas, retry what failed, or set time limits.
// Give each call a context with one. A DSN of several hosts takes
// target_session_attrs=read-write, so that a connection is to the primary.
//
// # Setting up
//
// [Migrate] makes the schema and brings it up to date; [New] and [Open] refuse a
// schema that is not ([Validate]). A program that must not create tables leaves
// that to a deployment step with [Migrate], to psql with the text of
// [MigrateDryRun], or to a tool of yours with [Migrations]. To use it the role
// needs USAGE on the schema, SELECT, INSERT, UPDATE and DELETE on its tables, and
// EXECUTE on its functions where that was taken from PUBLIC. A migration may add
// tables: grant again after it, or give the role default privileges.
//
// A store opens connections beside the pool, like those of the pool: one that polls
// the feed (for a moment two), so that a busy pool never ends the lease of an
// instance, and one on which changes are pushed through LISTEN. Of the pool itself
// reads on behalf of requests take half at most. Behind
// PgBouncer in transaction mode that does not work: set [Options.NoListen], and
// default_query_exec_mode=exec in the DSN unless the pooler knows prepared
// statements. Changes are then found by polling.
//
// # Lists
//
// Keys are listed from indexes, by time and by name, and a search looks words up
// in a table of its own. Letters are folded by the program and not by the server,
// whose locale and version decide otherwise. So a migration cannot make the names
// of keys that are there: [Migrate] and [New] do, in short transactions, some ten
// seconds for 100,000 keys. Instances of the version before may run on meanwhile:
// a trigger marks what they write, and lists that need its name make up for it
// first. What an index says is never believed: the record decides.
//
// # Limits
//
// [Limiter] keeps the counts of the limits in the same schema: a row for each
// subject, decided and charged by one call of a function in the database, at the
// database's time. It is as exact as [limiter.Window], over all processes. Put a
// [limiter.Escrow] before it, or each request is a round trip. Its commits do not
// wait for the disk: a crash of the server takes at most about 0.6 seconds of
// counts, and nothing else. Behind PgBouncer it works as it is, in transaction
// mode too.
//
// Keys, audit trail, feed and usage are plain tables, to be read with SQL:
// package storage decodes the record column. Rows of usage and of the audit
// trail may be deleted, and rows of limits, which forgets what they count; the feed
// and its counter are the store's.
package pgstore
