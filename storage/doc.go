// Package storage is the kit for those who write an [apikey.Store]. A store is
// four things: a place for bytes, an order, a transaction, and the rules that
// every store shares. The rules are here, so that no store has its own idea of
// them:
//
//   - [CheckChange] decides whether a change may be made;
//   - [Normalize] and [NormalizeEntry] give a value the form in which it is
//     stored and returned;
//   - [AppendRecord] and [DecodeRecord] (and their twins for audit entries) are
//     a compact, checked encoding for stores that keep bytes;
//   - [Filter] decides which records a query selects, [Terms] what a key is found
//     by, [Compare] and [NameKey] in which order keys are listed;
//   - [Hub] tells the subscribers in this process of changes.
//
// Package memstore shows how they go together in the fewest lines; package
// badgerstore is the durable default; package pgstore, a module of its own, is
// for several processes that share their keys. The suite in package storetest decides
// whether a store is one.
package storage
