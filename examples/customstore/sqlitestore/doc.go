// Package sqlitestore keeps keys in one SQLite file, for a program that runs as
// one process. It is an example of a [storage.Store] that is not part of the
// module: it imports only public packages, and storetest decides whether it is
// correct.
//
// What it promises:
//
//   - A change is on disk (fsync) when Apply returns. So are counts and the
//     state of limits.
//   - One process at a time has the file open; another gets an error at once.
//     That is why the store may be a [storage.Notifier].
//   - A record or audit entry that is damaged is an error for its key alone;
//     lists leave it out and log it.
//
// What it does not do, and what a store for more than some 10,000 keys would:
//
//   - A search reads the keys in their order and lets [storage.Filter] decide,
//     2,000 in one call. A table of [storage.Terms] would find them at once.
//   - Activity adds up hours. A table of days would be read faster.
//   - Changes, counts and limits share one transaction at a time, with an fsync
//     each. They could share the fsync.
//
// The driver is modernc.org/sqlite, SQLite translated to Go: it builds without a
// C compiler, for every platform of this module, and is SQLite's own code as
// github.com/mattn/go-sqlite3 is. That one is faster, needs cgo, and fits here as
// well: only the names of the options in open.go differ.
package sqlitestore
