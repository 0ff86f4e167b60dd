package latchconnect

import (
	"net/http"

	"connectrpc.com/connect"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// Methods says who may call which methods. A name is a procedure as generated code
// names it, "/things.v1.Things/List", or "/things.v1.Things/*" for the methods of a
// service that are not named themselves. A method that has no row is refused.
type Methods struct {
	// Guarded says what a method requires of a key.
	Guarded map[string]middleware.Route
	// Public names the methods that anybody may call. Their keys are not looked at.
	Public []string
}

// New returns middleware that guards every method of the Connect handlers inside
// it, such as those of an http.ServeMux. A method is known by the path of its
// request, so a prefix must be stripped outside. New panics on a mistake in the
// methods.
func New(g *middleware.Guard, m Methods) func(http.Handler) http.Handler {
	s := &server{g.Methods(m.Guarded, m.Public), refuser{connect.NewErrorWriter()}}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, next) })
	}
}

type server struct {
	door    func(method string) (d *middleware.Door, known bool) // nil: public
	refuser refuser
}

func (s *server) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	door, known := s.door(r.URL.Path)
	switch {
	case !known:
		s.refuser.unknown(w, r)
	case door == nil:
		next.ServeHTTP(w, r)
	case !s.refuser.IsSupported(r): // as any request of net/http
		door.Serve(w, r, func(w http.ResponseWriter, r *http.Request, _ *apikey.Principal) { next.ServeHTTP(w, r) })
	default:
		s.call(door, w, r, next)
	}
}

// call decides a call of one of Connect's protocols, and lets next serve it with
// the context of Begin.
func (s *server) call(door *middleware.Door, w http.ResponseWriter, r *http.Request, next http.Handler) {
	a := &answer{under: w, request: r, refuser: s.refuser, protocol: protocolOf(r)}
	door.Decide(r.Context(), &a.call, middleware.Request{
		Fields: r.Header, RawQuery: r.URL.RawQuery, Host: r.Host, Peer: r.RemoteAddr, Pattern: r.URL.Path,
	})
	if !a.call.Allowed() {
		s.refuser.refuse(w, r, &a.call.Outcome)
		return
	}
	if h := w.Header(); len(h) > 0 {
		a.before = h.Clone()
	}
	addFields(w.Header(), &a.call.Outcome)
	returned := false
	defer func() { // also when next panics
		if a.call.End(a.status) != nil && !a.refuse() && returned {
			panic(http.ErrAbortHandler)
		}
	}()
	a.ctx = a.call.Begin(a.cut)
	next.ServeHTTP(a, a.call.StripCredential(r.WithContext(a.ctx)))
	_ = a.begin(http.StatusOK)
	returned = true
}
