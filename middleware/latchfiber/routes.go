package latchfiber

import (
	"net/http"
	"slices"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"
)

// Routes returns the routes of an application, those of mounted ones included, and
// a handler for them, so that a test can check that none is forgotten:
//
//	h, routes := latchfiber.Routes(app)
//	latchkeytest.CheckRoutes(t, guard, h, routes, "GET /health")
//
// What app.Use adds is no route, so files that it serves are not among them, and
// neither is the HEAD that fiber makes of each GET. The handler is for such tests
// alone: it leaves out all of a request but its method, host and address.
func Routes(app *fiber.App) (h http.Handler, routes []string) {
	serve := app.Handler() // first: it puts the routes of mounted applications in
	all := app.GetRoutes(true)
	for _, r := range all {
		ofGet := func(get fiber.Route) bool {
			return get.Method == fiber.MethodGet && get.Path == r.Path && &get.Handlers[0] == &r.Handlers[0]
		}
		if r.Method != fiber.MethodHead || !slices.ContainsFunc(all, ofGet) {
			routes = append(routes, r.Method+" "+r.Path)
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request fasthttp.Request
		request.Header.SetMethod(r.Method)
		request.SetRequestURI(r.URL.RequestURI())
		request.Header.SetHost(r.Host)
		var under fasthttp.RequestCtx
		under.Init(&request, nil, nil)
		under.SetUserValue(ofRequest{}, r.Context()) // fiber clears what SetContext has set before
		serve(&under)
		w.WriteHeader(under.Response.StatusCode())
	}), routes
}
