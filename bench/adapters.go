package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"

	"github.com/gofiber/fiber/v3/middleware/limiter"

	"github.com/wontopos/latchkey/middleware"
)

// The adapters suite measures what each of our adapters adds to a bare route of
// its framework, beside what people put there without it. Both sides verify a
// key, check a scope, and charge two limits of the key.

// framework is a route three times: open to everybody, behind our adapter, and
// behind others.
type framework struct {
	name       string
	bare, ours peer
	rivals     []peer
}

func frameworks() []framework {
	return []framework{
		{"net/http", barePeer(), latchkeyRequire(), []peer{handScopedRate()}},
		{"chi", chiBare(), latchChi(), []peer{chiHTTPRate()}},
		{"gin", ginBare(), latchGin(), []peer{ginRate(), ginUlule()}},
		{"echo", echoBare(), latchEcho(), []peer{echoKeyAuth()}},
		{"fiber", fiberBare(), latchFiber(), []peer{fiberKeyAuth("sliding", limiter.SlidingWindow{})}},
		{"huma", humaBare(), latchHuma(), []peer{humaRate()}},
		{"gRPC", grpcBare(), latchGRPC(), []peer{grpcRate()}},
		{"Connect", connectBare(), latchConnect(), []peer{connectRate()}},
	}
}

func (f framework) peers() []peer { return append([]peer{f.bare, f.ours}, f.rivals...) }

// guarded describes a route behind a guard of its own.
func guarded(name, module, how string, build func(k *keyset, g *middleware.Guard) func() op) peer {
	return peer{name: name, module: module, how: how, open: func(k *keyset) (func() op, func(), error) {
		g, err := middleware.New(k.service, middleware.Options{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return nil, nil, err
		}
		return build(k, g), func() { _ = g.Close(context.Background()) }, nil
	}}
}

const adaptersTable = "adapters: what a key check with two limits adds"

func adaptersSuite(o *options, out *report) error {
	all := slices.DeleteFunc(frameworks(), func(f framework) bool {
		return !o.only.MatchString(f.name) && !o.only.MatchString(f.ours.name)
	})
	var peers []peer
	for _, f := range all {
		for _, p := range f.peers() {
			peers = append(peers, p)
			out.setup(p)
		}
	}
	out.progress("parity of adapters")
	if err := parity(peers); err != nil {
		return err
	}
	out.tables = append(out.tables, table{
		title: adaptersTable, columns: []string{"framework", "contestant", "keys", "CPU", "ns", "added ns", "added B", "added allocs", "ours / it"},
		note: "Medians over the rounds. What is added is the median of the differences to the bare route within a round, and the last column is the ratio of two such medians.",
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
			for _, f := range all {
				out.compareAdded(f, cell{"adapters", keys, load, cpu})
			}
		}
	}
	return nil
}

// compareAdded writes the rows of a framework, and judges its goals: our adapter
// adds no more than what people use without it.
func (r *report) compareAdded(f framework, c cell) {
	bare, ours := r.find(c, f.bare.name), r.find(c, f.ours.name)
	of := func(name string, s *series, ratio string) {
		r.row(adaptersTable, f.name, name, fmt.Sprint(c.keys), fmt.Sprint(c.cpu), fmt.Sprintf("%.0f", median(s.column(nsOf))),
			fmt.Sprintf("%.0f", added(bare, s, nsOf)), fmt.Sprintf("%.0f", added(bare, s, bytesOf)), fmt.Sprintf("%.2f", added(bare, s, allocsOf)), ratio)
	}
	r.row(adaptersTable, f.name, f.bare.name, fmt.Sprint(c.keys), fmt.Sprint(c.cpu), fmt.Sprintf("%.0f", median(bare.column(nsOf))), "", "", "", "")
	of(f.ours.name, ours, "")
	for _, p := range f.rivals {
		rival := r.find(c, p.name)
		ratio := added(bare, ours, nsOf) / added(bare, rival, nsOf)
		of(p.name, rival, fmt.Sprintf("%.2f", ratio))
		r.goal(ratio <= 1, "added to "+f.name+": "+f.ours.name+" / "+p.name, place(c), fmt.Sprintf("%.2fx", ratio), "<= 1.00x")
	}
}

// added returns the median of b - a, round by round.
func added(a, b *series, of func(sample) float64) float64 {
	d := make([]float64, min(len(a.samples), len(b.samples)))
	for i := range d {
		d[i] = of(b.samples[i]) - of(a.samples[i])
	}
	return median(d)
}

// handLimits is what the rivals have that bring no limits: the careful look-up of
// a key, its scopes, and two x/time/rate limiters a key.
type handLimits struct {
	keys  *carefulKeys
	rates *visitors
}

func newHandLimits(k *keyset) *handLimits {
	return &handLimits{newCarefulKeys(k), newVisitors(k.budget)}
}

// admit returns who a request acts for, or the status of its refusal.
func (h *handLimits) admit(authorization string) (*account, int) {
	a, status := h.keys.admit(authorization)
	if status == http.StatusOK && !h.rates.allow(a) {
		return nil, http.StatusTooManyRequests
	}
	return a, status
}

const handHow = "the careful look-up, a scope, two x/time/rate limiters a key in a map behind a mutex"

// handScoped is the hand-written middleware, for scopes and whatever else admit checks.
func handScoped(admit func(authorization string) (*account, int)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a, status := admit(r.Header.Get("Authorization"))
			if status != http.StatusOK {
				http.Error(w, http.StatusText(status), status)
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), accountKey{}, a)))
		})
	}
}

func handScopedRate() peer {
	return peer{name: "hand-scoped+2rate", module: "golang.org/x/time", how: "hand-written middleware with " + handHow, open: func(k *keyset) (func() op, func(), error) {
		return httpOps(handScoped(newHandLimits(k).admit)(http.HandlerFunc(served)), k), nothing, nil
	}}
}
