// Package admin is the settings page and the REST API with which people and
// programs manage API keys: one [http.Handler] for everything that an
// [latchkey.Service] can do.
//
//	keysPage, err := admin.New(keys, authorize, admin.Options{})
//	mux.Handle("/settings/keys/", http.StripPrefix("/settings/keys", keysPage))
//
// It mounts anywhere, because all its addresses are relative; mount it with a
// trailing slash and [http.StripPrefix], and serve it over TLS.
//
// # Who may do what
//
// You supply the [Authorizer]: it reads the session of your own sign-in and
// returns an [Actor]. An [Operator] manages the keys of all owners, a
// [Customer] those of their own account, and either may be ReadOnly. A
// customer's owner comes from the Actor alone, never from a body or a query.
// The answer for somebody else's key is exactly that for a key that does not
// exist. A key's own limits and its metadata are for operators only, and so is
// a plan outside [Actor.Plans]. An API key never gives access to the
// administration: a request that carries one is refused before the Authorizer
// is asked.
//
// The API beside the handler has priority: reads use no more than half of the
// processors at a time, further reads wait, and if too many wait they are
// answered with 503 and Retry-After. Changes never wait.
//
// For development, [Loopback] admits the person who runs the program, with a
// link that works once. For a handful of people without a sign-in of your own,
// [BasicAuth] checks passwords against argon2id hashes.
//
// # REST
//
// Below v1/, JSON in and out:
//
//	GET    v1/openapi.yaml                   all of this, as OpenAPI 3.1
//	GET    v1/whoami                         who the actor is and may do
//	GET    v1/environments v1/plans v1/scopes
//	GET    v1/keys                           ?owner= ?environment= ?plan= ?state= ?search= ?unused_since=
//	                                         ?rotating= ?expires_before= ?order= ?activity_since= ?cursor= ?limit=
//	POST   v1/keys                           201, Location, and the token; Idempotency-Key
//	GET    v1/keys/{id}                      ETag
//	PATCH  v1/keys/{id}                      fields that are present; null empties
//	DELETE v1/keys/{id}                      revokes
//	POST   v1/keys/{id}/disable  enable  revoke
//	POST   v1/keys/{id}/rotate               grace, immediately, start_on_first_use, reason; the new token
//	GET    v1/keys/{id}/rotation
//	POST   v1/keys/{id}/finish-rotation  cancel-rotation
//	GET    v1/keys/{id}/usage                ?since=
//	GET    v1/keys/{id}/audit                ?before= ?limit=; audit.csv for spreadsheets
//	POST   v1/keys/{id}/explain              how would a request with this key end, and why?
//	GET    v1/audit                          ?owner= ?key= ?before= ?limit=; audit.csv
//	GET    v1/due                            ?owner= ?ahead=
//	POST   v1/identify                       whose is this token?
//	POST   v1/explain                        why is this token refused?
//	GET    v1/pepper-use  v1/health          operators
//	POST   v1/purge  v1/refresh-plans        operators
//
// Times are RFC 3339, durations whole seconds (requests may also write "24h").
// Every change of a key accepts If-Match with its ETag, and is refused with 412
// if the key has changed since. A creation that is repeated with its
// Idempotency-Key makes no second key, on any instance and after any crash. A
// refusal is a problem (RFC 9457) whose code is stable and whose errors point
// at each fault; an unknown field, parameter or name is a fault too and is not
// ignored.
//
// With [Options.Guard], explanations include limits. To let a key see itself,
// mount [middleware.Guard.WhoAmI] beside the API: no key gives access to this
// handler.
//
// A token appears in exactly one response, the one to the request that made it.
//
// # The page
//
// The page is HTML rendered by the server, one style sheet and one small script
// module, under a Content Security Policy that allows nothing else. Everything
// works without the scripts: they copy to the clipboard, watch for a first
// request, summarise what is ticked, and handle the keys / c and ?.
//
//   - The list shows what each key did in the last 30 days, can be searched and
//     filtered, and says which keys are due for rotation, expire soon or are
//     unused.
//   - A new secret is shown once, masked, ready to copy in six forms, with a
//     light that shows when it is first used. A form makes one key, and the
//     next secret of a key is made once: a reload, Back or a double click never
//     makes another, whichever instance it reaches, even after a restart.
//   - A rotation is one sentence, amber until the old secret is no longer used
//     and green from then on. To end it earlier, people must type the name of
//     the key, as for revoking. The page says within how many milliseconds a
//     change took effect.
//   - Every step can be taken with the keyboard; the focus then moves to the
//     result. With forced colours, edges and shapes replace colours; nothing
//     moves for people who asked for that.
//   - A key that somebody found is pasted at leak, identified, and rotated or
//     revoked with the second click. It is hashed at once, and neither shown
//     again nor logged.
//   - With [Options.Routes], operators see at routes what each route requires, and
//     which of them need a scope of a key.
//
// [Options.Style] is CSS that comes after the page's own: set the custom
// properties at the top of the page's style sheet.
package admin
