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

// EnvironmentFrom returns the name of the environment of the request's key, for
// example "live" or "test". It says which data the request must act on.
func EnvironmentFrom(ctx context.Context) (string, bool) {
	p, ok := PrincipalFrom(ctx)
	if !ok {
		return "", false
	}
	return p.Environment(), true
}

// WithPrincipal returns a context in which [PrincipalFrom] finds p, for
// adapters of other transports. The net/http doors do this themselves.
func WithPrincipal(ctx context.Context, p *apikey.Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}
