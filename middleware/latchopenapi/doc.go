// Package latchopenapi guards a server with what its OpenAPI document says: the
// scopes of an operation are those of its security requirement.
//
//	guards := map[string]*middleware.Guard{"key": guard} // by security scheme
//	wrap, err := latchopenapi.New(document, guards, nil)
//	…
//	mux := http.NewServeMux()
//	mux.Handle("GET /things", wrap(listThings))
//
// It needs no generator and no library for OpenAPI, and works with all of them.
//
// # What the document says
//
//	paths:
//	  /things:
//	    get:
//	      security: [{key: [things:read]}]
//	    post:
//	      security: [{key: [things:read, things:write]}, {key: [things:admin]}]
//	      x-latchkey-cost: 10
//	  /health:
//	    get:
//	      security: []
//
// It is read as OpenAPI says:
//
//   - A key needs all scopes of one of the alternatives; none means any key.
//   - An operation without security has the document's own. If that has none
//     either, New returns an error that names the operation.
//   - "security: []", or an alternative {} alone, says that anybody may call the
//     operation: no key is looked at. Those are OpenAPI's own words for it, which
//     its other tools understand, and nobody writes them by accident.
//   - {} beside others makes the key optional: a bad key is still refused, and so
//     is one that lacks the scopes of the others.
//   - All alternatives of an operation name one scheme, and only it. New returns an
//     error for those that need two schemes at once, that let a client choose
//     between schemes, or that name a scheme without a guard: a guard decides a
//     request alone.
//   - A scope is in the catalogue of the guard's service, if that has one.
//   - x-latchkey-cost is what a request takes from each limit; by default 1.
//
// # Which operation a request is for
//
// The server's own router says so, through the last argument of New. A second
// router, made from the document, reads some paths differently, and then asks for
// the scopes of another operation than the one that is served: kin-openapi's
// legacy router in front of an http.ServeMux takes /things/7%2Fpicture for the
// picture of 7, and the server for a thing. Where the middleware wraps the whole
// server, ask
//
//   - an http.ServeMux, as oapi-codegen and most programs have one:
//     _, pattern := mux.Handler(r); return pattern
//   - ogen: route, _ := server.FindPath(r.Method, r.URL); return route.PathPattern()
//   - kin-openapi, if its router is the one that serves: FindRoute, and return the
//     route's Path
//
// Where it stands behind the router, at each route, as in oapi-codegen's option
// Middlewares, the request knows its operation: pass nil to New for
// [http.Request.Pattern], and with chi return
// chi.RouteContext(r.Context()).RoutePattern(). Generated code then reads
// parameters before the key. If the router has a prefix that the document has not,
// cut it off: return strings.Replace(r.Pattern, " /v1/", " /", 1).
//
// The programs in examples/openapi have all of these.
//
// A request for an operation that the document does not name is answered with 404,
// and its key is not looked at. So is every request if the middleware stands
// where the router has not run yet.
//
// # Generated security handlers
//
// ogen's SecurityHandler, and the AuthenticationFunc of kin-openapi's
// openapi3filter, see one scheme of one alternative, and cannot end a request that
// is in flight. They decide nothing here: [Admitted] lets through what the guard
// has admitted, and refuses what has not passed it, so that a server that was
// mounted without its guard is closed. They look for the key in the request, so
// leave [middleware.Options.StripCredential] off there.
package latchopenapi
