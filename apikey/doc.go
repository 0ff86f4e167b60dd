// Package apikey issues, verifies and manages API keys: the domain of latchkey
// and the service over it. It has no dependency beyond the standard library.
//
// A [Service] stands on a [Store] (storage/memstore, storage/badgerstore, or
// your own). People and programs manage keys through its methods; package
// middleware asks it about every request:
//
//	keys, err := apikey.New(store, apikey.Options{})
//	key, token, err := keys.Create(ctx, actor, apikey.NewKey{Name: "backend", Owner: "acme"})
//	fmt.Println(token.Reveal()) // once
//
//	v, err := keys.Verify(ctx, presented)
//
// # Keys
//
// A key is sk_live_<id>_<secret><checksum>: a public id, 226 random bits, and
// a CRC-32 that refuses what was mistyped or invented before anything is
// looked up. The store holds a digest of the secret (SHA-256, or HMAC-SHA-256
// under a [Pepper] that the store does not hold), never the secret. A [Token]
// redacts itself wherever it is printed; Reveal shows it, once, when it is
// made.
//
// A key belongs to an owner and an [Environment], has scopes, a [Plan] with
// limits, networks, metadata and an expiry. It can be disabled and enabled, and
// it can be revoked, which is final: a state that is written, never a row that
// is deleted.
//
// # Rotation
//
// [Service.Rotate] gives a key a second secret under the same id: same scopes,
// one budget, one audit trail. The old secret works until its grace ends.
// Usage is counted for each secret, so [Service.Rotation] can say when the old
// one has gone quiet, and [Service.FinishRotation] refuses until it has.
//
// # Usage
//
// [Service.Usage] tells how a key's requests ended, by the hour and the secret;
// its last use ([LastUse]); and when each granted scope last let a request
// through ([ScopeUse]). Scopes that do nothing can be taken away: all that is not
// used, at once, without a request that was made failing from then on.
//
// Of a request itself nothing is kept but the last use of each secret, which the
// next one replaces: the source's /24 or /48, the user agent, and what was asked.
// That is the pattern of the route where there is one, else the path without its
// query, so where paths hold what is nobody's business (a name, a number of a
// patient), register routes with patterns.
//
// # What is promised
//
// After [Service.Revoke] returned, no Verify that starts admits the key, and
// every request in flight that registered through [Verified.Enter] has been
// cut. The same holds for Disable, for the end of a grace, and for an expiry
// when its instant comes. On a store that announces its changes ([Notifier])
// this is synchronous; on one that does not, [Options.MaxStale] is the bound.
//
// Every change is one transaction with its audit entry. A failure of the store
// is never taken for a bad key: clients throw keys away that are called
// invalid, so [ErrUnavailable] is its own answer, and access is refused
// meanwhile.
//
// A wall clock that is set back prolongs what has an end by as much; the order
// of changes and the freshness of the cache do not depend on it.
package apikey
