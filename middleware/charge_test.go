package middleware_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/middleware"
)

var (
	oneAtATime = apikey.Limit{Name: "parallel", N: 1, Concurrent: true}
	tokensADay = apikey.Limit{Name: "tokens", N: 1000, Window: 24 * time.Hour, Unit: "tokens"}
	credit     = apikey.Limit{Name: "credit", N: 100, Period: apikey.Ever}
)

// notary is a limiter that needs I/O, as far as a Guard can tell, and notes what
// it is asked to settle.
type notary struct {
	window *limiter.Window
	mu     sync.Mutex
	notes  []limiter.Settlement
	late   bool // a Settle came without a deadline
	err    error
}

func newNotary(t testing.TB) *notary {
	t.Helper()
	w, err := limiter.New(limiter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &notary{window: w}
}

func (n *notary) Take(ctx context.Context, r limiter.Request) (limiter.Decision, error) {
	return n.window.Take(ctx, r)
}

func (n *notary) Peek(ctx context.Context, r limiter.Request) (limiter.Decision, error) {
	return n.window.Peek(ctx, r)
}

func (n *notary) Settle(ctx context.Context, r limiter.Request, d limiter.Decision, s limiter.Settlement) (limiter.Decision, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, bounded := ctx.Deadline()
	n.notes, n.late = append(n.notes, s), n.late || !bounded || ctx.Err() != nil
	if n.err != nil {
		return limiter.Decision{}, n.err
	}
	return n.window.Settle(ctx, r, d, s)
}

// settledTimes returns how often Settle was called, and forgets it.
func (n *notary) settledTimes() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	times := len(n.notes)
	n.notes = nil
	return times
}

// left returns what is left of a limit of a key.
func left(t testing.TB, l limiter.Limiter, id string, limit apikey.Limit) int64 {
	t.Helper()
	r := limiter.Request{Demands: []limiter.Demand{{Subject: id, Limits: []apikey.Limit{limit}}}}
	d, err := l.Peek(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return d.Windows[0].Remaining
}

// TestAPlaceIsFreedWhenTheRequestEnds: however it ends, once, and with a bound on
// the time that it may take.
func TestAPlaceIsFreedWhenTheRequestEnds(t *testing.T) {
	need := middleware.AnyKey()
	for name, end := range map[string]func(t *testing.T, k *kit, id, token string, inside func()){
		"it returns": func(_ *testing.T, k *kit, _, token string, inside func()) {
			serve(k.guard.Require(need)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside() })), get(token))
		},
		"it panics": func(_ *testing.T, k *kit, _, token string, inside func()) {
			h := k.guard.Require(need)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside(); panic("mine") }))
			serveSpied(h, httptest.NewRecorder(), get(token))
		},
		"it is cut": func(_ *testing.T, k *kit, id, token string, inside func()) {
			h := k.guard.Require(need)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				inside()
				k.revoke(id)
				<-r.Context().Done()
			}))
			serve(h, get(token))
		},
		"an inner door refuses it": func(t *testing.T, k *kit, _, token string, inside func()) {
			h := k.guard.Require(need)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				inside()
				k.guard.Require(middleware.AllOf("things:write"))(noContent).ServeHTTP(w, r)
			}))
			if res := serve(h, get(token)); res.StatusCode != 403 {
				t.Errorf("got %d", res.StatusCode)
			}
		},
		"its client has gone": func(_ *testing.T, k *kit, _, token string, inside func()) {
			r := get(token)
			ctx, cancel := context.WithCancel(r.Context())
			h := k.guard.Require(need)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside(); cancel() }))
			serve(h, r.WithContext(ctx))
		},
		"its hook panics": func(_ *testing.T, k *kit, id, token string, inside func()) {
			h := k.guard.Require(need)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside(); k.revoke(id) }))
			serveSpied(h, httptest.NewRecorder(), get(token))
		},
		"a Call ends": func(_ *testing.T, k *kit, _, token string, inside func()) {
			call := decide(k.guard, need, middleware.Request{Fields: get(token).Header, Host: "api.example.com"})
			inside()
			_ = call.End(200)
			_ = call.End(200)
		},
		"a hijacked connection is closed": func(t *testing.T, k *kit, _, token string, inside func()) {
			var conn net.Conn
			h := k.guard.Require(need)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				conn, _, _ = http.NewResponseController(w).Hijack()
			}))
			h.ServeHTTP(&taken{httptest.NewRecorder()}, get(token))
			inside()
			_ = conn.Close()
			_ = conn.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newNotary(t)
			o := middleware.Options{Limiter: l}
			if name == "its hook panics" {
				o.OnCut = func(context.Context, middleware.Outcome) { panic("mine") }
			}
			k := newKit(t, o)
			id, token := k.key(limits(oneAtATime, tenAMinute))
			ran := false
			end(t, k, id, token, func() {
				ran = true
				res := serve(k.guard.Require(need)(noContent), get(token))
				if text := body(t, res); res.StatusCode != 429 || res.Header.Get("Retry-After") != "" ||
					!strings.Contains(text, `"violated-policies":["parallel"]`) || !strings.Contains(text, "has ended") {
					t.Errorf("a second request at the same time: %d, Retry-After %q: %s", res.StatusCode, res.Header.Get("Retry-After"), text)
				}
				if n := l.settledTimes(); n != 0 {
					t.Errorf("settled %d times before the end", n)
				}
			})
			if n := left(t, l, id, oneAtATime); !ran || n != 1 || l.settledTimes() != 1 || l.late {
				t.Errorf("ran %v; %d places are free, and Settle was called without a deadline: %v", ran, n, l.late)
			}
		})
	}
}

