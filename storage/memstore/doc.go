// Package memstore is an [apikey.Store] that lives in memory. It is for tests,
// for examples and for programs that make their keys anew at every start:
// nothing survives the process.
//
// It is also the reference: it says what a store does in the fewest words that
// we found. Whoever writes another store may read it first; a lock in the place
// of a transaction, maps and sorted slices in the place of tables and indexes.
package memstore
