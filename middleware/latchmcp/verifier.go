package latchmcp

import (
	"context"
	"net/http"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// tokenLife is how long the SDK is told that a key without an expiry is good. It is
// asked about each HTTP request, so this rolls on.
const tokenLife = time.Hour

// TokenVerifier returns a verifier for [auth.RequireBearerToken], for programs that
// have that middleware already, or take OAuth tokens at the same endpoint. Everywhere
// else use [New], which does more: a verifier knows no tools, does not cut calls in
// flight, and sends no RateLimit fields.
//
//	keys := latchmcp.TokenVerifier(guard.Door(middleware.Route{Need: middleware.AllOf("mcp:use")}))
//	http.Handle("/mcp", auth.RequireBearerToken(keys, nil)(mcp.NewStreamableHTTPHandler(…)))
//
// Each HTTP request is decided by the door, with its limits, network and host, and
// charged. UserID is the key's id, to which the SDK binds sessions, Scopes are the
// key's own, in which "things:*" may stand for "things:read", and
// Extra["principal"] is its [*apikey.Principal]. The SDK wants an Expiration: that
// of a key without one is an hour from now, in each request anew.
//
// The error of a refusal is its detail. It unwraps to its [apikey.Code], and to
// what the SDK answers with: [auth.ErrInvalidToken] for 401, [auth.ErrOAuth], which
// is 400, for other faults of the client, such as a limit, or to neither, which is
// 500. The error of a token that is not a key of this service, where the door's
// Route lets Others pass, unwraps to ErrInvalidToken and to no Code: ask the next
// verifier.
func TokenVerifier(d *middleware.Door) auth.TokenVerifier {
	return func(ctx context.Context, _ string, r *http.Request) (*auth.TokenInfo, error) {
		var call middleware.Call
		d.Decide(ctx, &call, middleware.Request{
			Fields: r.Header, RawQuery: r.URL.RawQuery, Host: r.Host, Peer: r.RemoteAddr, Method: r.Method, Pattern: r.Pattern,
		})
		defer func() { _ = call.End(0) }() // the answer is not known here
		if call.Code() != apikey.OK {
			return nil, refusedToken(&call.Outcome)
		}
		p := call.Principal()
		if p == nil {
			return nil, &tokenError{"the token is not a key of this service", []error{auth.ErrInvalidToken}}
		}
		expires := p.ExpiresAt()
		if expires.IsZero() {
			expires = time.Now().Add(tokenLife)
		}
		return &auth.TokenInfo{UserID: p.KeyID(), Scopes: p.Scopes(), Expiration: expires, Extra: map[string]any{"principal": p}}, nil
	}
}

func refusedToken(o *middleware.Outcome) error {
	e := &tokenError{o.Detail(), []error{o.Code()}}
	switch status := o.Status(); {
	case status == http.StatusUnauthorized:
		e.is = append(e.is, auth.ErrInvalidToken)
	case status < http.StatusInternalServerError:
		e.is = append(e.is, auth.ErrOAuth)
	}
	return e
}

type tokenError struct {
	detail string
	is     []error
}

func (e *tokenError) Error() string   { return e.detail }
func (e *tokenError) Unwrap() []error { return e.is }
