package middleware_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage/memstore"
)

var (
	hosts    = []string{"api.example.com", "sandbox.example.com", "API.example.com:443", "evil.example", "", "", "", "", "", ""}
	scopes   = []string{"things:read", "things:write", "things:*", "*", "orders:read"}
	required = []string{"things:read", "things:write", "orders:read", "orders:delete"}
	clients  = []string{"10.0.0.4", "192.0.2.7", "2001:db8::1", "::ffff:10.0.0.9"}
	networks = []string{"10.0.0.0/8", "2001:db8::/32", "0.0.0.0/0"}
)

// drawKey makes a key in some state, and returns all of its tokens.
func drawKey(t *rapid.T, k *kit) (id string, tokens []string) {
	some := func(of []string, label string) []string {
		return rapid.SliceOfNDistinct(rapid.SampledFrom(of), 0, 2, rapid.ID[string]).Draw(t, label)
	}
	n := latchkey.NewKey{Name: "x", Owner: rapid.SampledFrom([]string{"acme", "evil"}).Draw(t, "owner"), Scopes: some(scopes, "scopes")}
	n.Environment = rapid.SampledFrom([]string{"live", "test"}).Draw(t, "environment")
	for _, p := range some(networks, "networks") {
		n.Networks = append(n.Networks, netip.MustParsePrefix(p))
	}
	if rapid.Bool().Draw(t, "own limits") {
		n.Limits = []apikey.Limit{apikey.PerMinute(rapid.Int64Range(1, 3).Draw(t, "limit"))}
	}
	if rapid.Bool().Draw(t, "expires") {
		n.ExpiresAt = time.Now().Add(time.Minute)
	}
	key, token, err := k.keys.Create(k.t.Context(), ops, n)
	if err != nil {
		t.Fatal(err)
	}
	tokens = []string{token.Reveal()}
	if rapid.Bool().Draw(t, "rotated") {
		_, newer, err := k.keys.Rotate(k.t.Context(), ops, key.ID, latchkey.RotateOptions{
			Grace: rapid.SampledFrom([]time.Duration{time.Second, time.Hour}).Draw(t, "grace"), StartOnFirstUse: rapid.Bool().Draw(t, "first use"),
		})
		if err != nil {
			t.Fatal(err)
		}
		tokens = []string{newer.Reveal(), tokens[0]}
	}
	switch rapid.SampledFrom([]string{"active", "active", "active", "disabled", "revoked"}).Draw(t, "state") {
	case "disabled":
		_, err = k.keys.Disable(k.t.Context(), ops, key.ID, "")
	case "revoked":
		_, err = k.keys.Revoke(k.t.Context(), ops, key.ID, "")
	}
	if err != nil {
		t.Fatal(err)
	}
	return key.ID, tokens
}

