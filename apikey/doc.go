// Package apikey issues, verifies and manages API keys: the domain of latchkey
// and the service for it. It has no dependency beyond the standard library.
//
// A [latchkey.Service] uses a [storage.Store] (storage/memstore, storage/badgerstore, or your
// own). People and programs manage keys through its methods; package middleware
// asks it about every request:
//
//	keys, err := apikey.New(store, apikey.Options{})
//	key, token, err := keys.Create(ctx, actor, apikey.NewKey{Name: "backend", Owner: "acme"})
//	fmt.Println(token.Reveal()) // once
//
//	v, err := keys.Verify(ctx, presented)
//
// # Keys
//
// A key is sk_live_<id>_<secret><checksum>: a public id, 226 random bits, and a
// CRC-32 that rejects a mistyped or invented key before anything is looked up.
// The store holds a digest of the secret (SHA-256, or HMAC-SHA-256 under a
// [latchkey.Pepper] that the store does not hold), never the secret. A [latchkey.Token] redacts
// itself wherever it is printed; Reveal shows it, once, when the key is
// created.
//
// A key belongs to an owner and an [Environment], and has scopes, a [Plan] with
// limits, networks, metadata and an expiry. It can be disabled and enabled.
// Revoking it is final: a state is written, and no row is deleted.
//
// # Rotation
//
// [latchkey.Service.Rotate] gives a key a second secret under the same id: same scopes,
// one budget, one audit trail. The old secret works until its grace ends. Usage
// is counted for each secret, so [latchkey.Service.Rotation] can tell when the old one
// is no longer in use, and [latchkey.Service.FinishRotation] refuses until then.
//
// # Usage
//
// [latchkey.Service.Usage] reports how a key's requests ended, by hour and secret; its
// last use ([LastUse]); and when each granted scope last let a request through
// ([ScopeUse]). Unused scopes can all be taken away at once: a request like any
// that was made before still succeeds.
//
// Of each request, latchkey keeps only the last use of its secret, which the
// next one replaces: the source's /24 or /48, the user agent, and the route.
// The route is its pattern if it has one, otherwise the path without its query.
// If paths contain private data (a name, a patient's number), register routes
// with patterns.
//
// # What is promised
//
// Once [latchkey.Service.Revoke] has returned, no Verify that starts afterwards admits
// the key, and every request in flight that registered through [latchkey.Verified.Enter]
// has been cut. The same holds for Disable, for the end of a grace, and for an
// expiry when its time comes. On a store that announces its changes
// ([storage.Notifier]) this is synchronous; on one that does not, [latchkey.Options.MaxStale] is
// the bound.
//
// Every change is one transaction with its audit entry. A store failure is
// never reported as a bad key, because clients discard keys that are called
// invalid. It is [ErrUnavailable], and access is refused meanwhile.
//
// Setting the wall clock back postpones every expiry and end of a grace by the
// same amount; the order of changes and the freshness of the cache do not
// depend on it.
package apikey
