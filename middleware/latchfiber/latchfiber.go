package latchfiber

import (
	"context"
	"net"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// Refuse answers a refused request. The header fields and the status of the refusal
// have been set. What it returns goes the way of any handler's error.
type Refuse = func(c fiber.Ctx, o *middleware.Outcome) error

// Require guards routes: a request needs a key that meets need. Handlers find
// its principal with [Principal].
//
//	app.Get("/v1/things", latchfiber.Require(guard, middleware.AllOf("things:read")), listThings)
//
// Like [middleware.Guard.Door] it panics on the zero Requirement.
func Require(g *middleware.Guard, need apikey.Requirement, refuse ...Refuse) fiber.Handler {
	return Door(g.Door(middleware.Route{Need: need}), refuse...)
}

// Door guards routes with a door, which may have a cost or an optional key.
// Doors of one Guard may be nested, as a group's and a route's. A refused request
// is answered with the guard's problem document, or by the last refuse.
func Door(d *middleware.Door, refuse ...Refuse) fiber.Handler {
	answer := Refuse(problem)
	if n := len(refuse); n > 0 {
		answer = refuse[n-1]
	}
	return func(c fiber.Ctx) error {
		x, parent := new(call), c.Context()
		switch of := c.RequestCtx().UserValue(ofRequest{}).(type) {
		case *call:
			x.outer = of
		case context.Context: // of the handler that Routes returns
			parent = of
		}
		d.Decide(parent, &x.Call, request(c))
		if !x.Allowed() {
			announce(c, &x.Outcome)
			return answer(c, &x.Outcome)
		}
		x.enter(c)
		announce(c, &x.Outcome)
		c.SetContext(x.begin(parent))
		// The timeout middleware, on either side of the door, gives a request up while
		// another goroutine has c.
		givenUp := func() bool { return c.IsAbandoned() || parent.Err() != nil }
		panics := true
		defer func() {
			if panics {
				_ = x.end(fiber.StatusInternalServerError)
			}
			if !givenUp() {
				c.SetContext(parent)
			}
		}()
		err := c.Next()
		panics = false
		if givenUp() {
			_ = x.end(0)
			return err
		}
		x.Matched(c.FullPath())
		if x.handOver(c, err) {
			return err
		}
		announce(c, &x.Outcome)
		return answer(c, &x.Outcome)
	}
}

// Principal returns who the request acts for. False means that no guard
// admitted it with a key: the route is public, or its key is optional.
func Principal(c fiber.Ctx) (*apikey.Principal, bool) {
	return middleware.PrincipalFrom(c.Context())
}

// request copies what the guard has to know: fasthttp reuses the memory.
func request(c fiber.Ctx) middleware.Request {
	under := c.RequestCtx()
	r := middleware.Request{
		Fields: fields{&under.Request.Header}, RawQuery: string(under.URI().QueryString()), Host: string(under.Host()),
		Method: c.Method(), Pattern: c.FullPath(),
	}
	if peer, ok := under.RemoteAddr().(*net.TCPAddr); ok {
		r.PeerAddr = peer.AddrPort().Addr()
	} else {
		r.Peer = under.RemoteAddr().String()
	}
	return r
}

type fields struct{ header *fasthttp.RequestHeader }

func (f fields) Values(name string) []string {
	lines := f.header.PeekAll(name)
	if len(lines) == 0 {
		return nil
	}
	values := make([]string, len(lines))
	for i, line := range lines {
		values[i] = string(line)
	}
	return values
}

// announce sets the header fields of an admitted request or a refusal, and the
// status of a refusal.
func announce(c fiber.Ctx, o *middleware.Outcome) {
	for name, value := range o.ResponseFields() {
		if name == fiber.HeaderVary {
			c.Vary(value)
		} else {
			c.Set(name, value)
		}
	}
	if !o.Allowed() {
		c.Status(o.Status())
	}
}

func problem(c fiber.Ctx, o *middleware.Outcome) error {
	return c.Send(o.AppendProblem(nil, o.RequestID(c.Context(), fields{&c.Request().Header})))
}