// TestExplainIsWhatTheGuardDoes: for any key and any request, the answer to the
// question is the answer that the request gets from the real middleware, by id
// as well as by token; and nothing shows that the question was asked.
func TestExplainIsWhatTheGuardDoes(t *testing.T) {
	verdicts := map[apikey.Code]int{}
	synctest.Test(t, func(t *testing.T) {
		plain := newKit(t, middleware.Options{})
		owners := newKit(t, middleware.Options{OwnerLimits: []apikey.Limit{apikey.PerMinute(2)}})
		stranger := newKit(t, middleware.Options{})
		rapid.Check(struct{ testing.TB }{t}, func(t *rapid.T) { // a bubble has no Deadline to look at
			k := rapid.SampledFrom([]*kit{plain, plain, owners}).Draw(t, "kit")
			id, tokens := drawKey(t, k)
			_, unknown := stranger.key()
			for range rapid.IntRange(3, 12).Draw(t, "requests") {
				time.Sleep(rapid.SampledFrom([]time.Duration{0, 0, 0, 0, time.Second, time.Minute}).Draw(t, "later"))
				q := latchkey.Question{
					Host:   rapid.SampledFrom(hosts).Draw(t, "host"),
					Client: netip.MustParseAddr(rapid.SampledFrom(clients).Draw(t, "client")),
				}
				switch need := rapid.SliceOfNDistinct(rapid.SampledFrom(required), 0, rapid.IntRange(0, 2).Draw(t, "most"), rapid.ID[string]).Draw(t, "need"); {
				case len(need) == 0:
					q.Need = apikey.AnyKey()
				case rapid.Bool().Draw(t, "any"):
					q.Need = middleware.AnyOf(need...)
				default:
					q.Need = middleware.AllOf(need...)
				}
				if q.Host == "" { // a host of the key's own
					q.Host = hosts[0]
					if strings.HasPrefix(tokens[0], "sk_test_") {
						q.Host = hosts[1]
					}
				}
				which := rapid.IntRange(0, len(tokens)-1).Draw(t, "secret")
				token := tokens[which]
				known := false
				switch rapid.SampledFrom([]string{"good", "good", "good", "good", "good", "good", "unknown", "wrong", "mistyped", "junk"}).Draw(t, "token") {
				case "good":
					known = true
				case "unknown":
					token = unknown
				case "wrong":
					token = token[:24] + unknown[24:]
				case "mistyped":
					token = token[:30] + "x" + token[31:]
				case "junk":
					token = rapid.SampledFrom([]string{"x", "a b", "a,b", "=", " " + token, token + " ", token + ",", token + "=", "ä"}).Draw(t, "junk")
				}

				before := traces(t, k, id)
				byToken := q
				byToken.Token = token
				questions := []latchkey.Question{byToken, byToken}
				if known {
					byID := q
					byID.KeyID, byID.Secret = id, uint32(len(tokens)-which)
					questions = append(questions, byID)
				}
				var answers []middleware.Outcome
				for _, q := range questions {
					e, o, err := k.guard.Explain(k.t.Context(), q)
					if err != nil {
						t.Fatal(err)
					}
					if e.Code() != o.Code() {
						t.Fatalf("the first check that fails is the verdict: %v, %v", e.Checks, o.Code())
					}
					for i, c := range e.Checks {
						if int(c.Step) != i {
							t.Fatalf("the checks come in the order of the decision: %v", e.Checks)
						}
					}
					answers = append(answers, o)
				}
				if d := cmp.Diff(before, traces(t, k, id)); d != "" {
					t.Fatalf("a question leaves a trace (-before +after):\n%s", d)
				}

				r := get("")
				r.Host, r.RemoteAddr = q.Host, netip.AddrPortFrom(q.Client, 4711).String()
				r.Header["Authorization"] = []string{"Bearer " + token}
				res := serve(handlerFunc(k.guard, q.Need, func(w http.ResponseWriter, _ *http.Request, _ *apikey.Principal) {}), r)
				got := "ok"
				var problem struct{ Code, Detail string }
				if res.StatusCode != 200 {
					if err := json.Unmarshal([]byte(body(k.t, res)), &problem); err != nil {
						t.Fatal(err)
					}
					got = problem.Code
				}
				for i, o := range answers {
					if o.Code().String() != got || o.Status() != res.StatusCode {
						t.Fatalf("question %d: explained %v %d, the guard answers %s %d", i, o.Code(), o.Status(), got, res.StatusCode)
					}
					if got != "ok" && (o.Detail() != problem.Detail || o.Challenge() != res.Header.Get("WWW-Authenticate")) {
						t.Fatalf("question %d: explained %q, the guard says %q", i, o.Detail(), problem.Detail)
					}
					if retry := o.RetryAfter(); retry > 0 && fmt.Sprint(retry) != res.Header.Get("Retry-After") {
						t.Fatalf("question %d: Retry-After %d, the guard says %s", i, retry, res.Header.Get("Retry-After"))
					}
				}
				verdicts[answers[0].Code()]++
			}
		})
	})
	for _, code := range []apikey.Code{
		apikey.OK, apikey.InvalidKey, apikey.MalformedRequest, apikey.ExpiredKey, apikey.DisabledKey, apikey.RevokedKey,
		apikey.EnvironmentMismatch, apikey.NetworkNotAllowed, apikey.InsufficientScope, apikey.RateLimited,
	} {
		if verdicts[code] == 0 {
			t.Errorf("no request of this test ended with %v: it proves nothing about that", code)
		}
	}
}

