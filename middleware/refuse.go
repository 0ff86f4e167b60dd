package middleware

import "net/http"

// refuse answers a request that is not admitted.
func (g *Guard) refuse(w http.ResponseWriter, r *http.Request, o *Outcome) {
	o.EachField(w.Header().Set)
	if g.o.ErrorHandler != nil {
		g.o.ErrorHandler(w, r, *o)
		return
	}
	WriteProblem(w, r, *o)
}

// WriteProblem writes status and body of a refusal, as a Guard without
// [Options.ErrorHandler] does. The header fields are set already.
func WriteProblem(w http.ResponseWriter, r *http.Request, o Outcome) {
	id := o.RequestID(r.Context(), headerFields(r.Header))
	body := o.AppendProblem(make([]byte, 0, 768), id)
	w.WriteHeader(o.Status())
	_, _ = w.Write(body)
}
