package main

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// openGuard makes a guard of its own on the keyset's service, with all that is
// on by default: scopes, two exact windows in one step, RateLimit headers, the
// cut of requests in flight, usage.
func openGuard(k *keyset, wrap func(*middleware.Guard) http.Handler) (func() op, func(), error) {
	h, closer, err := guardHandler(k, wrap)
	if err != nil {
		return nil, nil, err
	}
	return httpOps(h, k), closer, nil
}

func guardHandler(k *keyset, wrap func(*middleware.Guard) http.Handler) (http.Handler, func(), error) {
	g, err := middleware.New(k.service, middleware.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, err
	}
	return wrap(g), func() { _ = g.Close(context.Background()) }, nil
}

func wrapRequire(g *middleware.Guard) http.Handler {
	return g.Require(middleware.AllOf(need))(http.HandlerFunc(servedPrincipal))
}

func wrapHandlerFunc(g *middleware.Guard) http.Handler {
	return handlerFunc(g, middleware.AllOf(need), func(w http.ResponseWriter, _ *http.Request, p *apikey.Principal) {
		if p == nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		answer(w)
	})
}

func latchkeyRequire() peer {
	return peer{
		name: "latchkey-Require", how: "verify, scope, two exact windows, RateLimit headers, cut armed, usage; principal in the context",
		open: func(k *keyset) (func() op, func(), error) {
			return openGuard(k, wrapRequire)
		},
	}
}

func servedPrincipal(w http.ResponseWriter, r *http.Request) {
	if _, ok := middleware.PrincipalFrom(r.Context()); !ok {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	answer(w)
}

func latchkeyHandlerFunc() peer {
	return peer{
		name: "latchkey-HandlerFunc", how: "the same with the principal as an argument",
		open: func(k *keyset) (func() op, func(), error) {
			return openGuard(k, wrapHandlerFunc)
		},
	}
}

// handlerFunc guards a handler that takes the principal as an argument.
func handlerFunc(g *middleware.Guard, need apikey.Requirement, h func(http.ResponseWriter, *http.Request, *apikey.Principal)) http.Handler {
	door := g.Door(middleware.Route{Need: need})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { door.Serve(w, r, h) })
}
