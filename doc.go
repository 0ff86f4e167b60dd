// Package latchkey issues, verifies and manages API keys for Go servers. It is the service in the middle of the module, and
// has no dependency beyond the standard library.
//
// A [Service] uses a [storage.Store]: storage/memstore, storage/badgerstore, storage/pgstore, or your own. People and
// programs manage keys through its methods; package middleware asks it about every request:
//
//	keys, err := latchkey.New(store, latchkey.Options{})
//	key, token, err := keys.Create(ctx, actor, latchkey.NewKey{Name: "backend", Owner: "acme"})
//	fmt.Println(token.Reveal()) // once
//
//	v, err := keys.Verify(ctx, presented)
//
// The other packages of the module:
//
//   - apikey: the data: keys, scopes, plans, environments, usage, audit entries and the codes of refusals
//   - middleware: the decision for one request, and the net/http middleware that acts on it
//   - admin: the REST API and the settings page
//   - limiter: exact sliding windows, in one process or shared
//   - storage: what a store promises, and tools to write one
//   - latchkeytest: guards and keys for the tests of your handlers
//   - storage/storetest, limiter/limitertest, middleware/middlewaretest: conformance suites for your own parts
//
// Stores that many processes share, and adapters for other frameworks, are modules of their own below storage and
// middleware, so that a program downloads only the drivers it uses. A whole server is in examples/quickstart.
//
// # Rotation
//
// [Service.Rotate] gives a key a second secret under the same id: same scopes, one budget, one audit trail. The old secret
// works until its grace ends. Usage is counted for each secret, so [Service.Rotation] can tell when the old one is no longer
// in use, and [Service.FinishRotation] refuses until then.
//
// # Usage
//
// [Service.Usage] reports how a key's requests ended, by hour and secret; its last use ([apikey.LastUse]); and when each
// granted scope last let a request through ([apikey.ScopeUse]). Unused scopes can all be taken away at once: a request like
// any that was made before still succeeds.
//
// Of each request, latchkey keeps only the last use of its secret, which the next one replaces: the source's /24 or /48, the
// user agent, and the route. The route is its pattern if it has one, otherwise the path without its query. If paths contain
// private data (a name, a patient's number), register routes with patterns.
//
// # What is promised
//
// Once [Service.Revoke] has returned, no Verify that starts afterwards admits the key, and every request in flight that
// registered through [Verified.Enter] has been cut. The same holds for Disable, for the end of a grace, and for an expiry
// when its time comes. On a store that announces its changes ([storage.Notifier]) this is synchronous; on one that does not,
// [Options.MaxStale] is the bound.
//
// Every change is one transaction with its audit entry. A store failure is never reported as a bad key, because clients
// discard keys that are called invalid. It is [apikey.Unavailable], and access is refused meanwhile.
//
// Setting the wall clock back postpones every expiry and end of a grace by the same amount; the order of changes and the
// freshness of the cache do not depend on it.
package latchkey