// traces is all that a request with a key leaves behind.
func traces(t *rapid.T, k *kit, id string) any {
	synctest.Wait() // what is written down after a request
	key, err := k.keys.Get(k.t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	usage, err := k.keys.Usage(k.t.Context(), id, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	_, o, err := k.guard.Explain(k.t.Context(), latchkey.Question{KeyID: id, Need: apikey.AnyKey()})
	if err != nil {
		t.Fatal(err)
	}
	left := map[apikey.Limit]limiter.Status{}
	for l, status := range o.Limits() {
		left[l] = status
	}
	return []any{key.Revision, key.Secrets, usage, left}
}

// TestExplainSaysEverything: checks after the first that fails are made, too,
// so that all can be mended at once.
func TestExplainSaysEverything(t *testing.T) {
	k := newKit(t, middleware.Options{})
	id, token := k.key(limits(apikey.PerMinute(1)), func(n *latchkey.NewKey) { n.Networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
	r := get(token)
	r.RemoteAddr = "10.0.0.1:1"
	if res := serve(k.guard.Require(middleware.AnyKey())(noContent), r); res.StatusCode != 204 {
		t.Fatal(res.StatusCode)
	}
	k.revoke(id)
	q := latchkey.Question{KeyID: id, Host: "sandbox.example.com", Client: netip.MustParseAddr("192.0.2.1"), Need: middleware.AllOf("things:write")}
	e, o, err := k.guard.Explain(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range e.Checks {
		got = append(got, c.Step.String()+" "+c.Code.String())
	}
	want := "form ok, secret ok, state revoked_key, environment environment_mismatch, network network_not_allowed, scopes insufficient_scope, limits rate_limited"
	if got := strings.Join(got, ", "); got != want || o.Code() != apikey.RevokedKey {
		t.Errorf("checks %s, want %s; verdict %v", got, want, o.Code())
	}
	for rule, q := range map[string]latchkey.Question{
		"no such key":    {KeyID: "AAAAAAAAAAAAAAAA"},
		"no id":          {KeyID: "short"},
		"no such secret": {KeyID: id, Secret: 7},
	} {
		_, o, err := k.guard.Explain(t.Context(), q)
		if code := apikey.CodeOf(err); (code != apikey.NotFound && code != apikey.InvalidArgument) || o.Allowed() {
			t.Errorf("%s: %v", rule, err)
		}
	}
	down := newKit(t, middleware.Options{Limiter: new(recorder)}) // it cannot be peeked into
	id, _ = down.key()
	if e, o, err := down.guard.Explain(t.Context(), latchkey.Question{KeyID: id, Need: apikey.AnyKey()}); err != nil || o.Code() != apikey.Unavailable || e.Code() != o.Code() {
		t.Errorf("a limiter that does not answer: %v %v %v", e.Checks, o.Code(), err)
	}
	store := memstore.New()
	lost := newKitOn(t, store, middleware.Options{}, latchkey.Options{Plans: []apikey.Plan{{Name: "gone", Unlimited: true}}})
	id, _ = lost.key()
	found := newKitOn(t, store, middleware.Options{})
	if e, o, err := found.guard.Explain(t.Context(), latchkey.Question{KeyID: id, Need: apikey.AnyKey()}); err != nil || o.Code() != apikey.Unavailable || len(e.Checks) != 2 {
		t.Errorf("a key whose plan is gone: %v %v %v", e.Checks, o.Code(), err)
	}
}
