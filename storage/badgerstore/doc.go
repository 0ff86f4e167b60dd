// Package badgerstore keeps keys in a directory, with the embedded database
// Badger: a [storage.Store] that survives restarts and needs no server. It is
// the default for a program that runs as one process.
//
// What it promises:
//
//   - A change is on disk (fsync) when Apply returns: it survives power loss.
//     Only then is it announced to subscribers. Concurrent changes share an
//     fsync.
//   - Usage and limiter windows survive the death of the process once the call
//     has returned; power loss may take those written since the last change.
//   - A record that is damaged on disk is an error ([storage.ErrCorrupt]) for
//     its key alone: that key no longer works. List leaves it out and logs it,
//     so that one bad record never hides the others; Audit does the same with a
//     damaged entry.
//   - Only one process at a time can have the directory open. A second one gets
//     an error that says so.
//   - A full disk, a directory that is gone or not writable, and too many open
//     files never end the process: changes are refused with the reason, keys
//     are still verified, and the store resumes on its own when it can. [Open]
//     says how much space that takes. Only if the process runs out of open
//     files at the very moment in which Badger opens its next log, the store
//     refuses reads as well, until the program is restarted.
//   - A directory that is damaged, or not this store's, is an error of Open
//     that says what to do. Missing keys are never mistaken for an empty store.
//
// What it does not do: share keys between processes (use a store that is a
// server). Nor can it rule out one way for the process to end (SIGBUS): a table
// was begun with enough free space, and somebody takes that space within the
// milliseconds in which Badger writes the table through mapped memory. What was
// acknowledged is there after the restart.
//
// # Layout
//
// Every key begins with a letter that names its table. Strings within a key are
// preceded by their length, so no string reaches into another's range. An audit
// entry, its record and their index rows are written in one transaction.
//
// A record has a row in each listing that it belongs to, by time and by name,
// and one for each word of its name and for its ID, by which a search finds it:
// some sixteen rows of 100 bytes, written when the key is created and when its
// name, owner or environment changes. An index is never trusted: the record is
// read, and decides. Open upgrades a directory of the previous layout (without
// names and words) once: some ten seconds for 100,000 keys. A program that
// knows only that layout refuses the directory from then on.
//
// Deleting a key leaves an empty row in place of the record, not one of
// Badger's tombstones: see [Store.Apply].
package badgerstore
