package middleware

import (
	"context"
	"net/http"
	"sync/atomic"
)

// unkeyed marks a request that an optional door admitted without a key, if
// there is an OnDecision: the decision of an inner door replaces that door's.
type unkeyed struct{ told atomic.Bool }

type unkeyedKey struct{ *Guard }

// serveUnkeyed serves a request that was admitted without a key.
func (g *Guard) serveUnkeyed(w http.ResponseWriter, r *http.Request, o *Outcome, next handler) {
	if g.o.OnDecision == nil || r.Context().Value(unkeyedKey{g}) != nil {
		next(w, r, nil)
		return
	}
	mark := new(unkeyed)
	served := r.WithContext(context.WithValue(r.Context(), unkeyedKey{g}, mark))
	defer func() {
		handBack(r, served)
		if !mark.told.Load() {
			if o.Route() == "" {
				o.learn(r.Pattern)
			}
			g.report(r.Context(), o)
		}
	}()
	next(w, served, nil)
}

// report reports a decision that no other door can change.
func (g *Guard) report(ctx context.Context, o *Outcome) {
	if g.o.OnDecision != nil {
		g.speaks(ctx)
		g.o.OnDecision(ctx, *o)
	}
}

// speaks makes the decision of this door replace that of an optional door
// around it that admitted the request without a key, if there is one.
func (g *Guard) speaks(ctx context.Context) {
	if mark, ok := ctx.Value(unkeyedKey{g}).(*unkeyed); ok {
		mark.told.Store(true)
	}
}
