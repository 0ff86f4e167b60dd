package routers

import (
	"net/http"

	"github.com/gorilla/mux"

	"github.com/wontopos/latchkey/middleware"
)

// Gorilla is the API with gorilla/mux. Middleware of a mux.Router runs when a
// route has matched, so a path without a route is a 404 without a look at the key.
func Gorilla(guard *middleware.Guard) http.Handler {
	r := mux.NewRouter()
	r.Use(named)
	r.HandleFunc("/health", health).Methods("GET")

	v1 := r.PathPrefix("/v1").Subrouter()
	v1.Use(mux.MiddlewareFunc(guard.Require(middleware.AnyKey())))
	v1.HandleFunc("/me", me).Methods("GET")
	read := guard.Require(middleware.AllOf("things:read"))
	v1.Handle("/things/{id}", read(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		show(w, r, "thing", mux.Vars(r)["id"])
	}))).Methods("GET")
	write := guard.Require(middleware.AllOf("things:read", "things:write"))
	v1.Handle("/things", write(http.HandlerFunc(create))).Methods("POST")

	reports := v1.PathPrefix("/reports").Subrouter()
	reports.Use(guard.Door(middleware.Route{Need: middleware.AllOf("reports:read"), Cost: 10}).Wrap)
	reports.HandleFunc("/{name}", func(w http.ResponseWriter, r *http.Request) {
		show(w, r, "report", mux.Vars(r)["name"])
	}).Methods("GET")
	return r
}

// named tells the guard the template of the route, which a key's page shows with
// its last use. gorilla/mux keeps it to itself; without named, the page shows the
// path of the request.
func named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if t, err := mux.CurrentRoute(r).GetPathTemplate(); err == nil {
			r.Pattern = t
		}
		next.ServeHTTP(w, r)
	})
}
