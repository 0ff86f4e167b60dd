package middleware_test

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage/memstore"
)

// recorder is a Limiter that counts what it is asked and does as it is told.
type recorder struct {
	taken int
	last  limiter.Request
	take  func(limiter.Request) (limiter.Decision, error)
}

func (l *recorder) Take(_ context.Context, r limiter.Request) (limiter.Decision, error) {
	l.taken++
	r.Demands = slices.Clone(r.Demands) // their memory is not the recorder's
	l.last = r
	if l.take != nil {
		return l.take(r)
	}
	return limiter.Decision{Allowed: true}, nil
}

func (l *recorder) Peek(ctx context.Context, r limiter.Request) (limiter.Decision, error) {
	return limiter.Decision{}, errors.ErrUnsupported
}

// TestCheckChargesLast: no request that a free check refuses reaches the
// limiter, and it is not left among the requests in flight.
func TestCheckChargesLast(t *testing.T) {
	l := new(recorder)
	k := newKit(t, middleware.Options{Limiter: l})
	_, good := k.key()
	_, test := k.key(func(n *latchkey.NewKey) { n.Environment = "test" })
	_, bound := k.key(func(n *latchkey.NewKey) { n.Networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
	revoked, revokedToken := k.key()
	k.revoke(revoked)
	for _, c := range []struct {
		token string
		need  apikey.Requirement
		want  apikey.Code
	}{
		{"", apikey.AnyKey(), apikey.MissingKey},
		{"a b", apikey.AnyKey(), apikey.MalformedRequest},
		{good + "x", apikey.AnyKey(), apikey.InvalidKey},
		{revokedToken, apikey.AnyKey(), apikey.RevokedKey},
		{test, apikey.AnyKey(), apikey.EnvironmentMismatch},
		{bound, apikey.AnyKey(), apikey.NetworkNotAllowed},
		{good, middleware.AllOf("things:write"), apikey.InsufficientScope},
	} {
		r := get(c.token)
		o := decide(k.guard, c.need, middleware.Request{Fields: r.Header, Host: r.Host, Peer: r.RemoteAddr})
		if o.Code() != c.want || o.Allowed() || o.Principal() != nil {
			t.Errorf("got %v, want %v", o.Code(), c.want)
		}
		if l.taken != 0 {
			t.Fatalf("%v: a refused request was charged", c.want)
		}
	}
}

// TestCheckLeavesAfterRefusal: a request that the limiter refuses, or fails
// on, or panics on, is not in flight afterwards.
func TestCheckLeavesAfterRefusal(t *testing.T) {
	for name, take := range map[string]func(limiter.Request) (limiter.Decision, error){
		"refused": func(limiter.Request) (limiter.Decision, error) { return limiter.Decision{}, nil },
		"failed":  func(limiter.Request) (limiter.Decision, error) { return limiter.Decision{}, errors.New("down") },
		"panic":   func(limiter.Request) (limiter.Decision, error) { panic("limiter") },
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t, middleware.Options{Limiter: &recorder{take: take}})
			id, token := k.key()
			r := get(token)
			func() {
				defer func() { _ = recover() }()
				decide(k.guard, middleware.AnyKey(), middleware.Request{Fields: r.Header, Host: r.Host})
			}()
			if n := engine.Of(k.guard.Keys()).InFlight(id, 1); n != 0 {
				t.Error("a request that was not admitted is still in flight")
			}
		})
	}
}

// meddler calls f once, when the guard asks for a field: between the
// verification of the key and the registration of the request.
type meddler struct {
	http.Header
	field string
	f     func()
}

func (m *meddler) Values(name string) []string {
	if name == m.field && m.f != nil {
		f := m.f
		m.f = nil
		f()
	}
	return m.Header.Values(name)
}

