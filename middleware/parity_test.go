package middleware_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// carried is a transport whose requests and answers are those of net/http, but
// which serves them through Calls.
func carried(d *middleware.Door, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var call middleware.Call
		d.Decide(r.Context(), &call, middleware.Request{
			Fields: r.Header, RawQuery: r.URL.RawQuery, Host: r.Host, Peer: r.RemoteAddr, Method: r.Method, Pattern: r.Pattern,
		})
		if !call.Allowed() {
			call.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		for name, value := range call.ResponseFields() {
			if name == "Vary" {
				rec.Header().Add(name, value)
			} else {
				rec.Header().Set(name, value)
			}
		}
		h.ServeHTTP(rec, call.StripCredential(r.WithContext(call.Begin(nil))))
		if call.End(rec.Code) != nil {
			call.ServeHTTP(w, r)
			return
		}
		for name, values := range rec.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	})
}

// parity is a door of one of the two kinds, on a service of its own.
type parity struct {
	*kit
	guard   func(middleware.Route) func(http.Handler) http.Handler
	ids     map[string]string
	tokens  map[string]string
	decided []string
}

func newParity(t *testing.T, call bool, o middleware.Options) *parity {
	p := &parity{ids: map[string]string{}, tokens: map[string]string{"none": "", "bad": "nonsense"}}
	o.RequestID = func(context.Context, middleware.Fields) string { return "fixed" }
	o.OnDecision = func(_ context.Context, o middleware.Outcome) {
		who := ""
		if p := o.Presented(); p != nil {
			who = p.Name()
		}
		p.decided = append(p.decided, "decided "+o.Code().String()+" "+who+" "+o.Client().String())
	}
	o.OnCut = func(_ context.Context, o middleware.Outcome) {
		p.decided = append(p.decided, "cut "+o.Code().String()+" "+o.Cause().Error()+" "+o.Client().String())
	}
	p.kit = newKit(t, o)
	p.guard = func(r middleware.Route) func(http.Handler) http.Handler {
		d := p.kit.guard.Door(r)
		if call {
			return func(h http.Handler) http.Handler { return carried(d, h) }
		}
		return d.Wrap
	}
	for name, change := range map[string]func(*latchkey.NewKey){
		"good":    func(*latchkey.NewKey) {},
		"limited": limits(apikey.PerMinute(2)),
		"test":    func(n *latchkey.NewKey) { n.Environment = "test" },
		"bound":   func(n *latchkey.NewKey) { n.Networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} },
	} {
		p.ids[name], p.tokens[name] = p.key(change, func(n *latchkey.NewKey) { n.Name = name })
	}
	return p
}

// answer is everything that can be seen of a request.
type parityAnswer struct {
	Status  int
	Header  http.Header
	Body    string
	Decided []string
	Counts  map[string]apikey.Counts
}

func (p *parity) ask(h http.Handler, r *http.Request) parityAnswer {
	p.t.Helper()
	p.decided = nil
	res := serve(h, r)
	a := parityAnswer{Status: res.StatusCode, Header: res.Header, Body: body(p.t, res), Decided: p.decided, Counts: map[string]apikey.Counts{}}
	for _, name := range []string{"RateLimit", "X-Ratelimit-Reset", "Connection"} { // of two instants, and of HTTP/1
		a.Header.Del(name)
	}
	for name, id := range p.ids {
		u, err := p.keys.Usage(p.t.Context(), id, time.Now().Add(-time.Hour))
		if err != nil {
			p.t.Fatal(err)
		}
		a.Counts[name] = u.Of(1).Counts
	}
	return a
}

