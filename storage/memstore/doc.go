// Package memstore is a [storage.Store] that lives in memory. It is for tests,
// for examples and for programs that create new keys at every start: nothing
// survives the process.
//
// It is also the reference: the shortest implementation of a store that we
// found. Read it before you write another store; it uses a lock in place of a
// transaction, and maps and sorted slices in place of tables and indexes.
package memstore
