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
// router, made from the document, would resolve some requests to another operation
// than the one that is served, such as those with %2F in their path, and so ask
// for the wrong scopes. For a server that was generated with
//
//   - oapi-codegen for net/http, pass the result of New to its option Middlewares,
//     and nil to New: [http.Request.Pattern] has the operation. Where the option
//     BaseURL is set, cut it off: return strings.Replace(r.Pattern, " /v1/", " /", 1);
//   - oapi-codegen for chi, do the same, with
//     chi.RouteContext(r.Context()).RoutePattern();
//   - ogen, wrap the whole server, and ask it:
//     route, _ := server.FindPath(r.Method, r.URL); return route.PathPattern().
//
// For kin-openapi's own routers, wrap what calls ValidateRequest, and return the
// Path of the route that FindRoute returns. The package's examples in
// examples/openapi are whole programs.
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
// mounted without its guard is closed.
package latchopenapi
