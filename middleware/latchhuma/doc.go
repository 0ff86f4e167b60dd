// Package latchhuma guards the operations of a Huma API with API keys.
//
//	api := latchhuma.New(humago.New(mux, config), map[string]*middleware.Guard{"key": guard})
//	huma.Register(api, huma.Operation{
//		Method: http.MethodGet, Path: "/things/{id}",
//		Security: []map[string][]string{{"key": {"things:read"}}},
//	}, getThing)
//	huma.Register(api, huma.Operation{
//		Method: http.MethodGet, Path: "/health",
//		Security: latchhuma.Public,
//	}, getHealth)
//
// What an operation needs is its Security, or the document's own where it has
// none, read as package latchopenapi says: a key needs all scopes of one of the
// alternatives. The extension "x-latchkey-cost", an int, is what a request takes
// from each limit. An operation that says nothing, and a mistake, panic when the
// operation is registered. Hidden operations are guarded like others, and so are
// those of groups, of package sse and of AutoPatch. Only what Huma itself serves
// is open: its documents, schemas and docs page, which Config can turn off.
//
// New writes the guards' security schemes into the document, as the first of
// their [middleware.Options.Extractors] reads keys. A scheme that is there already
// stays as it is.
//
// # Requests
//
// A request is decided before Huma's middleware, resolvers and validation see it.
// Handlers find the principal with [middleware.PrincipalFrom], in a context that
// ends with the key. A refusal is the guard's problem document, or what
// [middleware.Options.ErrorHandler] answers: Huma's own error model has no members
// for it, and its content negotiation and transformers do not touch it.
//
// The guard's writer and request stand behind huma.Context, and [Unwrap] returns
// them. The Unwrap of Huma's own adapters, such as humago.Unwrap, would return
// those in front of the guard, which a key that ends cannot stop: inside, it
// panics. So do not use it in middleware of a guarded API. Forms are read as
// Huma's adapters do by default: 8 KiB of a form are in memory, the rest in files.
//
// # Adapters of Huma
//
// Where the adapter is on net/http, as all are but humafiber, requests in flight
// end as package middleware says.
//
// humafiber has no writer that a guard could take over. There, an operation's
// response is held back until its handler has returned, so nothing is streamed.
// If the key ended meanwhile, the handler's context ends, and the client gets the
// refusal when the handler returns. A body that is being read is not woken.
//
// A PATCH of AutoPatch sends a GET and a PUT through the adapter, without a
// client's address and host. They are decided and charged as requests of their
// own; a key that is bound to networks, or to the host of an environment, is
// refused there.
package latchhuma
