// Package middleware guards HTTP handlers, and any other transport, with API
// keys.
//
//	keys, err := latchkey.New(store, latchkey.Options{})
//	…
//	guard, err := middleware.New(keys, middleware.Options{})
//	…
//	mux := guard.Mux()
//	mux.HandleFunc("GET /v1/things", middleware.AllOf("things:read"), listThings)
//	mux.Public("GET /health", health)
//	http.ListenAndServe(":8080", mux)
//
// # The decision
//
// A request is decided in this order: form and checksum of the key, look-up and
// comparison, its state, its environment against the host, the client's network,
// the scopes of the route, and last all limits in one step. Nothing is charged
// before every free check has passed, and a refused request is never charged.
//
// There are three ways to guard a route of net/http: [Guard.Require] says what a
// key must be allowed, [Guard.Door] has all options, and [Guard.Mux] is a
// ServeMux that accepts no route without a statement of who may use it.
//
// # Other transports
//
// [Door.Decide] makes the same decision for any transport, as a [Call]: its
// [Outcome] says what to answer, Begin returns a context that ends with the key,
// and End ends it. An adapter only moves data into the [Request] and out of the
// Outcome. [Refusal] makes an Outcome from a code or the cause of a context,
// without a request.
//
// # Nested doors
//
// A group of routes may have a door around it, and its routes doors of their
// own. A request is decided once for all doors of one Guard that it passes:
//
//   - It costs as much as the most expensive door asks, in each unit, and is
//     decided by the limits of all of their routes. Usage counts it at the
//     outermost door, before its handler runs.
//   - If a door refuses it before the response begins, what was charged is
//     given back; the request counts as that refusal and no other. A door that
//     asks for more than all before it takes the difference, or refuses with
//     429, and then everything is given back.
//   - [Options.OnDecision] sees one decision, when it can no longer change: a
//     refusal before it is answered, an admission when the response begins or
//     the handler has returned without one, or when its Call ends.
//   - Once the response has begun it is too late: an inner door that refuses
//     keeps its handler from running, and the request stays admitted and
//     charged.
//
// If the writer of an inner door does not lead to the outermost door's through
// Unwrap, as behind [http.TimeoutHandler] or with a recorder, its refusal
// stands if the response begins with a status of 400 or more, and is dropped if
// the handler answers anyway. So does that of a Call inside another one, which
// cannot know what becomes of it, when the outermost Call ends.
//
// Doors of other Guards decide for themselves. So does a door that finds a
// different key in the request, or a context of a request that is over. Giving
// back needs a limiter that can do it ([limiter.Settler]): all of this module's
// can, at the cost of one more round trip where they are shared, for these
// requests only. With one that cannot, a refused request stays charged, and the
// log says so once.
//
// # What a request costs
//
// A request costs [Route.Cost] in limits without a unit, and [Route.Amounts] in
// those that have one, such as tokens. A handler that knows better when it is done
// says so with [SetCost], and [Route.Free] says which answers cost nothing. The
// request is settled once, when it has ended: when its handler has returned or
// panicked, when its hijacked connection is closed, or when its [Call] ends. Then
// its place among the requests in progress is free, too. Where the limiter needs
// a round trip for that, it takes a second at most, before the response ends; if
// it fails, the request costs what it reserved. A request about which there is
// nothing to settle takes none.
//
// # Answers
//
// A refusal is an RFC 9457 problem document with the stable members type,
// title, status, detail, code and request_id. It must not be stored
// (Cache-Control: no-store). Answers to admitted requests carry the limits in
// RateLimit-Policy and RateLimit, which are set before the handler runs.
//
// Shared caches store no answer to a request with Authorization (RFC 9111,
// section 3.5), so nothing is added there. For keys that come elsewhere,
// answers get Cache-Control: private, which a handler may replace. On optional
// routes Vary names the fields in which keys come.
//
// [Guard.WhoAmI] is a handler to mount beside the API: it tells a key what it
// may do and what is left of its limits. [Guard.Explain] tells those who manage
// keys how a request would end, and why, without making it.
//
// # Requests in flight
//
// Revoking or disabling a key, its expiry and the end of a secret's grace end
// the requests that are being served with it:
//
//   - their context is cancelled, with [apikey.RevokedKey],
//     [apikey.DisabledKey] or [apikey.ExpiredKey] as its cause;
//   - blocked reads of the body and writes of the response return an error;
//   - hijacked connections are reset, and nothing more is written to them;
//   - if no header was sent yet, the client gets the refusal, and everything
//     that the handler writes is discarded;
//   - otherwise the response is broken off: the connection ends in
//     mid-response, with a reset where only closing ends a response, or the
//     HTTP/2 stream is reset. It never looks complete, whatever middleware
//     stands around the guard: one that recovers panics cannot make it whole. A
//     response counts as begun with the handler's first Write, WriteHeader or
//     Flush, even if net/http still has it in a buffer. 1xx responses do not
//     count.
//
// What it cannot do is stop a handler that ignores its context, its reader and
// its writer, because Go has no way to. Such a handler runs to its end: its
// answer is suppressed, but its other effects happen. A response that the
// client has received whole cannot be taken back.
//
// The guard reaches the connection through Unwrap, as [http.ResponseController]
// does. Middleware between the server and the guard that wraps the
// ResponseWriter must have that method, or stand inside the guard;
// [http.TimeoutHandler] does not have it. Where the connection is out of reach,
// blocked reads and writes are not woken, and the only sign of a broken
// response is a panic with [http.ErrAbortHandler], which middleware around the
// guard must let through. The log says so, once. Code that calls Unwrap on the
// guard's own ResponseWriter leaves its protection.
//
// A connection that is not TCP, such as a Unix socket, cannot be reset, only
// closed. Over it the end of a response to HTTP/1.0 or of a hijacked connection
// looks clean. So does the end of a response to HTTP/1.0 whose client has read
// nothing for a second while its handler was writing.
//
// # The ResponseWriter
//
// A handler finds the abilities of the server's own writer, through whatever
// wraps it: Flusher, Hijacker, Pusher, CloseNotifier, io.ReaderFrom, the
// deadlines and the full duplex of a ResponseController, and the effect of
// [http.MaxBytesReader], which answers a body that is too large at once.
//
// # Cost
//
// A request copy, its context, its ResponseWriter and its entry among the
// requests in flight are one allocation, which is never reused for another
// request: a handler may leave any of them behind. [Door.Decide] allocates
// nothing if the transport has the memory of a [Call].
package middleware