// taken is a recorder whose connection can be taken over.
type taken struct{ *httptest.ResponseRecorder }

func (*taken) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, other := net.Pipe()
	_ = other.Close()
	return conn, bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn)), nil
}

// TestNothingToSettleIsNoCall: a limiter that needs a round trip is not asked for
// nothing.
func TestNothingToSettleIsNoCall(t *testing.T) {
	l := newNotary(t)
	k := newKit(t, middleware.Options{Limiter: l, OnDecision: func(context.Context, middleware.Outcome) {}})
	_, token := k.key(limits(tenAMinute, tokensADay))
	door := k.guard.Door(middleware.Route{Need: middleware.AnyKey(), Amounts: []limiter.Amount{{Unit: "tokens", N: 5}}, Free: func(status int) bool { return status == 500 }})
	h := door.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if err := middleware.SetCost(r.Context(), "tokens", 5); err != nil {
			t.Error(err)
		}
	}))
	if res := serve(h, get(token)); res.StatusCode != 200 || l.settledTimes() != 0 {
		t.Errorf("got %d, and what was already true was settled", res.StatusCode)
	}
}

// TestARequestCostsWhatItTurnsOutToCost, in all limits that have the unit.
func TestARequestCostsWhatItTurnsOutToCost(t *testing.T) {
	type said struct {
		unit string
		n    int64
	}
	for name, c := range map[string]struct {
		says    []said
		status  int
		tokens  int64 // charged
		credits int64
	}{
		"nothing is said":    {nil, 200, 100, 2},
		"less":               {[]said{{"tokens", 30}}, 200, 30, 2},
		"more":               {[]said{{"tokens", 130}, {"", 5}}, 200, 130, 5},
		"the last word":      {[]said{{"tokens", 1}, {"tokens", 40}, {"", 0}}, 200, 40, 0},
		"nothing":            {[]said{{"tokens", 0}}, 200, 0, 2},
		"a free status":      {[]said{{"tokens", 30}}, 502, 0, 0},
		"a panic":            {[]said{{"tokens", 30}}, 0, 0, 0},
		"an answer and then": {[]said{{"tokens", 30}}, -200, 30, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, call := range []bool{false, true} {
				k := newKit(t, middleware.Options{})
				id, token := k.key(limits(credit, tokensADay))
				door := k.guard.Door(middleware.Route{
					Need: middleware.AnyKey(), Cost: 2, Amounts: []limiter.Amount{{Unit: "tokens", N: 100}}, Free: func(status int) bool { return status >= 500 },
				})
				say := func(ctx context.Context) {
					for _, s := range c.says {
						if err := middleware.SetCost(ctx, s.unit, s.n); err != nil {
							t.Error(err)
						}
					}
				}
				if call {
					if c.status <= 0 {
						continue
					}
					var call middleware.Call
					door.Decide(t.Context(), &call, middleware.Request{Fields: get(token).Header, Host: "api.example.com"})
					say(call.Begin(nil))
					_ = call.End(c.status)
				} else {
					serveSpied(door.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if say(r.Context()); c.status != 0 {
							w.WriteHeader(max(c.status, -c.status))
						}
						if c.status <= 0 {
							panic("mine")
						}
					})), httptest.NewRecorder(), get(token))
				}
				tokens, credits := tokensADay.N-left(t, middleware.LimiterOf(k.guard), id, tokensADay), credit.N-left(t, middleware.LimiterOf(k.guard), id, credit)
				if tokens != c.tokens || credits != c.credits {
					t.Errorf("Call %v: charged %d tokens and %d credits, want %d and %d", call, tokens, credits, c.tokens, c.credits)
				}
			}
		})
	}
}

