package middlewaretest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"testing"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/middlewaretest"
)

// wire is an adapter for a transport without a network: a call is a function
// call. It is right, but for what its fields say.
type wire struct {
	playsRefused   bool // the handler, and then refuses
	admits         bool // everybody
	losesFields    bool // one of them
	ownStatus      bool // not that of the code
	looksClean     bool // when it is cut
	answersLate    bool // what the handler says after the cut
	swallowsPanics bool
	mixes          bool // the answers of calls
	lacks          []middlewaretest.Ability

	last *apikey.Principal
}

func (w *wire) transport() middlewaretest.Transport {
	return middlewaretest.Transport{Lacks: w.lacks, Start: func(_ *testing.T, g *middleware.Guard, scripts []middlewaretest.Script) func(context.Context, middlewaretest.Ask) middlewaretest.Reply {
		doors := map[string]*middleware.Door{}
		plays := map[string]middlewaretest.Script{}
		for _, s := range scripts {
			doors[s.Name], plays[s.Name] = g.Door(s.Route), s
		}
		return func(ctx context.Context, a middlewaretest.Ask) middlewaretest.Reply {
			return w.call(ctx, doors[a.Script], plays[a.Script], a)
		}
	}}
}

func (w *wire) call(ctx context.Context, door *middleware.Door, s middlewaretest.Script, a middlewaretest.Ask) (r middlewaretest.Reply) {
	call := new(middleware.Call)
	door.Decide(ctx, call, middleware.Request{Fields: http.Header(a.Fields), Host: a.Host, Peer: "127.0.0.1:4711"})
	if !call.Allowed() {
		if w.playsRefused || w.admits {
			_ = s.Play(ctx, nil, &wireExchange{ctx: ctx, ask: a, to: new(middlewaretest.Reply)})
		}
		return w.refused(&call.Outcome, w.admits)
	}
	fields := http.Header{}
	for name, value := range call.ResponseFields() {
		fields.Add(name, value)
	}
	r = middlewaretest.Reply{Status: "200", Fields: fields}
	defer func() {
		if recover() != nil {
			call.End(500)
			r = middlewaretest.Reply{Status: "500"}
			if w.swallowsPanics {
				r.Status = "200"
			}
		}
	}()
	p := call.Principal()
	if w.mixes {
		p, w.last = w.last, p
	}
	served := call.Begin(nil)
	if s.Play(served, p, &wireExchange{served, a, &r, w.answersLate}) != nil {
		r.Status = "500"
	}
	switch cause := call.End(200); {
	case cause == nil || w.answersLate:
	case len(r.Body) == 0:
		r = w.refused(&call.Outcome, false)
	case !w.looksClean:
		r.Err = cause
	}
	return r
}

func (w *wire) refused(o *middleware.Outcome, admit bool) middlewaretest.Reply {
	r := middlewaretest.Reply{
		Status: strconv.Itoa(o.Status()), Code: o.Code(), Detail: o.Detail(),
		MissingScopes: o.MissingScopes(), BaseURL: o.BaseURL(), RetryAfter: o.RetryAfter(),
	}
	if w.ownStatus {
		r.Status = "400"
	}
	if admit {
		r = middlewaretest.Reply{Status: "200"}
	}
	fields := http.Header{}
	for name, value := range o.ResponseFields() {
		fields.Add(name, value)
	}
	if w.losesFields {
		fields.Del("Retry-After")
	}
	r.Fields = fields
	return r
}

type wireExchange struct {
	ctx  context.Context
	ask  middlewaretest.Ask
	to   *middlewaretest.Reply
	late bool
}

func (x *wireExchange) Send(part []byte) error {
	if err := x.ctx.Err(); err != nil && !x.late {
		return err
	}
	x.to.Body = append(x.to.Body, part...)
	if x.ask.OnPart != nil {
		x.ask.OnPart(part)
	}
	return nil
}

func (x *wireExchange) Receive() ([]byte, error) {
	select {
	case part, more := <-x.ask.Parts:
		if !more {
			return nil, io.EOF
		}
		return part, nil
	case <-x.ctx.Done():
		return nil, errors.New("the call was cut")
	}
}

// TestTransport: the suite is fair to a transport that is not HTTP.
func TestTransport(t *testing.T) { middlewaretest.RunTransport(t, new(wire).transport()) }

var wrongTransports = map[string]struct {
	wire wire
	rule string // that it breaks
}{
	"plays before it refuses":      {wire{playsRefused: true}, "missing"},
	"admits everybody":             {wire{admits: true}, "wrong_scope"},
	"loses a field":                {wire{losesFields: true}, "limited"},
	"has a status of its own":      {wire{ownStatus: true}, "revoked"},
	"looks clean when it is cut":   {wire{looksClean: true}, "cut_stream"},
	"answers after the cut":        {wire{answersLate: true}, "cut"},
	"swallows panics":              {wire{swallowsPanics: true}, "panic"},
	"mixes calls":                  {wire{mixes: true}, "crossing"},
	"can stream":                   {wire{lacks: []middlewaretest.Ability{middlewaretest.Streaming}}, "it_lacks_streaming,_as_it_says"},
	"can cut":                      {wire{lacks: []middlewaretest.Ability{middlewaretest.Cut}}, "it_lacks_cut,_as_it_says"},
	"can wake uploads":             {wire{lacks: []middlewaretest.Ability{middlewaretest.Uploads}}, "it_lacks_uploads,_as_it_says"},
	"lacks what is not an ability": {wire{lacks: []middlewaretest.Ability{middlewaretest.Hijack}}, "it_lacks_hijack,_as_it_says"},
}

func TestASuiteNoticesWrongTransports(t *testing.T) {
	if name := os.Getenv(wrongAdapter); name != "" {
		w := wrongTransports[name].wire
		middlewaretest.RunTransport(t, w.transport())
		return
	}
	for name, wrong := range wrongTransports {
		t.Run(name, func(t *testing.T) { notices(t, "TestASuiteNoticesWrongTransports", name, wrong.rule) })
	}
}
