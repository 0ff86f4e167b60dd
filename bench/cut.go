package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// eagerCut is the plain way to end requests in flight when their key is
// revoked: each gets a context that can be cancelled, in a registry by key.
type eagerCut struct {
	next http.Handler
	mu   sync.Mutex
	by   map[string]map[*context.CancelCauseFunc]struct{}
}

func newEagerCut(next http.Handler) *eagerCut {
	return &eagerCut{next: next, by: map[string]map[*context.CancelCauseFunc]struct{}{}}
}

func (e *eagerCut) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := r.Context().Value(accountKey{}).(*account)
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	e.mu.Lock()
	if e.by[a.id] == nil {
		e.by[a.id] = map[*context.CancelCauseFunc]struct{}{}
	}
	e.by[a.id][&cancel] = struct{}{}
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.by[a.id], &cancel)
	}()
	e.next.ServeHTTP(w, r.WithContext(ctx))
}

// servedWithTimeout is a handler that derives a context, as most that ask a
// database do.
func servedWithTimeout(w http.ResponseWriter, r *http.Request) {
	_, cancel := context.WithTimeout(r.Context(), time.Minute)
	_, _ = w.Write(okBody)
	cancel()
}

// judgeCut compares what a derived context costs on top of a request that can
// be cut: ours on top of Require, the eager way on top of a request without
// either.
func (r *report) judgeCut() {
	c := cell{"micro", 1, hot, 1}
	ns := func(name string) float64 {
		if s := r.find(c, name); s != nil {
			return median(s.column(nsOf))
		}
		return 0
	}
	ours, plain := ns("Require-WithTimeout"), ns("Require")
	eager, hand := ns("hand-careful-eager-WithTimeout"), ns("hand-careful")
	if ours == 0 || plain == 0 || eager == 0 || hand == 0 {
		return
	}
	q := (ours - plain) / (eager - hand)
	r.verdicts = append(r.verdicts, verdict{
		figure: "derived context on top of Require / eager WithCancelCause, registry and derived context on top of hand-careful",
		where:  place(c), measured: fmt.Sprintf("%.2fx (%.0f / %.0f ns)", q, ours-plain, eager-hand), goal: "<= 1.00x", pass: q <= 1,
	})
}
