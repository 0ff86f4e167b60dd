// Package middleware guards HTTP handlers, and any other transport, with API
// keys.
//
//	keys, err := apikey.New(store, apikey.Options{})
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
// [Guard.Check] decides one request, in this order: form and checksum of the
// key, look-up and comparison, its state, its environment against the host,
// the client's network, the scopes of the route, and at last all limits in one
// step. Nothing is charged before every free check has passed, and a refused
// request is never charged. Adapters of other transports only move data to it
// and from its [Outcome].
//
// The doors on net/http are [Guard.Require] (the principal is in the context:
// [PrincipalFrom]), [Guard.HandlerFunc] (it is an argument), and [Guard.Door],
// of which both are made. [Guard.Mux] is a ServeMux to which no route can be
// added without saying who may use it.
//
// # Doors inside doors
//
// A group of routes may have a door around it, and its routes doors of their own.
// A request is decided once for all doors of one Guard that it passes:
//
//   - It costs what the door with the highest cost asks. Usage counts it at the
//     outermost door, before its handler runs.
//   - A door that refuses it before the response begins gives back what was
//     charged; the request counts as that refusal and no other. A door that costs
//     more than any before takes the difference, or refuses with 429, and then all
//     is given back.
//   - [Options.OnDecision] sees one decision, when it cannot change any more: a
//     refusal before it is answered, an admission when the response begins or the
//     handler has returned without one.
//   - Once the response has begun it is too late: an inner door that refuses keeps
//     its handler from running, and the request stays admitted and charged.
//
// Where the writer of an inner door does not lead to the outermost one's through
// Unwrap, as behind [http.TimeoutHandler] or with a recorder, its refusal is the
// request's if the response begins with a status of 400 or more, and not if the
// handler answers all the same.
//
// Doors of other Guards decide for themselves. So does a door that finds another
// key in the request, or a context of a request that is over. Giving back takes a
// limiter that can ([limiter.Settler]): all of this module's can, with one more
// round trip where they are shared, for these requests only. With one that cannot,
// a refused request stays charged, and the log says so once.
//
// # Answers
//
// A refusal is an RFC 9457 problem document with the stable members type,
// title, status, detail, code and request_id. It is never to be stored
// (Cache-Control: no-store). Answers to admitted requests carry the limits in
// RateLimit-Policy and RateLimit; they are set before the handler runs.
//
// Shared caches store no answer to a request with Authorization (RFC 9111,
// section 3.5), so nothing is added there. For keys that come elsewhere, answers
// get Cache-Control: private, which a handler may replace; on optional routes
// Vary names the fields that keys come in.
//
// [Guard.WhoAmI] is a handler to mount beside the API, where a key learns what
// it may do and what is left to it. [Guard.Explain] tells those who manage keys
// how a request would end, and why, without making it.
//
// # Requests in flight
//
// Revoking or disabling a key, its expiry and the end of a secret's grace end
// the requests that are being served with it:
//
//   - their context is cancelled, with [apikey.ErrRevoked], [apikey.ErrDisabled]
//     or [apikey.ErrExpired] as its cause;
//   - blocked reads of the body and writes of the response return an error;
//   - hijacked connections are reset, and nothing more is written to them;
//   - if no header was sent yet, the client gets the refusal, and everything
//     that the handler writes is swallowed;
//   - else the response is broken off: the connection ends within it, in a reset
//     where a response has no other end, or the HTTP/2 stream is reset. It never
//     looks complete, whatever middleware stands around the
//     guard: one that recovers panics cannot make it whole. A response counts as
//     begun with the handler's first Write, WriteHeader or Flush, even if net/http
//     has it still in a buffer. 1xx responses are no beginning.
//
// What cannot be done: a handler that looks at nothing, neither its context nor
// its reader or writer, runs to its end. Go has no way to stop it. Its answer is
// suppressed; what else it does happens. A response that the client has received
// whole cannot be taken back.
//
// The guard reaches the connection through Unwrap, as [http.ResponseController]
// does. Middleware between the server and the guard that wraps the ResponseWriter
// has to have that method, or stand inside the guard; [http.TimeoutHandler] has
// not. Where the connection is out of reach, blocked reads and writes are not
// woken, and the only sign of a broken response is a panic with
// [http.ErrAbortHandler], which middleware around the guard must let through. The
// log says so, once. Callers of Unwrap on the guard's own ResponseWriter leave its
// protection.
//
// A connection that is not TCP, such as a Unix socket, cannot be reset, only
// closed. Over it the end of a response to HTTP/1.0 or of a hijacked connection
// looks orderly. So does the end of a response to HTTP/1.0 whose client has read
// nothing for a second while its handler was writing.
//
// # The ResponseWriter
//
// A handler finds the abilities of the server's own writer, through whatever wraps
// it: Flusher, Hijacker, Pusher, CloseNotifier, io.ReaderFrom, the deadlines and
// the full duplex of a ResponseController, and the effect of
// [http.MaxBytesReader], which answers a body that is too large at once.
//
// # Cost
//
// A request copy, its context, its ResponseWriter and its place in flight are
// one piece of memory, which is never used for a second request: a handler may
// leave any of them behind. [Guard.Check] takes none.
package middleware