// TestCheckSeesAChangeBeforeEnter: a key that is revoked after it was verified
// and before the request is registered admits nothing.
func TestCheckSeesAChangeBeforeEnter(t *testing.T) {
	all := netip.MustParsePrefix("0.0.0.0/0")
	l := new(recorder)
	k := newKit(t, middleware.Options{Limiter: l, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	id, token := k.key(func(n *latchkey.NewKey) { n.Networks = []netip.Prefix{all} })
	r := get(token)
	m := &meddler{r.Header, "X-Forwarded-For", func() { k.revoke(id) }}
	o := decide(k.guard, middleware.AnyKey(), middleware.Request{Fields: m, Host: r.Host, Peer: "192.0.2.7:1"})
	if m.f != nil {
		t.Fatal("the test did not get between")
	}
	if o.Code() != apikey.RevokedKey || l.taken != 0 {
		t.Errorf("got %v, %d charges; want revoked_key and none", o.Code(), l.taken)
	}
}

// TestCheckSeesAnEndBeforeEnter: the same for a key whose end comes in between.
// Its timer does not see the end any more.
func TestCheckSeesAnEndBeforeEnter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(recorder)
		k := newKit(t, middleware.Options{Limiter: l, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
		_, token := k.key(func(n *latchkey.NewKey) {
			n.Networks = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
			n.ExpiresAt = time.Now().Add(time.Minute)
		})
		r := get(token)
		m := &meddler{r.Header, "X-Forwarded-For", func() { time.Sleep(2 * time.Minute) }}
		o := decide(k.guard, middleware.AnyKey(), middleware.Request{Fields: m, Host: r.Host, Peer: "192.0.2.7:1"})
		if o.Code() != apikey.ExpiredKey || l.taken != 0 {
			t.Errorf("got %v, %d charges; want expired_key and none", o.Code(), l.taken)
		}
	})
}

// TestCheckRegistersBeforeItCharges: from the moment that a request is charged
// a revocation cuts it.
func TestCheckRegistersBeforeItCharges(t *testing.T) {
	l := new(recorder)
	k := newKit(t, middleware.Options{Limiter: l})
	id, token := k.key()
	l.take = func(limiter.Request) (limiter.Decision, error) {
		k.revoke(id)
		return limiter.Decision{Allowed: true}, nil
	}
	r := get(token)
	call := decide(k.guard, middleware.AnyKey(), middleware.Request{Fields: r.Header, Host: r.Host})
	if !errors.Is(call.End(http.StatusOK), apikey.RevokedKey) {
		t.Error("a request was charged before it was in flight: the revocation missed it")
	}
}

func TestLimiterFailure(t *testing.T) {
	fail := func(limiter.Request) (limiter.Decision, error) {
		return limiter.Decision{N: 2}, errors.New("secret-dsn")
	}
	for open, want := range map[bool]int{false: 503, true: 204} {
		k := newKit(t, middleware.Options{Limiter: &recorder{take: fail}, FailOpen: open})
		_, token := k.key()
		res := serve(k.guard.Require(middleware.AnyKey())(noContent), get(token))
		if res.StatusCode != want {
			t.Errorf("open %t: got %d, want %d", open, res.StatusCode, want)
		}
		if got := body(t, res); strings.Contains(got, "secret-dsn") {
			t.Errorf("the limiter's error reached the client: %s", got)
		}
		if res.Header.Get("RateLimit") != "" {
			t.Error("without a decision there is nothing to tell about limits")
		}
	}
}

// A limiter that answers to more than it was asked is a limiter that failed: its
// statuses have no names.
func TestALimiterThatDecidesTooMuchHasFailed(t *testing.T) {
	for _, n := range []int{-1, 3, limiter.MaxWindows + 1} { // a free key has two windows
		l := &recorder{take: func(limiter.Request) (limiter.Decision, error) { return limiter.Decision{Allowed: true, N: n}, nil }}
		k := newKit(t, middleware.Options{Limiter: l})
		_, token := k.key()
		if got := serve(k.guard.Require(middleware.AnyKey())(noContent), get(token)).StatusCode; got != http.StatusServiceUnavailable {
			t.Errorf("%d statuses: got %d, want 503", n, got)
		}
	}
}

var noContent = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })

