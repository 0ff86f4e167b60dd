package main

import (
	"errors"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/httprate"

	"github.com/wontopos/latchkey/middleware"
)

// handHTTPRate is the typical hand-written middleware with two limiters of
// chi's httprate behind it, keyed by the account in the context.
func handHTTPRate() peer {
	return peer{
		name: "hand-typical+2httprate", module: "github.com/go-chi/httprate",
		how:  "the typical hand-written middleware, then two httprate.LimitBy with the key id from the context (they set X-RateLimit headers)",
		open: func(k *keyset) (func() op, func(), error) { return httpOps(httprateHandler(k), k), nothing, nil },
	}
}

func httprateHandler(k *keyset) http.Handler {
	minute, day := httprateLimits(k.budget)
	return handWritten(newTypicalKeys(k).find, nil, minute(day(http.HandlerFunc(served))))
}

func httprateLimits(b budget) (minute, day func(http.Handler) http.Handler) {
	id := func(r *http.Request) (string, error) {
		if a, ok := r.Context().Value(accountKey{}).(*account); ok {
			return a.id, nil
		}
		return "", errors.New("no account")
	}
	return httprate.LimitBy(int(b.minute), time.Minute, id), httprate.LimitBy(int(b.day), 24*time.Hour, id)
}

const chiModule = "github.com/go-chi/chi/v5"

func chiBare() peer {
	return peer{
		name: "chi-bare", module: chiModule, how: "one route, no middleware", does: admitAll,
		open: func(k *keyset) (func() op, func(), error) {
			r := chi.NewRouter()
			r.Get("/things", bare)
			return httpOps(r, k), nothing, nil
		},
	}
}

func chiHTTPRate() peer {
	return peer{
		name: "chi-hand+2httprate", module: "github.com/go-chi/httprate",
		how: "a middleware with the careful look-up and a scope, then two httprate.LimitBy with the key id from the context (they set X-RateLimit headers)",
		open: func(k *keyset) (func() op, func(), error) {
			minute, day := httprateLimits(k.budget)
			r := chi.NewRouter()
			r.Use(handScoped(newCarefulKeys(k).admit), minute, day)
			r.Get("/things", served)
			return httpOps(r, k), nothing, nil
		},
	}
}

func latchChi() peer {
	return guarded("latchkey-chi", chiModule, "Guard.Require as the middleware of a route", func(k *keyset, g *middleware.Guard) func() op {
		r := chi.NewRouter()
		r.With(g.Require(middleware.AllOf(need))).Get("/things", servedPrincipal)
		return httpOps(r, k)
	})
}
