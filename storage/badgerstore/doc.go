// Package badgerstore keeps keys in a directory, with the embedded database
// Badger: an [apikey.Store] that survives restarts and needs no server. It is
// the default for a program that runs as one process.
//
// What it promises:
//
//   - A change is on disk (fsync) when Apply returns: it survives power loss. It
//     is announced to subscribers only then. Concurrent changes share an fsync.
//   - Usage and limiter windows survive the death of the process when the call
//     returns; power loss may take those since the last change.
//   - A record that is damaged on disk is an error ([storage.ErrCorrupt]) for
//     its key alone: that key works no more. List leaves it out and logs it, so
//     that one bad record never hides the others; Audit does the same with a
//     damaged entry.
//   - One process at a time has the directory open. A second one is told so.
//   - A full disk, a directory that was taken away or may not be written to, and
//     too many open files end nothing: changes are refused with the reason, keys
//     go on being verified, and the store goes on by itself when it can. [Open]
//     says how much room that takes.
//   - A directory that is damaged, or not this store's, is an error of Open that
//     says what to do. Keys that are missing are never taken for none.
//
// What it does not: share keys between processes (use a store that is a server).
// And room that was there when a table was begun, and that somebody takes within
// the milliseconds in which Badger writes it through mapped memory, can still end
// the process (SIGBUS): what was acknowledged is there after the restart.
//
// # Layout
//
// Every key begins with a letter that names its table; strings within a key
// stand behind their length, so that no string reaches into another's range. An
// audit entry, its record and their index rows are written in one transaction.
//
// A record has a row in each listing that it belongs to, by time and by name,
// and one for each word of its name and for its ID, by which a search finds it:
// some sixteen rows of 100 bytes, written when the key is made and when its name,
// owner or environment changes. What an index says is never believed: the record
// is read, and decides. Open brings a directory of the layout before (without
// names and words) up to date, once: some ten seconds for 100,000 keys. A program
// that knows that layout only refuses it then.
//
// Deleting a key leaves an empty row in place of the record, not one of Badger's
// tombstones: see [Store.Apply].
package badgerstore
