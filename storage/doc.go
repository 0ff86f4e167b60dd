// Package storage is the kit for authors of an [Store]. A store is four
// things: a place for bytes, an order, a transaction, and the rules that every
// store shares. The rules are here, so that all stores agree on them:
//
//   - [CheckChange] decides whether a change may be made;
//   - [Normalize] and [NormalizeEntry] put a value into the form in which it is
//     stored and returned;
//   - [AppendRecord] and [DecodeRecord] (and their twins for audit entries) are
//     a compact, checked encoding for stores that keep bytes;
//   - [Filter] decides which records a query selects, [Terms] by which terms a
//     key is found, [Compare] and [NameKey] in which order keys are listed;
//   - [Hub] notifies the subscribers in this process of changes.
//
// Package memstore shows how they fit together in the fewest lines; package
// badgerstore is the durable default; package pgstore, a module of its own, is
// for several processes that share their keys. The suite in package storetest
// decides whether a store is correct.
package storage
