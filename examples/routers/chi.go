package routers

import (
	"fmt"
	"net/http"

	"github.com/go-chi/chi/v5"
	chimw "github.com/go-chi/chi/v5/middleware"

	"github.com/wontopos/latchkey/middleware"
)

// Chi is the API with chi. A route's own door goes into With, which runs when chi
// has matched the route.
func Chi(guard *middleware.Guard) http.Handler {
	r := chi.NewRouter()
	r.Use(chimw.Recoverer)
	r.Get("/health", health)
	r.Route("/v1", func(r chi.Router) {
		r.Use(guard.Require(middleware.AnyKey()))
		r.Get("/me", me)
		r.With(guard.Require(middleware.AllOf("things:read"))).Get("/things/{id}", func(w http.ResponseWriter, r *http.Request) {
			show(w, r, "thing", chi.URLParam(r, "id"))
		})
		r.With(guard.Require(middleware.AllOf("things:read", "things:write"))).Post("/things", create)
		r.Route("/reports", func(r chi.Router) {
			r.Use(guard.Door(middleware.Route{Need: middleware.AllOf("reports:read"), Cost: 10}).Wrap)
			r.Get("/{name}", func(w http.ResponseWriter, r *http.Request) { show(w, r, "report", chi.URLParam(r, "name")) })
		})
	})
	return r
}

func health(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "well") }

func me(w http.ResponseWriter, r *http.Request) {
	p, _ := middleware.PrincipalFrom(r.Context())
	fmt.Fprintln(w, p.Owner())
}

func show(w http.ResponseWriter, r *http.Request, kind, name string) {
	p, _ := middleware.PrincipalFrom(r.Context())
	fmt.Fprintln(w, kind, name, "of", p.Owner())
}

func create(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) }