// TestACallAndADoorDoTheSame: every field, status and body, what is counted and
// what hooks see, for the same requests through both.
func TestACallAndADoorDoTheSame(t *testing.T) {
	header := middleware.Options{Extractors: []middleware.Extractor{middleware.Bearer(), middleware.Header("X-Api-Key")}, PreflightCORS: true, LegacyHeaders: true}
	read := middleware.Route{Need: middleware.AllOf("things:read")}
	write := middleware.Route{Need: middleware.AllOf("things:write")}
	optional := middleware.Route{Need: middleware.AnyKey(), Optional: true}
	answers := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := "nobody"
		if p, ok := middleware.PrincipalFrom(r.Context()); ok {
			who = p.Name()
		}
		_, _ = io.WriteString(w, who)
	})
	preflight := func(r *http.Request) {
		r.Method = http.MethodOptions
		r.Header.Set("Origin", "https://a.example")
		r.Header.Set("Access-Control-Request-Method", "GET")
	}
	inField := func(r *http.Request) {
		r.Header.Set("X-Api-Key", strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		r.Header.Del("Authorization")
	}
	for _, x := range []struct {
		name   string
		routes []middleware.Route // from outside to inside
		token  string
		change func(*http.Request)
	}{
		{"admitted", []middleware.Route{read}, "good", nil},
		{"no key", []middleware.Route{read}, "none", nil},
		{"a bad key", []middleware.Route{read}, "bad", nil},
		{"two keys", []middleware.Route{read}, "good", func(r *http.Request) { r.Header.Add("Authorization", "Bearer x") }},
		{"another environment", []middleware.Route{read}, "test", nil},
		{"another network", []middleware.Route{read}, "bound", nil},
		{"no scope", []middleware.Route{write}, "good", nil},
		{"too costly", []middleware.Route{{Need: middleware.AnyKey(), Cost: 3}}, "limited", nil},
		{"costly", []middleware.Route{{Need: middleware.AnyKey(), Cost: 2}}, "limited", nil},
		{"optional, with a key", []middleware.Route{optional}, "good", nil},
		{"optional, without", []middleware.Route{optional}, "none", nil},
		{"optional, with a bad one", []middleware.Route{optional}, "bad", nil},
		{"a key in a field of its own", []middleware.Route{read}, "good", inField},
		{"refused in a field of its own", []middleware.Route{write}, "good", inField},
		{"a preflight", []middleware.Route{read}, "none", preflight},
		{"a preflight of an optional route", []middleware.Route{optional}, "none", preflight},
		{"nested", []middleware.Route{read, read, {Need: middleware.AnyKey()}}, "good", nil},
		{"nested in an optional one, without a key", []middleware.Route{optional, read}, "none", nil},
		{"nested in an optional one", []middleware.Route{optional, read}, "good", nil},
		{"optional ones nested", []middleware.Route{optional, optional}, "none", nil},
		{"nested, and charged once", []middleware.Route{{Need: middleware.AnyKey(), Cost: 2}, read}, "limited", nil},
	} {
		var both [2]parityAnswer
		for i, call := range []bool{false, true} {
			p := newParity(t, call, header)
			h := http.Handler(answers)
			for _, r := range slices.Backward(x.routes) {
				h = p.guard(r)(h)
			}
			r := get(p.tokens[x.token])
			if x.change != nil {
				x.change(r)
			}
			both[i] = p.ask(h, r)
		}
		if diff := cmp.Diff(both[0], both[1]); diff != "" {
			t.Errorf("%s: a Call differs from a Door (-door +call):\n%s", x.name, diff)
		}
	}
}

// TestACutOfACallAndADoorIsTheSame: the client gets the refusal, and OnCut sees
// it once.
func TestACutOfACallAndADoorIsTheSame(t *testing.T) {
	var both [2]parityAnswer
	for i, call := range []bool{false, true} {
		p := newParity(t, call, middleware.Options{})
		h := p.guard(middleware.Route{Need: middleware.AnyKey()})(p.guard(middleware.Route{Need: middleware.AnyKey()})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p.revoke(p.ids["good"])
			if cause := context.Cause(r.Context()); r.Context().Err() == nil || !errors.Is(cause, apikey.RevokedKey) {
				t.Errorf("the context ends with the key: %v", cause)
			}
			_, _ = io.WriteString(w, "too late")
		})))
		both[i] = p.ask(h, get(p.tokens["good"]))
	}
	if diff := cmp.Diff(both[0], both[1]); diff != "" {
		t.Errorf("a Call differs from a Door (-door +call):\n%s", diff)
	}
	want := []string{"decided ok good 192.0.2.1", "cut revoked_key " + apikey.RevokedKey.Error() + " 192.0.2.1"}
	if got := both[0].Decided; !slices.Equal(got, want) || both[0].Status != 401 {
		t.Errorf("%d, %q; want 401, %q", both[0].Status, got, want)
	}
}