// TestAWrongCostIsAnError that names the argument, and nothing is charged.
func TestAWrongCostIsAnError(t *testing.T) {
	k := newKit(t, middleware.Options{})
	id, token := k.key(limits(tokensADay))
	door := k.guard.Door(middleware.Route{Need: middleware.AnyKey(), Amounts: []limiter.Amount{{Unit: "tokens", N: 10}}})
	fails := func(ctx context.Context, unit string, n int64, want string) {
		t.Helper()
		if err := middleware.SetCost(ctx, unit, n); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q, %d: error %v, want one about %s", unit, n, err, want)
		}
	}
	var later context.Context
	serve(door.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		later = r.Context()
		fails(later, "tokens", -1, "n is negative")
		fails(later, "images", 1, "unit")
	})), get(token))
	fails(later, "tokens", 1, "ctx: the request has ended")
	fails(t.Context(), "tokens", 1, "ctx")
	if n := left(t, middleware.LimiterOf(k.guard), id, tokensADay); n != 990 {
		t.Errorf("%d tokens are left", n)
	}
}

// TestAnAmountThatDoesNotFitIsRefused, and a route that names none is not
// concerned.
func TestAnAmountThatDoesNotFitIsRefused(t *testing.T) {
	k := newKit(t, middleware.Options{})
	_, token := k.key(limits(tokensADay))
	ask := func(n int64) *http.Response {
		r := middleware.Route{Need: middleware.AnyKey()}
		if n > 0 {
			r.Amounts = []limiter.Amount{{Unit: "tokens", N: n}}
		}
		return serve(k.guard.Door(r).Wrap(noContent), get(token))
	}
	for _, c := range []struct {
		n      int64
		status int
		detail string
	}{
		{900, 204, ""},
		{101, 429, "The limit of 1000 tokens per day is reached."},
		{1001, 429, "This request costs more than the limit of 1000 tokens per day allows. Waiting does not help: use a plan with a higher limit."},
		{0, 204, ""},
		{100, 204, ""},
	} {
		res := ask(c.n)
		if text := body(t, res); res.StatusCode != c.status || !strings.Contains(text, c.detail) {
			t.Errorf("%d tokens: %d: %s", c.n, res.StatusCode, text)
		}
	}
}

