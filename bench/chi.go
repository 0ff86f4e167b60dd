package main

import (
	"errors"
	"net/http"
	"time"

	"github.com/go-chi/httprate"
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
	id := func(r *http.Request) (string, error) {
		if a, ok := r.Context().Value(accountKey{}).(*account); ok {
			return a.id, nil
		}
		return "", errors.New("no account")
	}
	minute := httprate.LimitBy(int(k.budget.minute), time.Minute, id)
	day := httprate.LimitBy(int(k.budget.day), 24*time.Hour, id)
	return handWritten(newTypicalKeys(k).find, nil, minute(day(http.HandlerFunc(served))))
}
