package main

import (
	"context"
	"sync"

	"github.com/gofiber/fiber/v3"
	fiberutils "github.com/gofiber/utils/v2"
	"github.com/valyala/fasthttp"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

type principalKey struct{}

func fiberRoute(k *keyset, g *middleware.Guard) func() op {
	app := fiber.New()
	if g == nil {
		app.Get("/things", func(c fiber.Ctx) error { return c.Send(okBody) })
		return fiberOps(app, k)
	}
	app.Get("/things", fiberGuard(g, middleware.AllOf(need)), func(c fiber.Ctx) error {
		if p, _ := c.Locals(principalKey{}).(*apikey.Principal); p == nil {
			return fiber.ErrInternalServerError
		}
		return c.Send(okBody)
	})
	return fiberOps(app, k)
}

// fastFields are header fields as fasthttp keeps them. Decide keeps no string
// of theirs, so they may be views of memory that is used again.
type fastFields struct {
	header *fasthttp.RequestHeader
	values []string
	text   []byte // of response fields
	call   middleware.Call
}

func (f *fastFields) Values(name string) []string {
	f.values = f.values[:0]
	for _, v := range f.header.PeekAll(name) {
		f.values = append(f.values, fiberutils.UnsafeString(v))
	}
	return f.values
}

// fiberGuard is an adapter as anybody may write it, without the cut of
// requests in flight.
func fiberGuard(g *middleware.Guard, need apikey.Requirement) fiber.Handler {
	door := g.Door(middleware.Route{Need: need})
	pool := sync.Pool{New: func() any { return new(fastFields) }}
	return func(c fiber.Ctx) error {
		f := pool.Get().(*fastFields)
		defer pool.Put(f)
		fast := c.RequestCtx()
		f.header = &fast.Request.Header
		o := &f.call // its memory is used again: it has no Begin
		*o = middleware.Call{}
		door.Decide(context.Background(), o, middleware.Request{
			Fields: f, Host: fiberutils.UnsafeString(fast.Request.Header.Host()), Peer: "192.0.2.1:1234",
			Method: c.Method(), Pattern: c.Route().Path,
		})
		if !o.Allowed() {
			for name, value := range o.ResponseFields() {
				c.Set(name, value)
			}
			return c.Status(o.Status()).Send(o.AppendProblem(nil, o.RequestID(fast, f)))
		}
		h := &fast.Response.Header
		f.text = o.AppendRateLimitPolicy(f.text[:0])
		h.SetBytesV("RateLimit-Policy", f.text)
		f.text = o.AppendRateLimit(f.text[:0])
		h.SetBytesV("RateLimit", f.text)
		c.Locals(principalKey{}, o.Principal())
		err := c.Next()
		status := fast.Response.StatusCode()
		if err != nil { // its status is fiber's, later
			status = 0
		}
		_ = o.End(status)
		return err
	}
}
