package main

import (
	"context"
	"net/http"
	"strings"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// The steps of a request that can be reached from outside, one by one, for the
// micro suite.

// verifyStep asks about a token; the answer is OK or the code.
func verifyStep(service *latchkey.Service, token string) op {
	ctx := context.Background()
	return func(uint32) int {
		_, err := service.Verify(ctx, token)
		return int(apikey.CodeOf(err))
	}
}

// malformed are tokens that are refused for their form alone.
func malformed(token string) map[string]string {
	return map[string]string{
		"parse-checksum": mistype(token),
		"parse-length":   token[:len(token)-1],
		"parse-prefix":   "xx" + strings.TrimPrefix(token, "sk"),
	}
}

// decideStep is a call from Decide to End, with or without a context, as an
// adapter does it: in memory that the transport has anyway.
func decideStep(g *middleware.Guard, scope string, r middleware.Request, begin bool) op {
	ctx, door, call := context.Background(), g.Door(middleware.Route{Need: middleware.AllOf(scope)}), new(middleware.Call)
	return func(uint32) int {
		*call = middleware.Call{}
		door.Decide(ctx, call, r)
		if begin {
			call.Begin(nil)
		}
		_ = call.End(http.StatusOK)
		return int(call.Code())
	}
}

// metByStep checks scopes.
func metByStep(granted ...string) (op, error) {
	q, err := apikey.AllOf(need)
	return func(uint32) int {
		if q.MetBy(granted) {
			return 1
		}
		return 0
	}, err
}

// fieldStep writes one of the fields that tell of the limits.
func fieldStep(o middleware.Outcome, appendTo func(*middleware.Outcome, []byte) []byte) op {
	buffer := make([]byte, 0, 256)
	return func(uint32) int {
		if len(appendTo(&o, buffer)) == 0 {
			return 0
		}
		return 1
	}
}

// inFlight starts a request and returns its context, as a handler sees it. The
// request is in flight until done is called.
func inFlight(g *middleware.Guard, k *keyset) (ctx context.Context, done func()) {
	got, end, ended := make(chan context.Context, 1), make(chan struct{}), make(chan struct{})
	h := g.Require(middleware.AllOf(need))(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got <- r.Context()
		<-end
	}))
	go func() {
		defer close(ended)
		httpOps(h, k)()(goodToken)
		close(got) // nil for a request that was refused
	}()
	return <-got, func() { close(end); <-ended }
}

// contextSteps are what handlers do with the context of a request.
func contextSteps(ctx context.Context) map[string]op {
	yes := func(ok bool) int {
		if ok {
			return 1
		}
		return 0
	}
	return map[string]op{
		"context-Done":          func(uint32) int { return yes(ctx.Done() != nil) },
		"context-Err":           func(uint32) int { return yes(ctx.Err() == nil) },
		"context-PrincipalFrom": func(uint32) int { _, ok := middleware.PrincipalFrom(ctx); return yes(ok) },
		"context-Value":         func(uint32) int { return yes(ctx.Value(http.ServerContextKey) != nil) }, // of the server's own context
	}
}
