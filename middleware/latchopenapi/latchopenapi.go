package latchopenapi

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// New returns middleware that guards the operations of a document, in JSON, each
// with the guard of its security scheme. Handlers find the principal with
// [middleware.PrincipalFrom].
//
// operation asks the server's own router which operation a request is for. It
// returns a path as the document has it, whatever the names of its parameters,
// with or without the method in front: "GET /things/{id}". It returns "" where the
// server has none. If it is nil, that is [http.Request.Pattern].
//
// A mistake in the document is an error, with a line for each.
func New(document []byte, guards map[string]*middleware.Guard, operation func(*http.Request) string) (func(http.Handler) http.Handler, error) {
	all, err := operations(document, guards)
	if err != nil {
		return nil, err
	}
	return func(next http.Handler) http.Handler {
		serve := func(w http.ResponseWriter, r *http.Request, _ *apikey.Principal) { next.ServeHTTP(w, r) }
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if operation != nil {
				r.Pattern = operation(r)
			}
			name := r.Pattern
			if !strings.Contains(name, " ") {
				name = r.Method + " " + name
			}
			op, ok := all[name]
			if !ok {
				op, ok = all[named(name)]
			}
			switch {
			case !ok:
				http.Error(w, "404: the API's document has no such operation", http.StatusNotFound)
			case op.door == nil:
				next.ServeHTTP(w, r)
			default:
				op.door.Serve(w, r.WithContext(context.WithValue(r.Context(), passed{}, true)), serve)
			}
		})
	}, nil
}

// passed says in a context that the request was decided by its operation's door.
type passed struct{}

// Admitted returns nil if the middleware of [New] has admitted a request with a
// key. It is all that a generated security handler has to ask:
//
//	func (security) HandleKey(ctx context.Context, _ api.OperationName, _ api.Key) (context.Context, error) {
//		return ctx, latchopenapi.Admitted(ctx)
//	}
//
//	AuthenticationFunc: func(ctx context.Context, _ *openapi3filter.AuthenticationInput) error {
//		return latchopenapi.Admitted(ctx)
//	},
func Admitted(ctx context.Context) error {
	if ctx.Value(passed{}) == nil {
		return errors.New("latchopenapi: the request has not passed the middleware of New, which has to stand in front of this server")
	}
	if _, ok := middleware.PrincipalFrom(ctx); !ok {
		return apikey.MissingKey
	}
	return nil
}
