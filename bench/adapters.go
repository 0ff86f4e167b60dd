package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/go-chi/chi/v5"
	"github.com/labstack/echo/v5"

	"github.com/wontopos/latchkey/middleware"
)

// The adapters suite measures what a guard adds to a route of each framework,
// through the public API alone.

const chiModule = "github.com/go-chi/chi/v5"

// adapter is a framework with a route, bare and guarded.
type adapter struct{ bare, guarded peer }

// adapterOf describes one. build makes the route; a nil guard leaves it open.
func adapterOf(name, module, how string, build func(k *keyset, g *middleware.Guard) func() op) adapter {
	return adapter{
		bare: peer{
			name: name, module: module, how: "one route, no middleware", does: admitAll,
			open: func(k *keyset) (func() op, func(), error) { return build(k, nil), nothing, nil },
		},
		guarded: peer{
			name: name + "+latchkey", module: module, how: how,
			open: func(k *keyset) (func() op, func(), error) {
				g, err := middleware.New(k.service, middleware.Options{Logger: slog.New(slog.DiscardHandler)})
				if err != nil {
					return nil, nil, err
				}
				return build(k, g), func() { _ = g.Close(context.Background()) }, nil
			},
		},
	}
}

func adapters() []adapter {
	return []adapter{
		adapterOf("net/http", "", "Guard.Require", func(k *keyset, g *middleware.Guard) func() op {
			m := http.NewServeMux()
			if g == nil {
				m.HandleFunc("GET /things", bare)
			} else {
				m.Handle("GET /things", g.Require(middleware.AllOf(need))(http.HandlerFunc(servedPrincipal)))
			}
			return httpOps(m, k)
		}),
		adapterOf("chi", chiModule, "Guard.Require as the middleware of a route", func(k *keyset, g *middleware.Guard) func() op {
			r := chi.NewRouter()
			if g == nil {
				r.Get("/things", bare)
			} else {
				r.With(g.Require(middleware.AllOf(need))).Get("/things", servedPrincipal)
			}
			return httpOps(r, k)
		}),
		adapterOf("gin", ginModule, "Door.Serve in a middleware function, with gin's ResponseWriter over the door's", ginRoute),
		adapterOf("echo", echoModule, "echo.WrapMiddleware(Guard.Require), which wraps anew for every request", echoRoute),
		adapterOf("fiber", fiberModule, "Door.Decide with Fields over fasthttp's header; requests in flight are not cut", fiberRoute),
	}
}

func echoRoute(k *keyset, g *middleware.Guard) func() op {
	e := newEcho()
	if g == nil {
		e.GET("/things", func(c *echo.Context) error { return c.Blob(http.StatusOK, "text/plain", okBody) })
		return httpOps(e, k)
	}
	e.GET("/things", func(c *echo.Context) error {
		if _, ok := middleware.PrincipalFrom(c.Request().Context()); !ok {
			return echo.ErrInternalServerError
		}
		return c.Blob(http.StatusOK, "text/plain", okBody)
	}, echo.WrapMiddleware(g.Require(middleware.AllOf(need))))
	return httpOps(e, k)
}

func adaptersSuite(o *options, out *report) error {
	var all []adapter
	for _, a := range adapters() {
		if o.only.MatchString(a.guarded.name) {
			all = append(all, a)
		}
	}
	var peers []peer
	for _, a := range all {
		peers = append(peers, a.bare, a.guarded)
		out.setup(a.bare)
		out.setup(a.guarded)
	}
	out.progress("parity of adapters")
	if err := parity(peers); err != nil {
		return err
	}
	const title = "adapters: what a guard adds"
	out.tables = append(out.tables, table{
		title: title, columns: []string{"framework", "keys", "CPU", "bare ns", "guarded ns", "added ns", "added B", "added allocs"},
		note: "Medians over the rounds; what is added is the median of the differences within a round.",
	})
	for _, keys := range o.keys {
		if keys > fastSet {
			out.progress("adapters: %d keys: not measured, the work of a guard is in the peers suite", keys)
			continue
		}
		load := zipfAll
		if keys == 1 {
			load = hot
		}
		if err := peersWith(o, out, "adapters", peers, keys, []string{load}); err != nil {
			return err
		}
		for _, cpu := range o.cpus {
			c := cell{"adapters", keys, load, cpu}
			for _, a := range all {
				bare, guarded := out.find(c, a.bare.name), out.find(c, a.guarded.name)
				out.row(title, a.bare.name, fmt.Sprint(keys), fmt.Sprint(cpu),
					fmt.Sprintf("%.0f", median(bare.column(nsOf))), fmt.Sprintf("%.0f", median(guarded.column(nsOf))),
					fmt.Sprintf("%.0f", added(bare, guarded, nsOf)), fmt.Sprintf("%.0f", added(bare, guarded, bytesOf)), fmt.Sprintf("%.2f", added(bare, guarded, allocsOf)))
			}
		}
	}
	return nil
}

// added returns the median of b - a, round by round.
func added(a, b *series, of func(sample) float64) float64 {
	d := make([]float64, min(len(a.samples), len(b.samples)))
	for i := range d {
		d[i] = of(b.samples[i]) - of(a.samples[i])
	}
	return median(d)
}
