package main

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/middleware"
)

// microSuite measures the steps of one request, and what refusals cost, with
// one key on one core.
func microSuite(o *options, out *report) error {
	out.progress("micro: set-up")
	k, err := newKeyset(1, roomy)
	if err != nil {
		return err
	}
	defer k.close()
	full, err := newKeyset(1, budget{1, 1}) // its key is over its limits after one request
	if err != nil {
		return err
	}
	defer full.close()
	contestants, closer, err := microContestants(k, full)
	if err != nil {
		return err
	}
	defer closer()
	var chosen []contestant
	for _, c := range contestants {
		if o.only.MatchString(c.name) {
			chosen = append(chosen, c)
		}
	}
	out.progress("micro")
	all, err := measure(cell{"micro", 1, hot, 1}, chosen, []uint32{0}, 1, o.plan)
	if err != nil {
		return err
	}
	out.add(all...)
	out.measureArming(chosen, o.plan.time*time.Duration(o.plan.rounds))
	return nil
}

// The tokens of a keyset of one key.
const (
	goodToken     = 0
	unknownToken  = 1 // 1+badKeys would be next
	mistypedToken = 2
)

func microContestants(k, full *keyset) (all []contestant, closer func(), err error) {
	options := middleware.Options{Logger: slog.New(slog.DiscardHandler), RequestID: func(context.Context, middleware.Fields) string { return "bench" }}
	guard, err := middleware.New(k.service, options)
	if err != nil {
		return nil, nil, err
	}
	fullGuard, err := middleware.New(full.service, options)
	if err != nil {
		return nil, nil, err
	}
	window, err := limiter.New(limiter.Options{})
	if err != nil {
		return nil, nil, err
	}
	ctx := context.Background()
	requestContext, done := inFlight(guard, k)
	closer = func() {
		done()
		_, _ = guard.Close(ctx), fullGuard.Close(ctx)
	}

	// add takes an op that ignores its argument; its answer must be want.
	add := func(name string, want int, f op) {
		all = append(all, contestant{name: name, ops: func() op { return f }, want: func(uint32) int { return want }})
	}
	handler := func(name string, want int, k *keyset, token uint32, h http.Handler) {
		f := httpOps(h, k)()
		add(name, want, func(uint32) int { return f(token) })
	}
	request := func(line string) middleware.Request {
		return middleware.Request{Fields: oneField{"Authorization", []string{line}}, Host: "api.example.com", Peer: "192.0.2.1:1234"}
	}
	decide := func(name string, g *middleware.Guard, line, scope string, want apikey.Code) {
		add(name, int(want), decideStep(g, scope, request(line), false))
	}
	answer := http.HandlerFunc(servedPrincipal)
	token := strings.TrimPrefix(k.auth[goodToken], "Bearer ")

	add("Verify", 0, verifyStep(k.service, token))
	for name, text := range sorted(malformed(token)) {
		add(name, int(apikey.InvalidKey), verifyStep(k.service, text))
	}
	metBy, err := metByStep(need)
	if err != nil {
		return nil, closer, err
	}
	add("Requirement.MetBy", 1, metBy)
	limits := []apikey.Limit{apikey.PerMinute(roomy.minute), apikey.PerDay(roomy.day)}
	for n := 1; n <= len(limits); n++ {
		subject := fmt.Sprintf("windows-%d", n)
		add(fmt.Sprintf("Window.Take-%d", n), 0, func(uint32) int {
			d, err := window.Take(ctx, limiter.Request{Demands: []limiter.Demand{{Subject: subject, Limits: limits[:n]}}})
			if err != nil || !d.Allowed {
				return 1
			}
			return 0
		})
	}
	decide("Decide", guard, k.auth[goodToken], need, apikey.OK)
	add(decideBegin, int(apikey.OK), decideStep(guard, need, request(k.auth[goodToken]), true))
	admitted := new(middleware.Call)
	guard.Door(middleware.Route{Need: middleware.AllOf(need)}).Decide(ctx, admitted, request(k.auth[goodToken]))
	add("Outcome.AppendRateLimit", 1, fieldStep(admitted.Outcome, (*middleware.Outcome).AppendRateLimit))
	add("Outcome.AppendRateLimitPolicy", 1, fieldStep(admitted.Outcome, (*middleware.Outcome).AppendRateLimitPolicy))
	for name, f := range sorted(contextSteps(requestContext)) {
		add(name, 1, f)
	}
	handler("bare", 200, k, goodToken, http.HandlerFunc(bare))
	handler("HandlerFunc", 200, k, goodToken, handlerFunc(guard, middleware.AllOf(need), func(w http.ResponseWriter, _ *http.Request, _ *apikey.Principal) {
		_, _ = w.Write(okBody)
	}))
	handler("Require", 200, k, goodToken, guard.Require(middleware.AllOf(need))(answer))
	handler("Require-Done", 200, k, goodToken, guard.Require(middleware.AllOf(need))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Done() != nil {
			_, _ = w.Write(okBody)
		}
	})))
	handler("Require-WithTimeout", 200, k, goodToken, guard.Require(middleware.AllOf(need))(http.HandlerFunc(servedWithTimeout)))
	handler("hand-careful-eager", 200, k, goodToken, handWritten(newCarefulKeys(k).find, nil, newEagerCut(http.HandlerFunc(served))))
	handler("hand-careful-eager-WithTimeout", 200, k, goodToken, handWritten(newCarefulKeys(k).find, nil, newEagerCut(http.HandlerFunc(servedWithTimeout))))
	handler("hand-careful", 200, k, goodToken, handWritten(newCarefulKeys(k).find, nil, http.HandlerFunc(served)))
	handler("hand-typical", 200, k, goodToken, handWritten(newTypicalKeys(k).find, nil, http.HandlerFunc(served)))

	decide("Decide-missing", guard, "Basic eDp5", need, apikey.MissingKey)
	decide("Decide-mistyped", guard, k.auth[mistypedToken], need, apikey.InvalidKey)
	decide("Decide-unknown", guard, k.auth[unknownToken], need, apikey.InvalidKey)
	decide("Decide-scope", guard, k.auth[goodToken], "things:write", apikey.InsufficientScope)
	decideStep(fullGuard, need, request(full.auth[goodToken]), false)(0)
	decide("Decide-limited", fullGuard, full.auth[goodToken], need, apikey.RateLimited)
	handler("Require-mistyped", 401, k, mistypedToken, guard.Require(middleware.AllOf(need))(answer))
	handler("Require-unknown", 401, k, unknownToken, guard.Require(middleware.AllOf(need))(answer))
	handler("Require-scope", 403, k, goodToken, guard.Require(middleware.AllOf("things:write"))(answer))
	handler("Require-limited", 429, full, goodToken, fullGuard.Require(middleware.AllOf(need))(answer))
	handler("hand-careful-unknown", 401, k, unknownToken, handWritten(newCarefulKeys(k).find, nil, http.HandlerFunc(served)))
	handler("hand-typical-unknown", 401, k, unknownToken, handWritten(newTypicalKeys(k).find, nil, http.HandlerFunc(served)))
	return all, closer, nil
}

// decideBegin is a call with a context, which a cut ends.
const decideBegin = "Decide-Begin"

// sorted is a map in the order of its keys.
func sorted[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if !yield(name, m[name]) {
				return
			}
		}
	}
}

// oneField are header fields with one line.
type oneField struct {
	name   string
	values []string
}

func (f oneField) Values(name string) []string {
	if name == f.name {
		return f.values
	}
	return nil
}
