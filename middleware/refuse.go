package middleware

import (
	"context"
	"net/http"
)

// refuse answers a request that is not admitted.
func (g *Guard) refuse(w http.ResponseWriter, r *http.Request, o *Outcome) {
	p := g.pockets.Get().(*pocket)
	g.answer(p, w, r, o)
	g.pockets.Put(p)
}

// answer is refuse with a pocket. The fields are those of
// [Outcome.ResponseFields];
// their names are canonical, so the map is written directly.
func (g *Guard) answer(p *pocket, w http.ResponseWriter, r *http.Request, o *Outcome) {
	h := w.Header()
	if o.decision.N > 0 {
		p.announce(h, o, p.one(""), p.one(""))
	}
	h["Content-Type"] = p.one(problemType)
	h["Cache-Control"] = p.one(noStore)
	if c := o.Challenge(); c != "" {
		h["Www-Authenticate"] = p.one(c)
	}
	if s := o.RetryAfter(); s > 0 {
		p.buf = appendUint(p.buf[:0], s)
		h["Retry-After"] = p.one(p.keep(p.buf))
	}
	if g.o.ErrorHandler != nil {
		if !o.client.IsValid() {
			o.client = g.ClientAddr(r)
		}
		g.o.ErrorHandler(w, r, *o)
		return
	}
	p.buf = o.AppendProblem(p.buf[:0], g.requestID(r.Context(), headerFields(r.Header)))
	w.WriteHeader(o.Status())
	_, _ = w.Write(p.buf)
	p.wipe() // the request's name comes from the client
}

// requestID names a request and contains no secret: a client may send its key
// as the name.
func (g *Guard) requestID(ctx context.Context, f Fields) string {
	id := g.o.RequestID(ctx, f)
	if g.keys == nil { // no guard decided
		return id
	}
	return g.keys.Redact(id)
}

// ServeHTTP answers a net/http request with the refusal: its header fields,
// status and problem document, as a Guard without [Options.ErrorHandler] does.
func (o *Outcome) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	for name, value := range o.ResponseFields() {
		if name == "Vary" {
			addVary(h, value)
			continue
		}
		h.Set(name, value)
	}
	body := o.AppendProblem(make([]byte, 0, 768), o.RequestID(r.Context(), headerFields(r.Header)))
	w.WriteHeader(o.Status())
	_, _ = w.Write(body)
}
