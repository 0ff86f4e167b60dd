package main

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchhuma"
)

const humaModule = "github.com/danielgtaylor/huma/v2"

// humaRoute is an operation on a ServeMux. around returns the API that it is
// registered with, and ok reports whether the handler finds who calls.
func humaRoute(k *keyset, security []map[string][]string, around func(huma.API) huma.API, ok func(context.Context) bool) func() op {
	mux := http.NewServeMux()
	config := huma.DefaultConfig("bench", "1")
	config.SchemasPath, config.DocsPath, config.OpenAPIPath, config.CreateHooks = "", "", "", nil
	type answer struct {
		ContentType string `header:"Content-Type"`
		Body        []byte
	}
	operation := huma.Operation{OperationID: "list", Method: http.MethodGet, Path: "/things", Security: security}
	huma.Register(around(humago.New(mux, config)), operation, func(ctx context.Context, _ *struct{}) (*answer, error) {
		if !ok(ctx) {
			return nil, huma.Error500InternalServerError("nobody")
		}
		return &answer{"text/plain", okBody}, nil
	})
	return httpOps(mux, k)
}

func humaBare() peer {
	return peer{
		name: "huma-bare", module: humaModule, how: "one operation on a ServeMux", does: admitAll,
		open: func(k *keyset) (func() op, func(), error) {
			same := func(a huma.API) huma.API { return a }
			return humaRoute(k, nil, same, anybody), nothing, nil
		},
	}
}

// humaRate is the middleware that Huma's documentation shows for authorization:
// it brings neither keys nor limits.
func humaRate() peer {
	return peer{
		name: "huma-hand+2rate", module: humaModule, how: "a middleware of Huma with " + handHow,
		open: func(k *keyset) (func() op, func(), error) {
			hand := newHandLimits(k)
			return humaRoute(k, nil, func(a huma.API) huma.API {
				a.UseMiddleware(func(ctx huma.Context, next func(huma.Context)) {
					who, status := hand.admit(ctx.Header("Authorization"))
					if status != http.StatusOK {
						_ = huma.WriteErr(a, ctx, status, http.StatusText(status))
						return
					}
					next(huma.WithValue(ctx, accountKey{}, who))
				})
				return a
			}, hasAccount), nothing, nil
		},
	}
}

func latchHuma() peer {
	return guarded("latchhuma", humaModule, "latchhuma.New, the operation's Security", func(k *keyset, g *middleware.Guard) func() op {
		return humaRoute(k, []map[string][]string{{"key": {need}}}, func(a huma.API) huma.API {
			return latchhuma.New(a, map[string]*middleware.Guard{"key": g})
		}, hasPrincipal)
	})
}

func hasAccount(ctx context.Context) bool {
	_, ok := ctx.Value(accountKey{}).(*account)
	return ok
}

func hasPrincipal(ctx context.Context) bool {
	_, ok := middleware.PrincipalFrom(ctx)
	return ok
}
