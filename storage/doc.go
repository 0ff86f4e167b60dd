// Package storage is the kit for authors of a [Store]. A store is four
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
// What a store can do besides are small interfaces: [Notifier] or [Feed],
// [Announcer] and [BatchGetter] here, limiter.Journal, which keeps limits across
// restarts, [io.Closer], and a method Refusing() error, which says why changes are
// refused at the moment (latchkey.Health reports it).
//
// Package memstore shows how they fit together in the fewest lines; package
// badgerstore is the durable default; package pgstore, a module of its own, is
// for several processes that share their keys; package redisstore, likewise, has
// their limits in Redis and no store. examples/customstore is a store
// outside this module. The suite in package storetest decides whether a store is
// correct; docs/writing-a-store.md lists the contract with the suite's cases.
package storage