// TestOwnerLimitsInOneStep: key and owner are decided together.
func TestOwnerLimitsInOneStep(t *testing.T) {
	l := new(recorder)
	owner := []apikey.Limit{apikey.PerMinute(7)}
	k := newKit(t, middleware.Options{Limiter: l, OwnerLimits: owner})
	id, token := k.key()
	for range 2 {
		serve(k.guard.Require(middleware.AnyKey())(noContent), get(token))
	}
	if l.taken != 2 || len(l.last.Demands) != 2 || l.last.Demands[0].Subject != id || l.last.Demands[1].Subject != "owner:acme" || l.last.Demands[1].Limits[0] != owner[0] {
		t.Errorf("the limiter was asked %d times, last %+v", l.taken, l.last)
	}
}

// TestLongOwnersAreLimited: each by itself, however much their names have in
// common.
func TestLongOwnersAreLimited(t *testing.T) {
	for _, open := range []bool{false, true} {
		k := newKit(t, middleware.Options{OwnerLimits: []apikey.Limit{apikey.PerDay(1)}, FailOpen: open})
		h := k.guard.Require(middleware.AnyKey())(noContent)
		for _, owner := range []string{
			strings.Repeat("é", 253), strings.Repeat("é", 252) + "ee", strings.Repeat("é", 252) + "eee",
			strings.Repeat("価", 256), strings.Repeat("価", 255) + "值",
		} {
			_, token := k.key(func(n *latchkey.NewKey) { n.Owner = owner })
			for _, want := range []int{204, 429} {
				if got := serve(h, get(token)).StatusCode; got != want {
					t.Errorf("an owner of %d bytes is answered %d, want %d", len(owner), got, want)
				}
			}
		}
	}
}

// TestUsageIsCounted: every decision about a known key is in its usage.
func TestUsageIsCounted(t *testing.T) {
	k := newKit(t, middleware.Options{})
	id, token := k.key(limits(apikey.PerMinute(1)))
	read, write := k.guard.Require(middleware.AllOf("things:read"))(noContent), k.guard.Require(middleware.AllOf("things:write"))(noContent)
	r := get(token)
	r.Header.Set("User-Agent", "curl/8")
	serve(read, r)
	serve(read, get(token))
	serve(write, get(token))
	k.revoke(id)
	serve(read, get(token))
	u, err := k.keys.Usage(t.Context(), id, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	got := u.Of(1)
	if want := (apikey.Counts{Allowed: 1, RateLimited: 1, Scope: 1, Revoked: 1}); got.Counts != want {
		t.Errorf("counted %+v, want %+v", got.Counts, want)
	}
	if got.Last.UserAgent != "curl/8" || got.Last.Network != "192.0.2.0/24" {
		t.Errorf("last use: %+v", got.Last)
	}
}

// journaled is a store that can keep the limiter's counts.
type journaled struct {
	*memstore.Store
	state map[string][]byte
}

func (j *journaled) LoadWindows(_ context.Context, s string) ([]byte, error) { return j.state[s], nil }

func (j *journaled) SaveWindows(_ context.Context, s string, b []byte, _ time.Duration) error {
	j.state[s] = append([]byte(nil), b...)
	return nil
}
func (j *journaled) DeleteWindows(context.Context, []string) error { return nil }

// TestCountsSurviveARestart: on a store that is a Journal, without any option.
func TestCountsSurviveARestart(t *testing.T) {
	store := &journaled{memstore.New(), map[string][]byte{}}
	first := newKitOn(t, store, middleware.Options{})
	_, token := first.key(limits(apikey.PerDay(2)))
	for range 2 {
		if res := serve(first.guard.Require(middleware.AnyKey())(noContent), get(token)); res.StatusCode != 204 {
			t.Fatal(res.Status)
		}
	}
	if err := first.guard.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := newKitOn(t, store, middleware.Options{})
	if res := serve(second.guard.Require(middleware.AnyKey())(noContent), get(token)); res.StatusCode != 429 {
		t.Errorf("after a restart the day's count is forgotten: %s", res.Status)
	}
}