// TestInnerDoorsChargeWhatTheyAskBeyond: amounts and limits of their own, by the
// difference, and if one refuses, all of it comes back.
func TestInnerDoorsChargeWhatTheyAskBeyond(t *testing.T) {
	reports := apikey.Limit{Name: "reports", N: 1, Period: apikey.Ever}
	two := apikey.Limit{Name: "slow", N: 2, Concurrent: true}
	for name, c := range map[string]struct {
		innermost middleware.Route
		status    int
		tokens    int64
	}{
		"admitted":               {middleware.Route{Need: middleware.AnyKey()}, 204, 70},
		"refused for its scopes": {middleware.Route{Need: middleware.AllOf("things:write")}, 403, 0},
		"refused for its amount": {middleware.Route{Need: middleware.AnyKey(), Amounts: []limiter.Amount{{Unit: "tokens", N: 1001}}}, 429, 0},
		"refused for its limit":  {middleware.Route{Need: middleware.AnyKey(), Cost: 3, Limits: []apikey.Limit{reports}}, 429, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNotary(t)
			k := newKit(t, middleware.Options{Limiter: n, OwnerLimits: []apikey.Limit{apikey.PerDay(100)}})
			id, token := k.key(limits(oneAtATime, tokensADay))
			outer := k.guard.Door(middleware.Route{Need: middleware.AnyKey(), Amounts: []limiter.Amount{{Unit: "tokens", N: 50}}})
			inner := k.guard.Door(middleware.Route{Need: middleware.AnyKey(), Cost: 2, Amounts: []limiter.Amount{{Unit: "tokens", N: 70}}, Limits: []apikey.Limit{two}})
			res := serve(outer.Wrap(inner.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if tokens, slots := left(t, n, id, tokensADay), left(t, n, id, two); tokens != 930 || slots != 1 {
					t.Errorf("inside, %d tokens and %d slots are left", tokens, slots)
				}
				k.guard.Door(c.innermost).Wrap(noContent).ServeHTTP(w, r)
			}))), get(token))
			if res.StatusCode != c.status {
				t.Errorf("got %d: %s", res.StatusCode, body(t, res))
			}
			if wait := res.Header.Get("Retry-After"); wait != "" {
				t.Errorf("Retry-After %q, but waiting does not help", wait)
			}
			for l, want := range map[apikey.Limit]int64{tokensADay: 1000 - c.tokens, oneAtATime: 1, two: 2, reports: 1} {
				if got := left(t, n, id, l); got != want {
					t.Errorf("%d are left of %q, want %d", got, l.Name, want)
				}
			}
			owner := int64(100)
			if c.status == 204 {
				owner -= 2
			}
			if got := left(t, n, "owner:acme", apikey.PerDay(100)); got != owner {
				t.Errorf("%d are left of the owner's, want %d", got, owner)
			}
		})
	}
}

// TestAnInnerPlaceIsFreed, though the outermost door has none.
func TestAnInnerPlaceIsFreed(t *testing.T) {
	n := newNotary(t)
	k := newKit(t, middleware.Options{Limiter: n}, unlimited)
	id, token := k.key()
	inner := k.guard.Door(middleware.Route{Need: middleware.AnyKey(), Limits: []apikey.Limit{oneAtATime}})
	h := k.guard.Require(middleware.AnyKey())(inner.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if free := left(t, n, id, oneAtATime); free != 0 {
			t.Errorf("inside, %d places are free", free)
		}
	})))
	for range 2 {
		if res := serve(h, get(token)); res.StatusCode != 200 {
			t.Errorf("got %d", res.StatusCode)
		}
	}
}

// TestWhatIsSettledIsSharedOut: over all charges of nested doors, and once.
func TestWhatIsSettledIsSharedOut(t *testing.T) {
	for spent, want := range map[int64]int64{0: 0, 20: 20, 50: 50, 60: 60, 70: 70, 200: 200} {
		n := newNotary(t)
		k := newKit(t, middleware.Options{Limiter: n})
		id, token := k.key(limits(tokensADay))
		door := func(tokens int64) func(http.Handler) http.Handler {
			return k.guard.Door(middleware.Route{Need: middleware.AnyKey(), Amounts: []limiter.Amount{{Unit: "tokens", N: tokens}}}).Wrap
		}
		serve(door(50)(door(70)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if err := middleware.SetCost(r.Context(), "tokens", spent); err != nil {
				t.Error(err)
			}
		}))), get(token))
		if got := 1000 - left(t, n, id, tokensADay); got != want {
			t.Errorf("a request that spent %d is charged %d", spent, got)
		}
	}
}

// TestALimiterThatFailsToSettle keeps the request from nothing.
func TestALimiterThatFailsToSettle(t *testing.T) {
	n := newNotary(t)
	n.err = errors.New("down")
	k := newKit(t, middleware.Options{Limiter: n})
	_, token := k.key(limits(oneAtATime))
	if res := serve(k.guard.Require(middleware.AnyKey())(noContent), get(token)); res.StatusCode != 204 || n.settledTimes() != 1 {
		t.Errorf("got %d", res.StatusCode)
	}
}
