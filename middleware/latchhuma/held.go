package latchhuma

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// serveHeld serves a request where there is no net/http, as a [middleware.Call].
func serveHeld(door *middleware.Door, ctx huma.Context, handle func(huma.Context)) {
	r, _ := Unwrap(ctx)
	call := new(middleware.Call)
	door.Decide(r.Context(), call, middleware.Request{
		Fields: r.Header, Host: r.Host, Peer: r.RemoteAddr, RawQuery: r.URL.RawQuery,
		Method: r.Method, Pattern: ctx.Operation().Path,
	})
	if !call.Allowed() {
		refuse(ctx, &call.Outcome, r.Header)
		return
	}
	defer call.End(http.StatusInternalServerError) // if handle panics
	h := &held{under: ctx, ctx: call.Begin(nil)}
	announce(h, &call.Outcome)
	handle(h)
	if call.End(h.status) != nil {
		refuse(ctx, &call.Outcome, r.Header)
		return
	}
	h.send()
}

func refuse(ctx huma.Context, o *middleware.Outcome, f http.Header) {
	announce(ctx, o)
	ctx.SetStatus(o.Status())
	_, _ = ctx.BodyWriter().Write(o.AppendProblem(nil, o.RequestID(ctx.Context(), f)))
}

// announce sets the fields of an answer, beside what others have in Vary.
func announce(ctx huma.Context, o *middleware.Outcome) {
	for name, value := range o.ResponseFields() {
		if name == "Vary" {
			ctx.AppendHeader(name, value)
			continue
		}
		ctx.SetHeader(name, value)
	}
}

// held is the context of an admitted request whose response is held back, since
// nothing can be taken from a client that a framework has answered.
type held struct {
	under
	ctx    context.Context
	status int
	fields []func() // what the handler has set
	body   bytes.Buffer
}

// under is the context in front of the guard.
type under huma.Context

func (c *held) Context() context.Context { return c.ctx }
func (c *held) Status() int              { return c.status }
func (c *held) SetStatus(status int)     { c.status = status }
func (c *held) BodyWriter() io.Writer    { return c }

func (c *held) Write(p []byte) (int, error) {
	if cause, cut := context.Cause(c.ctx).(apikey.Code); cut {
		return 0, cause
	}
	return c.body.Write(p)
}

func (c *held) SetHeader(name, value string) {
	c.fields = append(c.fields, func() { c.under.SetHeader(name, value) })
}

func (c *held) AppendHeader(name, value string) {
	c.fields = append(c.fields, func() { c.under.AppendHeader(name, value) })
}

func (c *held) send() {
	for _, set := range c.fields {
		set()
	}
	if c.status != 0 {
		c.under.SetStatus(c.status)
	}
	_, _ = c.under.BodyWriter().Write(c.body.Bytes())
}
