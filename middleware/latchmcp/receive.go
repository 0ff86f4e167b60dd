package latchmcp

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// receive decides the requests of MCP, inside the HTTP request that each came in.
func (h *Handler) receive(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, request mcp.Request) (mcp.Result, error) {
		x := exchangeOf(request)
		if x == nil || x.by != h {
			return nil, refusalOf(middleware.Refusal(apikey.MissingKey))
		}
		if strings.HasPrefix(method, "notifications/") { // answered already, and nothing comes back
			return next(ctx, method, request)
		}
		door, err := h.rows.of(method, request)
		if err != nil {
			return nil, err
		}
		if err := x.admit(door); err != nil {
			return nil, err
		}
		ctx, leave := x.join(ctx)
		defer leave()
		return next(ctx, method, request)
	}
}

// exchange is an admitted HTTP request. The SDK serves the messages in it on
// other goroutines, which may be late, with the context of the request that began
// the session. So the exchange comes to them by way of the SDK's TokenInfo.
type exchange struct {
	by  *Handler
	w   http.ResponseWriter
	r   *http.Request
	ctx context.Context // of r, with the SDK's TokenInfo

	mu   sync.Mutex
	used bool // by the one request of MCP that it may bring
	over bool // w must not be touched any more
}

const exchangeKey = "latchkey"

func exchangeOf(request mcp.Request) *exchange {
	extra := request.GetExtra()
	if extra == nil || extra.TokenInfo == nil {
		return nil
	}
	x, _ := extra.TokenInfo.Extra[exchangeKey].(*exchange)
	return x
}

func (x *exchange) end() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.over = true
}

// admit decides at an inner door of the HTTP request, which gives back what a
// refused request was charged.
func (x *exchange) admit(door *middleware.Door) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.over:
		return context.Canceled
	case x.used: // it was charged once
		return refuse(http.StatusBadRequest, "batch", "An HTTP request may bring one request of MCP. Send each in an HTTP request of its own.")
	}
	x.used = true
	if door == nil {
		return nil
	}
	a := &answer{w: x.w, header: make(http.Header)}
	if code := door.Serve(a, x.r, func(http.ResponseWriter, *http.Request, *apikey.Principal) {}); code != apikey.OK {
		return a.refusal(code)
	}
	return nil
}

// join returns the context for what serves a request of MCP: that of its HTTP
// request, which ends with the key, with the values and the cancellation of the
// SDK's.
func (x *exchange) join(sdk context.Context) (ctx context.Context, leave func()) {
	ctx, cancel := context.WithCancelCause(joined{x.ctx, sdk})
	stop := context.AfterFunc(sdk, func() { cancel(context.Cause(sdk)) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

type joined struct {
	context.Context
	sdk context.Context
}

func (j joined) Value(key any) any {
	if v := j.Context.Value(key); v != nil {
		return v
	}
	return j.sdk.Value(key)
}
