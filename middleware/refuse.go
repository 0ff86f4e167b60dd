package middleware

import "net/http"

// refuse answers a request that is not admitted.
func (g *Guard) refuse(w http.ResponseWriter, r *http.Request, o *Outcome) {
	p, h := g.pockets.Get().(*pocket), w.Header()
	defer g.pockets.Put(p)
	o.EachField(func(name, value string) { h[canonical(name)] = p.one(value) })
	if g.o.ErrorHandler != nil {
		g.o.ErrorHandler(w, r, *o)
		return
	}
	p.buf = o.AppendProblem(p.buf[:0], g.o.RequestID(r.Context(), headerFields(r.Header)))
	w.WriteHeader(o.Status())
	_, _ = w.Write(p.buf)
}

// WriteProblem writes status and body of a refusal, as a Guard without
// [Options.ErrorHandler] does. The header fields are set already.
func WriteProblem(w http.ResponseWriter, r *http.Request, o Outcome) {
	id := o.RequestID(r.Context(), headerFields(r.Header))
	body := o.AppendProblem(make([]byte, 0, 768), id)
	w.WriteHeader(o.Status())
	_, _ = w.Write(body)
}

// canonical is [http.CanonicalHeaderKey] for the fields of refusals, which
// takes memory and long for names that it does not know.
func canonical(name string) string {
	switch name {
	case "Content-Type", "Cache-Control", "Retry-After":
		return name
	case "WWW-Authenticate":
		return "Www-Authenticate"
	case "RateLimit-Policy":
		return fieldPolicy
	case "RateLimit":
		return fieldLimit
	}
	return http.CanonicalHeaderKey(name)
}
