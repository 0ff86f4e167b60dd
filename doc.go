// Package latchkey is the root of a module of API keys for Go servers: issue, verify, limit and instantly revoke
// them, and let people manage them. It holds no code. The packages form a star around apikey:
//
//   - apikey: keys, scopes, plans, the Store interface, and the service that creates, verifies, rotates and revokes
//   - limiter: exact sliding windows, in one process or shared
//   - storage/memstore, storage/badgerstore: stores for one process, in memory or on disk
//   - middleware: the decision for one request, and the net/http middleware that acts on it
//   - admin: the REST API and the settings page
//   - storage/storetest, limiter/limitertest, middleware/middlewaretest: conformance suites for your own parts
//
// Stores that many processes share, and adapters for other frameworks, are modules of their own below storage and
// middleware, so that a program downloads only the drivers it uses. A whole server is in examples/quickstart.
package latchkey
