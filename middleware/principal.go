package middleware

import (
	"context"

	"github.com/wontopos/latchkey/apikey"
)

type principalKey struct{}

// PrincipalFrom returns who the request acts for. False means that no guard
// admitted it with a key: the route is public, or its key is optional.
func PrincipalFrom(ctx context.Context) (*apikey.Principal, bool) {
	p, ok := ctx.Value(principalKey{}).(*apikey.Principal)
	return p, ok && p != nil
}

// WithPrincipal returns a context in which [PrincipalFrom] finds p, for tests of
// handlers (package latchkeytest makes principals) and for transports whose
// handlers get no context from [Call.Begin].
func WithPrincipal(ctx context.Context, p *apikey.Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}
